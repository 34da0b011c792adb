"""What large photos of one tenant, in a format that is only decoded whole, cost another tenant's
ordinary photos, and what memory they take.

One tenant sends many large photos at once. Meanwhile another sends ordinary ones, one after the
other. Memory is that of the gateway's processes together, sampled.

    python benchmarks/large_photos.py
    python benchmarks/large_photos.py --imgrid ../before/.venv/bin/imgrid --imgrid .venv/bin/imgrid

Needs aiohttp.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
from common import children_of, photos, rss_mb
from fixed_speed import gateway_process, provider_process
from PIL import Image
from rich.console import Console
from rich.table import Table

LARGE_SIDE_PX = 7_000
FORMATS = {"WEBP": "RGB", "PNG": "I;16", "TIFF": "F", "GIF": "L"}
"""By format, the mode of its large photos."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "WEBP": {"method": 0, "quality": 80},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
PROVIDER_CONCURRENCY = 64
CONFIG: Mapping[str, Any] = {
    "routes": [
        {
            "task": "objects",
            "provider": "fixed",
            "stages": [{"shape": "2x2"}],
            "watch": {"share": 0},
        }
    ],
    "tenants": [
        {"name": name, "keys": [{"dialect": "native", "key": f"key-of-tenant-{name}"}]}
        for name in ("large", "small")
    ],
}
ALONE_CALLS = 20
PAUSE_S = 0.1
SAMPLE_S = 0.05


@dataclass
class Memory:
    """The most memory that a process and its children have taken, in MB."""

    pid: int
    peak_mb: float = 0.0

    async def watch(self) -> None:
        while True:
            total_mb = 0.0
            for pid in (self.pid, *children_of(self.pid)):
                with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                    total_mb += rss_mb(pid)
            self.peak_mb = max(self.peak_mb, total_mb)
            await asyncio.sleep(SAMPLE_S)


@dataclass
class Result:
    """The times of ordinary photos alone and beside large ones, in seconds; the outcomes of the
    large ones; and the memory, in MB, idle, at most and some seconds after the last one."""

    alone_s: list[float] = field(default_factory=list)
    beside_s: list[float] = field(default_factory=list)
    failed: int = 0
    large: Counter[str] = field(default_factory=Counter)
    large_s: float = 0.0
    idle_mb: float = 0.0
    peak_mb: float = 0.0
    rest_mb: float = 0.0

    def row(self) -> list[str]:
        alone_s = statistics.median(self.alone_s)
        median_s = statistics.median(self.beside_s) if self.beside_s else float("nan")
        worst_s = max(self.beside_s, default=float("nan"))
        return [
            f"{1000 * alone_s:.0f}",
            f"{1000 * median_s:.0f} ({median_s / alone_s:.2f})",
            f"{1000 * worst_s:.0f} ({worst_s / alone_s:.2f})",
            f"{len(self.beside_s)}, {self.failed}",
            f"{self.idle_mb:.0f}",
            f"{self.peak_mb:.0f}",
            f"{self.rest_mb:.0f}",
            ", ".join(f"{name}: {count}" for name, count in sorted(self.large.items())),
            f"{self.large_s:.0f}",
        ]


def large_photo(image_format: str, side_px: int) -> bytes:
    """A soft gradient, whose file is small."""
    mode = FORMATS[image_format]
    image = Image.linear_gradient("L").resize((side_px, side_px))
    out = BytesIO()
    options = OPTIONS.get(image_format, {})
    converted = image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
    converted.save(out, image_format, **options)
    return out.getvalue()


async def try_one(
    imgrid: Path, large: bytes, small: Sequence[bytes], *, count: int, call_s: float, rest_s: float
) -> Result:
    """Ordinary photos alone, then beside `count` large ones."""
    result = Result()
    async with (
        provider_process(call_s, PROVIDER_CONCURRENCY) as endpoint,
        gateway_process(imgrid, endpoint, CONFIG) as (url, pid),
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=300)
        ) as session,
    ):
        memory = Memory(pid)

        async def ask(tenant: str, data: bytes) -> tuple[str, float]:
            began = time.perf_counter()
            headers = {
                "Authorization": f"Bearer key-of-tenant-{tenant}",
                "Content-Type": "application/octet-stream",
            }
            async with session.post(f"{url}/v1/detect", data=data, headers=headers) as response:
                body = await response.json()
            errors = [
                photo["error"]["code"] for photo in body.get("photos", []) if "error" in photo
            ]
            outcome = errors[0] if errors else str(response.status)
            return outcome, time.perf_counter() - began

        async def ask_small(times: list[float], number: int) -> None:
            outcome, seconds = await ask("small", small[number % len(small)])
            if outcome == "200":
                times.append(seconds)
            else:
                result.failed += 1
            await asyncio.sleep(PAUSE_S)

        for number in range(ALONE_CALLS):
            await ask_small(result.alone_s, number)
        result.idle_mb = rss_mb(pid)
        watching = asyncio.create_task(memory.watch())
        began = time.perf_counter()
        asked = asyncio.gather(*(ask("large", large) for _ in range(count)))
        number = 0
        await asyncio.sleep(PAUSE_S)
        while not asked.done():
            number += 1
            await ask_small(result.beside_s, number)
        result.large.update(outcome for outcome, _ in await asked)
        result.large_s = time.perf_counter() - began
        await asyncio.sleep(rest_s)
        watching.cancel()
        result.peak_mb = memory.peak_mb
        result.rest_mb = rss_mb(pid) + sum(map(rss_mb, children_of(pid)))
    return result


async def run(options: argparse.Namespace) -> Table:
    table = Table(
        title=f"{options.count} photos of {LARGE_SIDE_PX} x {LARGE_SIDE_PX} of one tenant, "
        f"another's ordinary photos beside them; calls take {options.call_ms:g} ms"
    )
    for name in ("large photos", "gateway"):
        table.add_column(name, overflow="fold")
    for name in (
        "alone ms",
        "beside: median ms (ratio)",
        "worst ms (ratio)",
        "answered, failed",
        "idle MB",
        "peak MB",
        "after MB",
        "large photos: outcomes",
        "in s",
    ):
        table.add_column(name, justify="right", overflow="fold")
    small = photos(20)
    for image_format in options.format or FORMATS:
        large = large_photo(image_format, LARGE_SIDE_PX)
        for imgrid in options.imgrid or [Path(sys.executable).parent / "imgrid"]:
            result = await try_one(
                imgrid.absolute(),
                large,
                small,
                count=options.count,
                call_s=options.call_ms / 1000,
                rest_s=options.rest_s,
            )
            table.add_row(image_format, str(imgrid), *result.row())
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--imgrid", type=Path, action="append", help="a gateway's command; several are compared"
    )
    parser.add_argument("--format", action="append", choices=FORMATS, help="all without it")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--call-ms", type=float, default=200.0, help="each takes so long")
    parser.add_argument("--rest-s", type=float, default=10.0, help="until memory is read again")
    Console(width=180).print(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
