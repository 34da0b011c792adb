"""The keys of `tenants[]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from gateway.config.errors import ConfigError
from gateway.config.sections import Section, SinkFolder, SourceFolder
from gateway.ledger.budgets import Budget, BudgetMode, BudgetPeriod, BudgetUnit
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
    name: str = Field("", description="what the ledger calls it; empty for the access key")

    @property
    def label(self) -> str:
        """The name under which the ledger keeps what is charged by the key."""
        return self.name or self.access_key


class SecretKey(Section):
    """A key that is sent as it is: itself, or its digest."""

    key: SecretStr | None = Field(None, min_length=1)
    sha256: str | None = Field(
        None, description="in the key's place: its digest in hex", pattern="^[0-9a-fA-F]{64}$"
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("write either key, or sha256: its SHA-256 in hex")
        return self

    @property
    def digest(self) -> str:
        """The key's SHA-256 in lower-case hex, whether the key or its digest is configured."""
        if self.key is not None:
            return sha256_of(self.key.get_secret_value())
        return str(self.sha256).lower()


class OperatorKey(SecretKey):
    """A key for operators: it sees the accounts of all tenants, and asks about no photo."""


class PlainKey(SecretKey):
    """A key that clients send as it is."""

    dialect: Literal["native", "azure", "google"]
    name: str = Field("", description="what the ledger calls it; empty for the start of its digest")

    @property
    def label(self) -> str:
        """The name under which the ledger keeps what is charged by the key."""
        return self.name or f"sha256:{self.digest[:8]}"


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
    """What one tenant's photos may take up of the buffer, besides its fair share, and how fast it
    and each of its keys may ask."""

    max_photos: int | None = Field(None, ge=1, description="waiting and in flight together")
    max_bytes: int | None = Field(None, ge=1, description="their bytes")
    max_pixels: int | None = Field(None, ge=1, description="their pixels")
    requests_per_s: float | None = Field(None, gt=0, description="in the long run")
    photos_per_s: float | None = Field(None, gt=0, description="in the long run")
    key_requests_per_s: float | None = Field(None, gt=0, description="by each of its keys")
    key_photos_per_s: float | None = Field(None, gt=0, description="by each of its keys")
    burst_s: float = Field(
        1.0, gt=0, description="how many seconds' worth of these rates may come at once"
    )


class BudgetSettings(Section):
    """What a tenant's requests may cost, all together or those of one key or with one tag."""

    usd: float | None = Field(None, gt=0, description="US dollars; or write `images`")
    images: float | None = Field(None, gt=0, description="images billed")
    per: BudgetPeriod = Field(BudgetPeriod.MONTH, description="begins anew at midnight UTC")
    mode: BudgetMode = Field(
        BudgetMode.HARD,
        description="hard refuses what is beyond, soft answers it and tells, shadow only counts it",
    )
    key: str = Field("", description="only what is asked by the key of that name or id")
    tag: str = Field("", description="only requests with that tag: team=search")
    tell_at: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=lambda: [50.0, 80.0, 100.0],
        description="percent of the limit from which on the tenant's webhook and the log are told",
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.usd is None) == (self.images is None):
            raise ValueError("write either usd or images")
        return self

    def budget(self, tenant: str) -> Budget:
        """The tenant's budget."""
        unit = BudgetUnit.USD if self.usd is not None else BudgetUnit.IMAGES
        return Budget(
            tenant,
            self.usd or self.images or 0.0,
            unit,
            self.per,
            self.mode,
            self.key,
            self.tag,
            tuple(percent / 100 for percent in sorted(self.tell_at)),
        )


class TenantSettings(Section):
    """One client of this gateway."""

    name: str = Field(min_length=1)
    keys: list[TenantKey] = Field(
        default_factory=list, description="if empty, those of `key_store` only"
    )
    webhook: TenantWebhookSettings = TenantWebhookSettings()
    limits: TenantLimitSettings = TenantLimitSettings()
    budgets: list[BudgetSettings] = Field(
        default_factory=list, description="what its requests may cost; all of them hold"
    )
    share: bool = Field(
        False, description="its photos may share canvases with those of other such tenants"
    )
    sources: list[SourceFolder] = Field(
        default_factory=list,
        description="buckets and folders that only it may name: s3://shop-photos/",
    )
    sinks: list[SinkFolder] = Field(
        default_factory=list,
        description="buckets and folders that its results may be written to: s3://shop-results/",
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
