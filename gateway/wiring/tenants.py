"""Keys and webhook secrets from settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from pydantic import SecretStr

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.config.tenants import RekognitionKey
from gateway.core.clock import Clock
from gateway.core.model import Tenant
from gateway.jobs.webhooks.signing import parse_secret
from gateway.security.key_file import StoreError
from gateway.security.key_watch import KeyWatch
from gateway.security.keyring import OPERATOR_KEYS, KeyPair, Keyring, digest_of
from providers.extras import install_hint


def signing_secrets(config: Settings, file: Path) -> Callable[[str], Sequence[str]]:
    """A function that returns a tenant's webhook secrets, by its name: its own or, if it has none,
    those of `webhooks`. Raises ConfigError."""
    default = _secrets(config.webhooks.secrets, f"{file}: webhooks.secrets")
    by_tenant: dict[str, Sequence[str]] = {}
    for index, tenant in enumerate(config.tenants):
        where = f"{file}: tenants[{index}].webhook"
        by_tenant[tenant.name] = _secrets(tenant.webhook.secrets, f"{where}.secrets")
    for index, tenant in enumerate(config.tenants):
        if tenant.webhook.url and not (by_tenant[tenant.name] or default):
            raise ConfigError(
                f"{file}: tenants[{index}].webhook: there are no secrets to sign with; "
                "make one with: imgrid webhooks secret"
            )
    return lambda name: by_tenant.get(name) or default


def _secrets(masked: Sequence[SecretStr], where: str) -> list[str]:
    """The secrets in the clear. Raises ConfigError for one that is malformed."""
    secrets = [secret.get_secret_value() for secret in masked]
    for index, secret in enumerate(secrets):
        try:
            parse_secret(secret)
        except ValueError as error:
            raise ConfigError(f"{where}[{index}]: {error}") from None
    return secrets


def make_keyring(config: Settings, file: Path, clock: Clock) -> Keyring:
    """The configured keys and the key store's, which is watched from now on. Raises ConfigError."""
    bearer: dict[bytes, Tenant] = {}
    pairs: dict[str, KeyPair] = {}
    tenants = {
        tenant.name: Tenant(tenant.name, "shared" if tenant.share else f"tenant:{tenant.name}")
        for tenant in config.tenants
    }
    for tenant in config.tenants:
        for key in tenant.keys:
            holder = replace(tenants[tenant.name], key=key.label)
            if isinstance(key, RekognitionKey):
                secret = key.secret_key.get_secret_value()
                pairs[key.access_key] = KeyPair(secret, holder, key.regions)
            else:
                bearer[digest_of(key.dialect, key.digest)] = holder
    no_signer = ""
    if find_spec("botocore") is None:
        no_signer = f"keys of dialect rekognition need botocore; {install_hint('rekognition')}"
    if pairs and no_signer:
        raise ConfigError(f"{file}: tenants: {no_signer}")
    key_watch = _key_watch(config, file, tenants, clock=clock, no_signer=no_signer)
    operators = frozenset(digest_of(OPERATOR_KEYS, key.digest) for key in config.operator_keys)
    return Keyring(bearer, pairs, not config.tenants, key_watch, operators)


def _key_watch(
    config: Settings, file: Path, tenants: Mapping[str, Tenant], *, clock: Clock, no_signer: str
) -> KeyWatch | None:
    """The watch over the key store, started; None where none is configured. Raises ConfigError."""
    store = settings.key_store_of(config, file)
    if store is None:
        return None
    key_watch = KeyWatch(store, tenants, clock, no_signer)
    try:
        key_watch.start()
    except StoreError as error:
        raise ConfigError(f"{file}: key_store: {error}") from None
    return key_watch
