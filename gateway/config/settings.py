"""The settings: the only module that reads the config file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from gateway.config import environment
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.environment import Variable
from gateway.config.errors import ConfigError
from gateway.config.routes import RouteSettings, check_reachable
from gateway.config.sections import (
    BufferSettings,
    CorsOrigin,
    DecoderSettings,
    EngineSettings,
    FetchSettings,
    GrpcSettings,
    JobSettings,
    LimitSettings,
    Listen,
    TlsSettings,
    TracingSettings,
    WebhookSettings,
    host_of,
)
from gateway.config.tenants import OperatorKey, TenantSettings, check_tenants
from gateway.config.validation import message_of, messages
from gateway.security.keyring import is_loopback
from providers import registry
from providers.options import Options
from providers.plugins import PluginError

PREFIX = "IMGRID_"


class Settings(BaseModel):
    """The whole configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    listen: Listen = Field("127.0.0.1:8080", description="address and port")
    ops_listen: Listen | None = Field(
        None,
        description="an address for /metrics, /readyz and /docs, which the public port then lacks",
    )
    tls: TlsSettings | None = Field(None, description="clients must use https")
    grpc: GrpcSettings | None = Field(
        None, description="Google's clients by gRPC, on a port of its own"
    )
    providers: dict[str, dict[str, Any]] = Field(
        min_length=1, description="by name; each has a kind and its options"
    )
    routes: list[RouteSettings] = Field(min_length=1)
    tenants: list[TenantSettings] = Field(default_factory=list)
    operator_keys: list[OperatorKey] = Field(
        default_factory=list,
        description="for operators: they see the accounts of all tenants, at /v1/usage",
    )
    key_store: Path | None = Field(
        None, description="keys that are made and revoked while it runs: `imgrid keys`"
    )
    redis: SecretStr | None = Field(
        None, description="redis://host:6379/0: a buffer that replicas share"
    )
    billed_unknown: Literal["retry", "fail"] = Field(
        "retry",
        description="what becomes of photos whose call got no answer, and may be billed",
    )
    buffer: BufferSettings = BufferSettings()
    jobs: JobSettings = JobSettings()
    webhooks: WebhookSettings = WebhookSettings()
    fetch: FetchSettings = FetchSettings()
    limits: LimitSettings = LimitSettings()
    decoder: DecoderSettings = DecoderSettings()
    engine: EngineSettings = EngineSettings()
    names: list[Path] = Field(
        default_factory=list, description="files of names, which override the shipped ones"
    )
    cors_origins: list[CorsOrigin] = Field(
        default_factory=list, description="web pages whose scripts may ask: https://app.example"
    )
    drain_ms: float = Field(
        5_000,
        ge=0,
        description="how long the port answers after SIGTERM, while /readyz says it will not",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = Field(
        "text", description="of the log where no terminal shows it: one line a record"
    )
    tracing: TracingSettings | None = Field(
        None, description="OpenTelemetry traces, for a collector"
    )
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="for decoding and composing"
    )

    @model_validator(mode="after")
    def _check_closed(self) -> Settings:
        """Checks that a gateway without tenants listens on loopback only."""
        addresses = {"listen": self.listen}
        if self.grpc:
            addresses["grpc.listen"] = self.grpc.listen
        for key, listen in addresses.items():
            if not self.tenants and not is_loopback(host_of(listen)):
                raise ValueError(
                    f"{key}: {listen} is not loopback and there are no tenants, so anybody could "
                    "spend your money; add tenants with keys, or listen on 127.0.0.1"
                )
        if self.key_store is not None and not self.tenants:
            raise ValueError(
                "key_store: there are no tenants whose keys it could hold, and without tenants "
                "nobody needs one; add tenants, or remove key_store"
            )
        return self

    @property
    def host(self) -> str:
        return host_of(self.listen)

    @property
    def tenant_count(self) -> int:
        """How many tenants share this gateway's limits."""
        return max(len(self.tenants), 1)

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


def read(file: Path, environ: Mapping[str, str], *, listen: str | None = None) -> Settings:
    """The settings in a YAML file, overridden by variables of the environment; `listen`, the option
    of a command, overrides both.

    `IMGRID_LISTEN` is `listen`; `IMGRID_ROUTES__0__MAX_WAIT_MS` is `max_wait_ms` of the first
    route; values are YAML. Raises ConfigError naming file and key.
    """
    content = _content(file)
    variables = _apply_environment(content, environ)
    if listen is not None:
        content["listen"] = listen
    try:
        settings = Settings(**content)
    except ValidationError as error:
        sources = {".".join(v.path): f"{v.name} in the environment" for v in variables}
        if listen is not None:
            sources["listen"] = "--listen"
        raise ConfigError("\n".join(messages(error, Settings, sources, file))) from None
    check_tenants(settings.tenants, settings.key_store, file)
    kinds = {name: str(provider.get("kind")) for name, provider in settings.providers.items()}
    tenants = {tenant.name for tenant in settings.tenants}
    check_reachable(settings.routes, tenants, kinds, file)
    return settings


def _content(file: Path) -> dict[str, Any]:
    """The config file's keys and values; an empty section is left out. Raises ConfigError."""
    try:
        content = environment.load(file.read_text()) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {file}; write one with: imgrid config example > {DEFAULT_FILE}"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} cannot be read: {environment.yaml_problem(error)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} must hold keys and values, such as 'listen: 127.0.0.1:8080'")
    return {key: value for key, value in content.items() if value is not None}


def _apply_environment(content: dict[str, Any], environ: Mapping[str, str]) -> list[Variable]:
    """Writes the values of the environment's variables into the content, and returns the variables.
    Raises ConfigError."""
    try:
        variables = list(environment.variables(environ, PREFIX))
        for variable in variables:
            environment.put(content, variable)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return variables


def options_of(settings: Settings, name: str, file: Path) -> Options:
    """A provider's options, as its kind reads them. Raises ConfigError naming file and key."""
    values, where = settings.providers[name], f"{file}: providers.{name}"
    if "kind" not in values:
        known = ", ".join(registry.kinds())
        raise ConfigError(f"{where}.kind: write the kind of provider that it is, one of {known}")
    try:
        kind = registry.load(str(values["kind"]))
    except PluginError as error:
        raise ConfigError(f"{where}.kind: {error}") from None
    try:
        return kind.Options(**values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        message = message_of(problem, kind.Options.model_fields)
        raise ConfigError(f"{where}.{key}: {message}") from None


def key_store_of(settings: Settings, file: Path) -> Path | None:
    """The key store's file; a relative path starts from the config file's folder."""
    return None if settings.key_store is None else file.resolve().parent / settings.key_store
