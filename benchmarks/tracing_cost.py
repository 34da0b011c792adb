"""The processor time that tracing costs a photo: gateways without it and with a share of the
requests traced take turns, each in a process of its own.

The export is included. The collector, in the process of the load, reads what it is sent and
answers.

python benchmarks/tracing_cost.py [--rounds 10] [--photos 200] [--clients 64]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from common import gateway, photos, two_sides
from load import ask_all
from rich.console import Console
from rich.table import Table

EXPORT_S = 6.0
"""Until the last spans are sent."""
SAMPLES = (None, 0.1, 1.0)


class Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def collector() -> Iterator[str]:
    """The address of a collector that runs while the block lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def cpu_s(pid: int) -> float:
    """The processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost_ms(shape: str, options: argparse.Namespace) -> Mapping[float | None, float]:
    """The processor time a photo by the share of traced requests, None for no tracing."""
    ours, theirs = two_sides()
    os.sched_setaffinity(0, theirs)
    sent = photos(options.photos)
    with collector() as url, ExitStack() as stack:
        gateways: dict[float | None, tuple[str, int]] = {}
        for sample in SAMPLES:
            changes = {} if sample is None else {"tracing": {"endpoint": url, "sample": sample}}
            gateways[sample] = stack.enter_context(gateway(ours, 0.0, shape, **changes))
        for address, _ in gateways.values():
            asyncio.run(ask_all(address, sent, options.clients))
        time.sleep(EXPORT_S)
        began = {sample: cpu_s(pid) for sample, (_, pid) in gateways.items()}
        order = list(gateways.values())
        for _ in range(options.rounds):
            random.shuffle(order)
            for address, _ in order:
                asyncio.run(ask_all(address, sent, options.clients))
        time.sleep(EXPORT_S)
        count = options.rounds * options.photos
        return {
            sample: 1000 * (cpu_s(pid) - began[sample]) / count
            for sample, (_, pid) in gateways.items()
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    table = Table(title="processor time a photo, in ms")
    for column in ("shape", "no tracing", "sample 0.1", "sample 1", "0.1: more", "1: more"):
        table.add_column(column, justify="right")
    for shape in ("1x1", "2x2", "5x5"):
        costs = cost_ms(shape, options)
        base, *traced = (costs[sample] for sample in SAMPLES)
        figures = [f"{cost:.2f}" for cost in (base, *traced)]
        table.add_row(shape, *figures, *(f"{100 * (cost / base - 1):+.1f} %" for cost in traced))
    Console().print(table)


if __name__ == "__main__":
    main()
