"""The command `webhooks test`: one signed message to a receiver."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.config.settings import Settings
from gateway.jobs.webhooks import signing
from gateway.security.egress_errors import FetchFailed, UrlRefused
from gateway.wiring.network import open_network
from gateway.wiring.tenants import signing_secrets

BODY = b'{"type":"webhook.test"}'


def send_test(config: Settings, file: Path, url: str, tenant: str) -> tuple[int, float]:
    """The status of the receiver's answer, and the seconds that it took, to a message signed with
    the tenant's secrets. Raises ConfigError where it cannot be sent."""
    names = [each.name for each in config.tenants]
    if tenant and tenant not in names:
        raise ConfigError(f"--tenant {tenant}: there is none; there are {', '.join(names)}")
    keys = signing_secrets(config, file)(tenant)
    if not keys:
        raise ConfigError(
            f"{file}: there are no secrets to sign with; make one with `imgrid webhooks secret` "
            "and set webhooks.secrets, or name a tenant that has its own: --tenant"
        )
    message_id = f"test_{secrets.token_hex(8)}"
    headers = signing.headers(keys, message_id, int(time.time()), BODY)
    return asyncio.run(_post(config, file, url, headers))


async def _post(
    config: Settings, file: Path, url: str, headers: dict[str, str]
) -> tuple[int, float]:
    network = open_network(config, file)
    began = time.monotonic()
    try:
        reply = await network.guard.post(url, BODY, headers)
    except UrlRefused as error:
        raise ConfigError(
            f"{url}: {error} A receiver inside your network has to be in fetch.allow."
        ) from None
    except FetchFailed as error:
        raise ConfigError(f"{url}: {error}") from None
    finally:
        await network.close()
    return reply.status, time.monotonic() - began
