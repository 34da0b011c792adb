"""A client with a key beside strangers that open connections and send half of a head, until there
are a few thousand: is the client answered, and how soon?

    .venv/bin/python benchmarks/strangers.py

The gateway begins with the usual limit of 1024 open files. Each request of the client is on a new
connection. `--imgrid` names another build of the command, to compare with.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
import yaml
from common import percentile, photos, rss_mb

from gateway.testing.redis_server import free_port

KEY = "key-shop"
USUAL_DESCRIPTORS = 1024
HALF_HEAD = b"POST /v1/detect HTTP/1.1\r\nHost: gateway\r\nX-Api"
EACH_S = 0.1
TIMEOUT_S = 10.0
CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]}],
    "tenants": [{"name": "shop", "keys": [{"dialect": "native", "key": KEY}]}],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--imgrid", type=Path, default=Path(sys.executable).with_name("imgrid"))
    parser.add_argument("--strangers", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with tempfile.TemporaryDirectory() as folder:
        port, file = free_port(), Path(folder) / "imgrid.yaml"
        file.write_text(yaml.safe_dump({**CONFIG, "listen": f"127.0.0.1:{port}"}))
        resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL_DESCRIPTORS, hard))
        process = subprocess.Popen(
            [options.imgrid, "serve", "-c", file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
        try:
            asyncio.run(measure(port, options.strangers, options.seconds))
            print(f"memory of the gateway: {rss_mb(process.pid):.0f} MB")
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(120)
                print(f"SIGTERM: ended with {status} after {time.monotonic() - began:.1f} s")
        finally:
            process.kill()


async def measure(port: int, strangers: int, seconds: float) -> None:
    """Prints how the client is answered before and beside the strangers."""
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            with suppress(aiohttp.ClientError):
                async with session.get(f"{url}/healthz"):
                    break
            await asyncio.sleep(0.1)
    await report("alone", url, seconds / 3)
    crowd = [asyncio.create_task(keep_open(port, number)) for number in range(strangers)]
    await asyncio.sleep(strangers / 300)
    await report(f"beside {strangers} strangers", url, seconds)
    for stranger in crowd:
        stranger.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


async def keep_open(port: int, number: int) -> None:
    """A stranger: half a head, and another connection when this one is closed."""
    await asyncio.sleep(number / 300)
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HALF_HEAD)
            await reader.read()
            writer.close()
        await asyncio.sleep(1)


async def report(name: str, url: str, seconds: float) -> None:
    """Prints how many requests were answered, and how long that took."""
    took_s, failed, photo = [], 0, photos(1)[0]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            timeout = aiohttp.ClientTimeout(TIMEOUT_S)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(f"{url}/v1/detect", data=photo, headers={"X-Api-Key": KEY}) as answer,
            ):
                answer.raise_for_status()
            took_s.append(time.monotonic() - began)
        except (aiohttp.ClientError, TimeoutError):
            failed += 1
        await asyncio.sleep(EACH_S)
    figures = "none answered"
    if len(took_s) > 1:
        p50, p99 = (1000 * percentile(took_s, share) for share in (0.5, 0.99))
        figures = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    print(f"{name}: {len(took_s)} answered, {failed} failed; {figures}")


if __name__ == "__main__":
    main()
