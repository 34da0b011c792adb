"""Keys and webhook secrets from settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from gateway.security.key_watch import NO_SIGNER, KeyWatch
from gateway.security.keyring import KeyPair, Keyring, kept


def signing_secrets(config: Settings, file: Path) -> Callable[[str], Sequence[str]]:
    """A tenant's webhook secrets, by its name: its own, or everybody's."""
    usual = _secrets(config.webhooks.secrets, f"{file}: webhooks.secrets")
    own = {
        tenant.name: _secrets(tenant.webhook.secrets, f"{file}: tenants[{index}].webhook.secrets")
        for index, tenant in enumerate(config.tenants)
    }
    for index, tenant in enumerate(config.tenants):
        if tenant.webhook.url and not (own[tenant.name] or usual):
            raise ConfigError(
                f"{file}: tenants[{index}].webhook: there are no secrets to sign with; "
                "make one with: imgrid webhooks secret"
            )
    return lambda name: own.get(name) or usual


def _secrets(given: Sequence[SecretStr], where: str) -> list[str]:
    known = [secret.get_secret_value() for secret in given]
    for index, secret in enumerate(known):
        try:
            parse_secret(secret)
        except ValueError as error:
            raise ConfigError(f"{where}[{index}]: {error}") from None
    return known


def make_keyring(config: Settings, file: Path, clock: Clock) -> Keyring:
    bearer: dict[bytes, Tenant] = {}
    pairs: dict[str, KeyPair] = {}
    tenants = {
        each.name: Tenant(each.name, "shared" if each.share else f"tenant:{each.name}")
        for each in config.tenants
    }
    for each in config.tenants:
        for key in each.keys:
            if isinstance(key, RekognitionKey):
                pairs[key.access_key] = KeyPair(
                    key.secret_key.get_secret_value(), tenants[each.name], key.regions
                )
            else:
                bearer[kept(key.dialect, key.digest)] = tenants[each.name]
    signing = find_spec("botocore") is not None
    if pairs and not signing:
        raise ConfigError(f"{file}: tenants: {NO_SIGNER}")
    live = (
        KeyWatch(store, tenants, clock, signing)
        if (store := settings.key_store_of(config, file))
        else None
    )
    try:
        if live is not None:
            live.start()
    except StoreError as error:
        raise ConfigError(f"{file}: key_store: {error}") from None
    return Keyring(bearer, pairs, open=not config.tenants, store=live)
