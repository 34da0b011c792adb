"""The sections of the configuration, except routes and tenants."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from gateway.core.locations import folder_of
from providers.rekognition.regions import Region


class Section(BaseModel):
    """The base of every section: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_address(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("write address:port, such as 127.0.0.1:8080")
    return listen


Listen = Annotated[str, AfterValidator(_check_address)]
"""An address to listen on: host and port."""


def host_of(listen: Listen) -> str:
    """The host of an address, without the brackets of IPv6."""
    return listen.rpartition(":")[0].strip("[]")


def _check_origin(origin: str) -> str:
    parts = urlsplit(origin)
    if origin != "*" and (
        parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ValueError("write an origin as browsers send it, such as https://app.example, or '*'")
    return origin


CorsOrigin = Annotated[str, AfterValidator(_check_origin)]
"""Scheme, host and port of a web page's address, without a path; or "*" for all."""


def _check_folder(text: str) -> str:
    folder_of(text)
    return text


SourceFolder = Annotated[str, AfterValidator(_check_folder)]
"""A bucket or a folder in one, as `folder_of` reads it."""


def _check_sink(text: str) -> str:
    if folder_of(text).scheme != "s3":
        raise ValueError(f"{text!r} is no folder in S3; write s3://BUCKET/ or s3://BUCKET/FOLDER/")
    return text


SinkFolder = Annotated[str, AfterValidator(_check_sink)]
"""A bucket of S3, or a folder in one, that results are written to."""


class TlsSettings(Section):
    """TLS on the HTTP port, where no proxy terminates it. The files are read at start."""

    cert: Path = Field(description="chain of certificates, PEM")
    key: Path = Field(description="its private key, PEM, without a password")


class GrpcSettings(Section):
    """The port for Google's gRPC clients; gRPC is the default transport of most of them."""

    listen: Listen = Field("127.0.0.1:8081", description="address and port")
    cert: Path | None = Field(
        None, description="chain of certificates, PEM; with it and its key clients must use TLS"
    )
    key: Path | None = Field(None, description="its private key, PEM, without a password")

    @model_validator(mode="after")
    def _check_pair(self) -> GrpcSettings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together; leave both out for no TLS")
        return self


class TracingSettings(Section):
    """OpenTelemetry traces (extra `otel`), sent by OTLP over HTTP; [tracing](tracing.md) says what
    they show."""

    endpoint: str = Field(pattern="^https?://", description="the collector: http://collector:4318")
    sample: float = Field(
        1.0,
        ge=0,
        le=1,
        description="the share of requests that are traced, where the client does not say",
    )
    service_name: str = Field("imgrid", min_length=1, description="its name in the traces")


class BufferSettings(Section):
    """Limits for the photos that are held, waiting and in flight together. Photos beyond them are
    refused with 429."""

    max_photos: int = Field(5_000, ge=1)
    max_bytes: int = Field(1 << 30, ge=1)
    max_pixels: int = Field(20_000_000_000, ge=1)
    max_drawn_bytes: int = Field(
        256 * 1024 * 1024, ge=0, description="pixels of photos that are drawn while they wait"
    )


class DecoderSettings(Section):
    """The processes that decode large photos of formats that are only decoded whole."""

    processes: int = Field(1, ge=1, le=64)
    max_bytes: int = Field(
        1280 * 1024 * 1024, ge=64 * 1024 * 1024, description="memory that a process may take"
    )
    timeout_ms: float = Field(20_000, gt=0, description="how long a photo may take to decode")


class EngineSettings(Section):
    """What the networks of this process share."""

    memory_mb: float | None = Field(
        None,
        gt=0,
        description="the most memory that loading all local networks may take, in MB of 10^6 bytes",
    )


class JobSettings(Section):
    """Jobs: photos that are handed in together and answered later."""

    file: Path = Field(
        Path("imgrid-jobs.sqlite3"), description="the jobs' database when there is no Redis"
    )
    max_photos: int = Field(100_000, ge=1, description="waiting photos of jobs")
    max_bytes: int = Field(4 << 30, ge=1, description="their bytes")
    max_request_bytes: int = Field(256 << 20, ge=1, description="one request for a job")
    max_wait_ms: float = Field(
        2_000, ge=0, description="how long a photo waits for company at each stage"
    )
    deadline_ms: float = Field(86_400_000, gt=0, description="how long an answer may take")
    keep_ms: float = Field(
        86_400_000, gt=0, description="how long a job's results are kept after its end"
    )
    sinks: list[SinkFolder] = Field(
        default_factory=list,
        description="buckets and folders that the results of every tenant may be written to",
    )


class WebhookSettings(Section):
    """Webhooks for the ends of jobs."""

    secrets: list[SecretStr] = Field(
        default_factory=list, description="whsec_…; for tenants that have none"
    )
    concurrency: int = Field(64, ge=1, description="deliveries under way at the same time")


class S3Settings(Section):
    """How the gateway itself reads and writes S3. boto3 finds the rest in its usual places."""

    region: Region | None = None
    endpoint: str | None = Field(None, description="another address than AWS's own")
    access_key: str | None = None
    secret_key: SecretStr | None = None
    profile: str | None = Field(None, description="a profile of the AWS config files")

    @model_validator(mode="after")
    def _check_pair(self) -> S3Settings:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together")
        return self


class GsSettings(Section):
    """How the gateway itself reads from Google Cloud Storage: with application default credentials,
    which are sent to Google's own addresses only."""

    endpoint: str = Field("https://storage.googleapis.com", pattern="^https?://")
    anonymous: bool = Field(False, description="read without credentials what is public")


class FetchSettings(Section):
    """URLs that clients name: photos to fetch and webhooks to call; and the stores that photos are
    read from."""

    allow: list[IPv4Network | IPv6Network] = Field(
        default_factory=list, description="private networks that may be connected to"
    )
    timeout_ms: float = Field(10_000, gt=0, description="how long one photo or delivery may take")
    max_redirects: int = Field(3, ge=0)
    sources: list[SourceFolder] = Field(
        default_factory=list,
        description="buckets and folders that every tenant may name: gs://bucket/folder/",
    )
    s3: S3Settings = S3Settings()
    gs: GsSettings = GsSettings()


class LimitSettings(Section):
    """The operator's limits for one photo and one request, which apply beside an API's own."""

    max_photo_bytes: int = Field(20 * 1024 * 1024, ge=1)
    max_photo_pixels: int = Field(50_000_000, ge=1)
    max_request_bytes: int = Field(64 * 1024 * 1024, ge=1)
    max_reading_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1,
        description="all bodies that are being read, and all photos that are being fetched",
    )
    body_timeout_ms: float = Field(30_000, gt=0, description="how long a body may take to arrive")
    max_event_streams: int = Field(
        1_000, ge=1, description="streams of jobs' events that are open at the same time"
    )
    header_timeout_ms: float = Field(
        10_000, gt=0, description="how long the head of a request, and TLS before it, may take"
    )
    max_connections: int = Field(
        4_096,
        ge=4,
        description="open connections of each port; a quarter of them for clients with a key",
    )
    keep_replies_ms: float = Field(
        120_000, ge=0, description="how long retries of a call get the same reply"
    )
    max_replies_bytes: int = Field(
        64 * 1024 * 1024, ge=0, description="replies kept for retries; the oldest go first"
    )
    max_cache_bytes: int = Field(
        64 * 1024 * 1024,
        ge=0,
        description="answers of routes[].cache; the least recently used go first",
    )
