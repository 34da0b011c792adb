"""The keys of `tenants[]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from gateway.config.sections import Section as _Section
from gateway.config.sections import (
    Source,
)
from gateway.security.keyring import sha256_of


class RekognitionKey(_Section):
    """A key pair for AWS SDKs, made up by the operator; it has nothing to do with AWS's own."""

    dialect: Literal["rekognition"]
    access_key: str = Field(min_length=1)
    secret_key: SecretStr = Field(min_length=1)
    regions: tuple[str, ...] = Field((), description="it signs for these only; none named: for any")


class PlainKey(_Section):
    """A key that clients send as it is."""

    dialect: Literal["native", "azure", "google"]
    key: SecretStr | None = Field(None, min_length=1)
    sha256: str | None = Field(
        None, description="in the key's place: its digest in hex", pattern="^[0-9a-fA-F]{64}$"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> PlainKey:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("write either key, or sha256: its SHA-256 in hex")
        return self

    @property
    def digest(self) -> str:
        """In lower-case hex, whichever of both was written."""
        return (
            sha256_of(self.key.get_secret_value())
            if self.key is not None
            else str(self.sha256).lower()
        )


KEY_KINDS = ("rekognition", "native", "azure", "google")
"""What pydantic names, within a key's place, to say which kind of key it took it for."""


Key = Annotated[RekognitionKey | PlainKey, Field(discriminator="dialect")]


class HookSettings(_Section):
    """Where a tenant's jobs are told of, where they name no webhook of their own, and what signs
    what is told."""

    url: str = ""
    each_photo: bool = Field(False, description="tell of each photo, not only of the job's end")
    secrets: list[SecretStr] = Field(
        default_factory=list,
        description="whsec_…, as `imgrid webhooks secret` makes them; with two, both sign: for changing them. None: "
        "those of `webhooks`",
    )


class TenantSettings(_Section):
    """One client of this gateway."""

    name: str = Field(min_length=1)
    keys: list[Key] = Field(default_factory=list, description="none: those of `key_store` only")
    webhook: HookSettings = HookSettings()
    share: bool = Field(
        False,
        description="its photos may share canvases with those of other tenants who agreed too",
    )
    sources: list[Source] = Field(
        default_factory=list,
        description="buckets and folders that are read for it: s3://shop-photos/",
    )
