"""Settings: the only file that reads the config file or the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.config import environment as overlay
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError
from gateway.config.routes import FallbackSettings, RouteSettings, WatchSettings
from gateway.config.sections import (
    FetchSettings,
    GrpcSettings,
    GsSettings,
    Listen,
    S3Settings,
    TlsSettings,
    host_of,
)
from gateway.config.sections import Section as _Section
from gateway.config.tenants import KEY_KINDS, HookSettings, PlainKey, RekognitionKey, TenantSettings
from gateway.security.keyring import is_loopback
from providers import registry
from providers.detection import Task
from providers.options import Options
from providers.plugins import PluginError

PREFIX = "IMGRID_"


class BufferSettings(_Section):
    """How much is held, waiting and in flight together; what is over it is refused with 429."""

    max_photos: int = Field(5_000, ge=1)
    max_bytes: int = Field(1 << 30, ge=1)
    max_pixels: int = Field(20_000_000_000, ge=1)
    max_drawn_bytes: int = Field(
        256 * 1024 * 1024, ge=0, description="pixels of photos drawn while they wait"
    )


class JobSettings(_Section):
    """Work that is handed in and answered later."""

    file: Path = Field(
        Path("imgrid-jobs.sqlite3"), description="where jobs are kept when there is no Redis"
    )
    max_photos: int = Field(100_000, ge=1, description="photos of jobs that wait")
    max_bytes: int = Field(4 << 30, ge=1, description="their bytes")
    max_request_bytes: int = Field(256 << 20, ge=1, description="one job as it is handed in")
    max_wait_ms: float = Field(
        2_000, ge=0, description="how long a photo waits for company at each stage"
    )
    deadline_ms: float = Field(86_400_000, gt=0, description="how long an answer may take")
    keep_ms: float = Field(
        86_400_000, gt=0, description="how long a job's results are kept after its end"
    )


class WebhookSettings(_Section):
    """How clients are told of their jobs."""

    secrets: list[SecretStr] = Field(
        default_factory=list, description="whsec_…; for tenants that have none"
    )
    concurrency: int = Field(64, ge=1, description="deliveries under way at the same time")


class LimitSettings(_Section):
    """What one photo and one request may be, whatever an API would take."""

    max_photo_bytes: int = Field(20 * 1024 * 1024, ge=1)
    max_photo_pixels: int = Field(50_000_000, ge=1)
    max_request_bytes: int = Field(64 * 1024 * 1024, ge=1)
    max_reading_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1,
        description="bodies being read at the same time, in all; and photos being fetched",
    )
    body_timeout_ms: float = Field(30_000, gt=0, description="how long a body may take to arrive")
    keep_replies_ms: float = Field(
        120_000, ge=0, description="how long calls that are sent again get the same reply"
    )
    max_replies_bytes: int = Field(
        64 * 1024 * 1024, ge=0, description="replies kept for that; the oldest go first"
    )


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    listen: Listen = Field("127.0.0.1:8080", description="address and port")
    tls: TlsSettings | None = Field(None, description="clients must use https")
    grpc: GrpcSettings | None = Field(
        None, description="Google's clients by gRPC, on a port of its own"
    )
    providers: dict[str, dict[str, Any]] = Field(
        min_length=1, description="by name; each has a kind and its options"
    )
    routes: list[RouteSettings] = Field(min_length=1)
    tenants: list[TenantSettings] = Field(default_factory=list)
    key_store: Path | None = Field(
        None, description="keys that are made and revoked while it runs: `imgrid keys`"
    )
    redis: SecretStr | None = Field(
        None, description="redis://host:6379/0: a buffer that replicas share"
    )
    billed_unknown: Literal["retry", "fail"] = Field(
        "retry",
        description="what becomes of photos that were asked about without an answer, and may be billed",
    )
    buffer: BufferSettings = BufferSettings()
    jobs: JobSettings = JobSettings()
    webhooks: WebhookSettings = WebhookSettings()
    fetch: FetchSettings = FetchSettings()
    limits: LimitSettings = LimitSettings()
    names: list[Path] = Field(
        default_factory=list, description="files of names; theirs go before the shipped ones"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="for decoding and composing"
    )

    @model_validator(mode="after")
    def _closed(self) -> Settings:
        doors = {"listen": self.listen, **({"grpc.listen": self.grpc.listen} if self.grpc else {})}
        for name, listen in doors.items():
            if not self.tenants and not is_loopback(host_of(listen)):
                raise ValueError(
                    f"{name}: {listen} is not loopback and there are no tenants, so anybody could spend "
                    "your money; add tenants with keys, or listen on 127.0.0.1"
                )
        if self.key_store is not None and not self.tenants:
            raise ValueError(
                "key_store: there are no tenants whose keys it could hold, and without tenants nobody "
                "needs one; add tenants, or remove key_store"
            )
        return self

    @property
    def host(self) -> str:
        return host_of(self.listen)

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `read` hands over: file and environment are already merged, so that an unknown
        key in either is an error that can be named."""
        return (init_settings,)


def read(file: Path, environment: Mapping[str, str]) -> Settings:
    """The settings in a YAML file, each overridden by its variable in the environment.

    `IMGRID_LISTEN` is `listen`; `IMGRID_ROUTES__0__MAX_WAIT_MS` is `max_wait_ms` of the first
    route; values are YAML. Raises ConfigError naming file and key.
    """
    try:
        content = overlay.load(file.read_text()) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {file}; write one with: imgrid config example > {DEFAULT_FILE}"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} must hold keys and values, such as 'listen: 127.0.0.1:8080'")
    content = {
        key: value for key, value in content.items() if value is not None
    }  # an empty section says nothing
    try:
        variables = list(overlay.variables(environment, PREFIX))
        for path, name, value in variables:
            overlay.put(content, path, name, value)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    try:
        settings = Settings(**content)
    except ValidationError as error:
        sources = {".".join(path): name for path, name, _ in variables}
        raise ConfigError("\n".join(_explain(file, sources, error))) from None
    _check_tenants(settings, file)
    _check_routes(settings, file)
    return settings


def _explain(file: Path, variables: Mapping[str, str], error: ValidationError) -> Iterator[str]:
    """A line for each problem: where the value came from, its key, and what is wrong with it."""
    for problem in error.errors(include_url=False):
        loc = [part for part in problem["loc"] if part not in KEY_KINDS]
        where = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc
        ).lstrip(".")
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key" + _suggestion(str(problem["loc"][-1]))
        variable = variables.get(".".join(str(part).lower() for part in loc))
        yield f"{f'{variable} in the environment' if variable else file}: {where + ': ' if where else ''}{message}"


def _suggestion(key: str) -> str:
    sections = (
        Settings,
        RouteSettings,
        FallbackSettings,
        WatchSettings,
        TenantSettings,
        HookSettings,
        BufferSettings,
        JobSettings,
        WebhookSettings,
        FetchSettings,
        S3Settings,
        GsSettings,
        TlsSettings,
        GrpcSettings,
        LimitSettings,
        RekognitionKey,
        PlainKey,
    )
    known = {name for section in sections for name in section.model_fields}
    close = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _check_tenants(settings: Settings, file: Path) -> None:
    """Every tenant can be told from the others, by its name and by its keys."""
    if len({tenant.name for tenant in settings.tenants}) < len(settings.tenants):
        raise ConfigError(f"{file}: tenants: two of them have the same name")
    seen: set[tuple[str, str]] = set()
    for index, tenant in enumerate(settings.tenants):
        if not tenant.keys and settings.key_store is None:
            raise ConfigError(
                f"{file}: tenants[{index}].keys: there are none; write one, or name a file in key_store "
                "and make one with: imgrid keys create"
            )
        for number, key in enumerate(tenant.keys):
            what = key.access_key if isinstance(key, RekognitionKey) else key.digest
            if (key.dialect, what) in seen:
                raise ConfigError(
                    f"{file}: tenants[{index}].keys[{number}]: the same {key.dialect} key is given above"
                )
            seen.add((key.dialect, what))


def _check_routes(settings: Settings, file: Path) -> None:
    """Every name is known, and every route can be reached."""
    tenants = {tenant.name for tenant in settings.tenants}
    taken: dict[tuple[Task, str], set[str] | None] = {}
    for index, route in enumerate(settings.routes):
        where = f"{file}: routes[{index}]"
        if unknown := set(route.tenants) - tenants:
            raise ConfigError(f"{where}.tenants: there is no tenant {', '.join(sorted(unknown))}")
        what = route.task, _vendor(settings, route)
        before = taken.get(what, set())
        asked_for = set(route.tenants) or tenants
        if before is None or (asked_for and asked_for <= before):
            raise ConfigError(
                f"{where}: nothing can match it: an earlier route serves {route.task} for the same "
                "tenants; remove one, or name other tenants"
            )
        taken[what] = before | set(route.tenants) if route.tenants else None


def _vendor(settings: Settings, route: RouteSettings) -> str:
    """What a vendor alone can say is asked of it by its own clients: there may be a route for each
    vendor."""
    return (
        str(settings.providers.get(route.provider, {}).get("kind"))
        if route.task == Task.EXTRAS
        else ""
    )


def options_of(settings: Settings, name: str, file: Path) -> Options:
    """A provider's settings, read by its kind. Raises ConfigError naming file and key."""
    given = settings.providers[name]
    try:
        return registry.load(str(given.get("kind", ""))).Options(**given)
    except PluginError as error:
        raise ConfigError(f"{file}: providers.{name}.kind: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = (
            "unknown key"
            if first["type"] == "extra_forbidden"
            else first["msg"].removeprefix("Value error, ")
        )
        raise ConfigError(f"{file}: providers.{name}.{key}: {message}") from None


def key_store_of(settings: Settings, file: Path) -> Path | None:
    """The key store's file, which is named from the config file's folder."""
    return None if settings.key_store is None else file.resolve().parent / settings.key_store
