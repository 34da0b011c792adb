"""Sections of the configuration that other parts are built from as they are."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from gateway.core.locations import folder_of


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _address(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("write address:port, such as 127.0.0.1:8080")
    return listen


Listen = Annotated[str, AfterValidator(_address)]
"""Where to listen: an address and a port."""


def host_of(listen: Listen) -> str:
    return listen.rpartition(":")[0].strip("[]")


class TlsSettings(Section):
    """TLS where nothing in front has it. The files are read at the start."""

    cert: Path = Field(description="chain of certificates, PEM")
    key: Path = Field(description="its private key, PEM, without a password")


class GrpcSettings(Section):
    """Google's clients by gRPC, which most of them speak by themselves."""

    listen: Listen = Field("127.0.0.1:8081", description="address and port")
    cert: Path | None = Field(
        None, description="chain of certificates, PEM; with it and its key clients must use TLS"
    )
    key: Path | None = Field(None, description="its private key, PEM, without a password")

    @model_validator(mode="after")
    def _pair(self) -> GrpcSettings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together; leave both out for no TLS")
        return self


def _folder(text: str) -> str:
    folder_of(text)
    return text


Source = Annotated[str, AfterValidator(_folder)]
"""A folder, as `folder_of` reads it."""


class S3Settings(Section):
    """How the gateway itself reads from S3. What is not said here is found as boto3 finds it."""

    region: str | None = None
    endpoint: str | None = Field(None, description="another address than AWS's own")
    access_key: str | None = None
    secret_key: SecretStr | None = None
    profile: str | None = Field(None, description="a profile of the AWS config files")

    @model_validator(mode="after")
    def _pair(self) -> S3Settings:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together")
        return self


class GsSettings(Section):
    """How the gateway itself reads from Google Cloud Storage: with the application's default
    credentials, which are sent to Google's own addresses only."""

    endpoint: str = Field("https://storage.googleapis.com", pattern="^https?://")
    anonymous: bool = Field(False, description="without credentials: what is public")


class FetchSettings(Section):
    """URLs that clients name: photos to fetch, and webhooks; and places in stores where photos
    lie."""

    allow: list[IPv4Network | IPv6Network] = Field(
        default_factory=list, description="private networks it may go to"
    )
    timeout_ms: float = Field(10_000, gt=0, description="how long one photo or delivery may take")
    max_redirects: int = Field(3, ge=0)
    sources: list[Source] = Field(
        default_factory=list,
        description="buckets and folders that are read for everybody: gs://bucket/folder/",
    )
    s3: S3Settings = S3Settings()
    gs: GsSettings = GsSettings()
