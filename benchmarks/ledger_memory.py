"""What a year of the ledger takes up in Redis: so many tenants, each with so many accounts a day.

A day's accounts of a tenant are one hash, so a year of 50 tenants is as large as one day of
18,250. They are charged by the gateway's own script.

python benchmarks/ledger_memory.py [--tenants 50] [--accounts 8] [--days 365]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.ledger.accounts import Account, AccountKey
from gateway.store.redis.connection import Commands, connect
from gateway.store.redis.ledger import RedisLedger
from gateway.store.redis.replica import Replica
from gateway.testing.redis_server import RedisServer

AT_ONCE = 200
AMOUNTS = Account(1234, 1200, 345.678, 1.25, 0.3456, 1.234, 12, 1.5, 2.5)


def charges(tenant: int, accounts: int) -> dict[AccountKey, Account]:
    """The accounts of one tenant on one day."""
    return {
        AccountKey(
            f"tenant-{tenant % 50:02}-{tenant}",
            f"key_{account:08x}",
            f"env=prod,team={account}",
            "objects",
            "rekognition",
            "objects",
        ): AMOUNTS
        for account in range(accounts)
    }


async def measured(tenants: int, accounts: int, days: int) -> tuple[int, float]:
    """The number of accounts, and the MiB that they take up."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        url = f"{server.url}?socket_timeout=60"
        commands = Commands(connect(url), command_s=60)
        ledger = RedisLedger(Replica(commands))
        before = (await commands.client.info("memory"))["used_memory"]
        for first in range(0, tenants * days, AT_ONCE):
            batch: dict[AccountKey, Account] = {}
            for tenant in range(first, min(first + AT_ONCE, tenants * days)):
                batch |= charges(tenant, accounts)
            await ledger.charge(batch, charge_id=str(first))
        after = (await commands.client.info("memory"))["used_memory"]
        await commands.close()
        server.stop()
    return tenants * days * accounts, (after - before) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--accounts", type=int, default=8)
    parser.add_argument("--days", type=int, default=365)
    options = parser.parse_args()
    table = Table("tenants", "accounts a day", "days", "accounts in all", "MiB", "bytes an account")
    count, mib = asyncio.run(measured(options.tenants, options.accounts, options.days))
    numbers = (options.tenants, options.accounts, options.days, count)
    table.add_row(*map(str, numbers), f"{mib:.1f}", f"{mib * 2**20 / count:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
