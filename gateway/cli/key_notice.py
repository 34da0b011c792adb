"""The text that shows a new key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.cli.key_rows import KeyRow, removal
from gateway.config.settings import Settings
from gateway.security import key_generate
from gateway.security.key_generate import KeyTerms, NewKey

DEFAULT_REGION = "us-east-1"


def notice(
    key: NewKey, terms: KeyTerms, valid: Sequence[KeyRow], settings: Settings, *, url: str
) -> Iterator[str]:
    """The key, how a client uses it, and the other valid keys, line by line."""
    expiry = (
        f"good until {terms.expires:%Y-%m-%d %H:%MZ}"
        if terms.expires
        else "good until it is revoked"
    )
    region = terms.regions[0] if terms.regions else DEFAULT_REGION
    task = settings.routes[0].task
    yield (
        f"{terms.key_id} of {terms.tenant}, dialect {key.dialect}, {expiry}. It is shown this once:"
    )
    yield f"\n{key.key} {key.secret}".rstrip()
    yield f"\n{key_generate.client_lines(key, url.rstrip('/'), task=task, region=region)}\n"
    if key.secret:
        yield (
            f"The secret is kept in the clear in {settings.key_store}: signatures cannot be "
            "verified without it."
        )
    for row in valid:
        yield f"{row.name} is valid as well. When no client needs it any more: {removal(row)}"


def gateway_url(settings: Settings) -> str:
    """The gateway's URL on its own machine."""
    anywhere = ("0.0.0.0", "::")  # noqa: S104  recognised, not bound
    host = "127.0.0.1" if settings.host in anywhere else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
