"""Do canvases fill as well when the same load is spread over several replicas? One, two and four,
by one Redis."""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from pathlib import Path

import aiohttp
from fleet import TENANTS, Plan, fleet, missing
from rich.console import Console
from rich.table import Table

from gateway.testing.pictures import encoded, numbered

KEY = {"Authorization": f"Bearer {next(iter(TENANTS.values()))}", "Content-Type": "image/jpeg"}
CELLS = 9
ROUTE = {
    "task": "objects",
    "provider": "eye",
    "stages": [{"shape": "3x3"}],
    "max_wait_ms": 150,
    "watch": {"share": 0},
}


async def load(urls: list[str], rate: float, seconds: float) -> int:
    """Photos that come by chance (Poisson), so many a second in all, each to a replica in turn. How
    many failed."""
    rng, photo = random.Random(11), encoded(numbered(42), "JPEG")
    failed = 0

    async def one(session: aiohttp.ClientSession, url: str) -> None:
        nonlocal failed
        async with session.post(f"{url}/v1/detect", data=photo) as answer:
            await answer.read()
            failed += answer.status != 200

    async with aiohttp.ClientSession(
        headers=KEY, connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        loop = asyncio.get_running_loop()
        until, at, asked = loop.time() + seconds, loop.time(), 0
        async with asyncio.TaskGroup() as asking:
            while at < until:
                asking.create_task(one(session, urls[asked % len(urls)]))
                asked, at = asked + 1, at + rng.expovariate(rate)
                await asyncio.sleep(max(at - loop.time(), 0))
    return failed


async def filled(
    replicas: int, rate: float, seconds: float, folder: Path
) -> tuple[int, float, float, int]:
    """Photos, canvases, the mean fill of a canvas, and failures."""
    changes = {"providers": {"eye": {"kind": "shapes", "latency_ms": 50}}, "routes": [ROUTE]}
    async with fleet(Plan(replicas=replicas, changes=changes), folder) as made:
        urls = [replica.url for replica in made.replicas]
        await load(urls, rate, 2)
        before = await usage(urls[0])
        failed = await load(urls, rate, seconds)
        after = await usage(urls[-1])
    photos, canvases = (
        after["answered"] - before["answered"],
        after["billed_images"] - before["billed_images"],
    )
    return photos, canvases, photos / canvases / CELLS, failed


async def usage(url: str) -> dict[str, float]:
    async with (
        aiohttp.ClientSession(headers=KEY) as session,
        session.get(f"{url}/v1/usage") as answer,
    ):
        return dict(await answer.json())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rate", type=float, default=50, help="photos a second, at all replicas together"
    )
    parser.add_argument("--seconds", type=float, default=30)
    asked = parser.parse_args()
    if what := missing():
        raise SystemExit(f"{what} is needed here and missing")
    table = Table(
        title=f"{asked.rate:g} photos/s by chance, 3x3, max_wait 150 ms, {asked.seconds:g} s"
    )
    for column in ("replicas", "photos", "canvases", "fill", "of one replica's", "failed"):
        table.add_column(column, justify="right")
    first = 0.0
    for replicas in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            photos, canvases, fill, failed = asyncio.run(
                filled(replicas, asked.rate, asked.seconds, Path(folder))
            )
        first = first or fill
        row = (replicas, photos, f"{canvases:.0f}", f"{fill:.3f}", f"{fill / first:.3f}", failed)
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    main()
