"""The keys of `tenants[]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from gateway.config.errors import ConfigError
from gateway.config.sections import Section, SourceFolder
from gateway.security.keyring import sha256_of
from providers.rekognition.regions import Region


class RekognitionKey(Section):
    """A key pair for AWS SDKs. The operator makes it up; it is no key of an AWS account."""

    dialect: Literal["rekognition"]
    access_key: str = Field(min_length=1)
    secret_key: SecretStr = Field(min_length=1)
    regions: tuple[Region, ...] = Field(
        (), description="the regions that it may sign for; any if empty"
    )


class PlainKey(Section):
    """A key that clients send as it is."""

    dialect: Literal["native", "azure", "google"]
    key: SecretStr | None = Field(None, min_length=1)
    sha256: str | None = Field(
        None, description="in the key's place: its digest in hex", pattern="^[0-9a-fA-F]{64}$"
    )

    @model_validator(mode="after")
    def _check_one(self) -> PlainKey:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("write either key, or sha256: its SHA-256 in hex")
        return self

    @property
    def digest(self) -> str:
        """The key's SHA-256 in lower-case hex, whether the key or its digest is configured."""
        if self.key is not None:
            return sha256_of(self.key.get_secret_value())
        return str(self.sha256).lower()


KEY_KINDS = ("rekognition", "native", "azure", "google")
"""The names that pydantic inserts into an error's location to say which kind of key it read."""

TenantKey = Annotated[RekognitionKey | PlainKey, Field(discriminator="dialect")]


class TenantWebhookSettings(Section):
    """The webhook for a tenant's jobs that name none, and the secrets that sign all webhooks of the
    tenant."""

    url: str = ""
    each_photo: bool = Field(False, description="call it for each photo, not only at a job's end")
    secrets: list[SecretStr] = Field(
        default_factory=list,
        description="whsec_…, as `imgrid webhooks secret` makes them; to change one, list the new "
        "and the old, which both sign. If empty, those of `webhooks`",
    )


class TenantLimitSettings(Section):
    """What one tenant's photos may take up of the buffer, besides its fair share."""

    max_photos: int | None = Field(None, ge=1, description="waiting and in flight together")
    max_bytes: int | None = Field(None, ge=1, description="their bytes")
    max_pixels: int | None = Field(None, ge=1, description="their pixels")


class TenantSettings(Section):
    """One client of this gateway."""

    name: str = Field(min_length=1)
    keys: list[TenantKey] = Field(
        default_factory=list, description="if empty, those of `key_store` only"
    )
    webhook: TenantWebhookSettings = TenantWebhookSettings()
    limits: TenantLimitSettings = TenantLimitSettings()
    share: bool = Field(
        False, description="its photos may share canvases with those of other such tenants"
    )
    sources: list[SourceFolder] = Field(
        default_factory=list,
        description="buckets and folders that only it may name: s3://shop-photos/",
    )


def check_tenants(tenants: Sequence[TenantSettings], key_store: Path | None, file: Path) -> None:
    """Checks that names and keys identify one tenant each. Raises ConfigError."""
    if len({tenant.name for tenant in tenants}) < len(tenants):
        raise ConfigError(f"{file}: tenants: two of them have the same name")
    keys: set[tuple[str, str]] = set()
    for index, tenant in enumerate(tenants):
        if not tenant.keys and key_store is None:
            raise ConfigError(
                f"{file}: tenants[{index}].keys: there are none; write one, or name a file in "
                "key_store and make one with: imgrid keys create"
            )
        for number, key in enumerate(tenant.keys):
            key_id = key.access_key if isinstance(key, RekognitionKey) else key.digest
            if (key.dialect, key_id) in keys:
                raise ConfigError(
                    f"{file}: tenants[{index}].keys[{number}]: "
                    f"the same {key.dialect} key is given above"
                )
            keys.add((key.dialect, key_id))
