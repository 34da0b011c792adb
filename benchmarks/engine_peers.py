"""The local engine beside servers that people would use otherwise, for the same network: one photo
a request in, boxes out, with decoding, resizing and suppression on the server.

The peers lie in benchmarks/peers/, one file each, with the same detector, and are installed into
environments of their own. Each part runs in processes of its own, in turns; ratios are those of a
round, of which the median counts. Every server's boxes are compared with the engine's first. A peer
that cannot be installed or started is in the table, with the reason.

python benchmarks/engine_peers.py [--size 416] [--photos 200] [--rounds 5] [--only NAME ...]
    [--python FILE]
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
from common import photos
from engine_parts import (
    CLIENTS,
    Setup,
    Speed,
    answers,
    bare_loop,
    cores,
    gateway,
    jpeg_request,
    measured,
    parser,
    picture_of,
    provider_of,
    served_speed,
    setup_of,
)
from peers.detector import MIN_SCORE
from peers.servers import PEERS, Peer, PeerFailed, environment, running, versions
from rich import box
from rich.console import Console
from rich.table import Table

from providers.box_iou import box_iou_batch
from providers.detection import Task

CHECKED_PHOTOS = 8
SURE_SCORE, MIN_IOU = 0.5, 0.9
"""Boxes that score so much must overlap by so much with one of the other side: decoders differ."""
BARE, PADDED, RECT = "bare loop", "imgrid, padded", "imgrid, rect"
USUAL_SIDE_PX = 640


class Row(NamedTuple):
    """One row of the table: its speeds by round, or why there are none."""

    speeds: list[Speed]
    failure: str = ""


@cache
def engine_boxes(setup: Setup) -> list[np.ndarray]:
    """The engine's boxes (n, 6) of the first photos, padded as the peers do it: corners as
    fractions of the photo, score, class id."""
    provider = provider_of(setup, rectangular=False)
    labels = setup.labels.read_text().splitlines()
    boxes = []
    for data in photos(CHECKED_PHOTOS):
        found = asyncio.run(provider.detect(picture_of(data, provider), Task.OBJECTS))
        rows = [(*each.box, each.score, labels.index(each.label)) for each in found]
        boxes.append(np.array(rows).reshape(-1, 6))
    return boxes


def strangers(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The sure boxes (n, 6) that none of the others (m, 6) of the same class overlaps enough."""
    sure = boxes[boxes[:, 4] >= SURE_SCORE]
    alike = box_iou_batch(sure[:, :4], others[:, :4]) > MIN_IOU
    alike &= sure[:, 5:] == others[:, 5]
    return sure[~alike.any(axis=1)]


def check(peer: Peer, url: str, setup: Setup) -> None:
    """Stops the benchmark with RuntimeError if a peer sees something else than the engine."""
    requests = [peer.request(data) for data in photos(CHECKED_PHOTOS)]
    bodies = asyncio.run(answers(url, requests))
    for number, (body, engine) in enumerate(zip(bodies, engine_boxes(setup), strict=True)):
        boxes = np.array(peer.boxes(body)).reshape(-1, 6)
        boxes = boxes[boxes[:, 4] >= MIN_SCORE]
        for side, rows in (
            (peer.name, strangers(boxes, engine)),
            ("the engine", strangers(engine, boxes)),
        ):
            if len(rows):
                raise RuntimeError(f"{peer.name}, photo {number}: only {side} sees {rows}")


def peer_speed(setup: Setup, *, peer: Peer, python: str) -> Speed:
    """The speed of a peer. Raises PeerFailed if it cannot be installed or started."""
    requests = [peer.request(data) for data in photos(setup.photos)]
    with running(peer, environment(peer, python), setup, requests[0]) as (url, pid):
        check(peer, url, setup)
        return served_speed(url, pid, requests)


def gateway_speed(setup: Setup, *, rectangular: bool) -> Speed:
    """The speed of the engine behind the gateway."""
    requests = [jpeg_request(data) for data in photos(setup.photos)]
    with gateway(setup, rectangular=rectangular) as (url, pid):
        return served_speed(url, pid, requests)


def parts_of(python: str) -> dict[str, Callable[[Setup], Speed]]:
    """All parts, in the order of a round."""
    parts: dict[str, Callable[[Setup], Speed]] = {BARE: partial(measured, part=bare_loop)}
    for peer in PEERS.values():
        parts[peer.name] = partial(peer_speed, peer=peer, python=python)
    parts[PADDED] = partial(gateway_speed, rectangular=False)
    parts[RECT] = partial(gateway_speed, rectangular=True)
    parts[f"LitServe, square {USUAL_SIDE_PX}"] = lambda setup: peer_speed(
        setup._replace(side_px=USUAL_SIDE_PX), peer=PEERS["litserve"], python=python
    )
    return parts


def in_turns(
    parts: Mapping[str, Callable[[Setup], Speed]], setup: Setup, rounds: int, console: Console
) -> dict[str, Row]:
    """The rows of all parts; one that fails is not tried again."""
    rows = {name: Row([]) for name in parts}
    for number in range(1, rounds + 1):
        for name, part in parts.items():
            if rows[name].failure:
                continue
            try:
                speed = part(setup)
            except PeerFailed as error:
                rows[name] = Row([], str(error))
                console.print(f"{name}: {error}", markup=False)
                continue
            rows[name].speeds.append(speed)
            console.print(f"round {number}, {name}: {speed.photos_per_s:.1f} photos/s")
    return rows


def ratio(row: Row, other: Row) -> str:
    """The median and the range of the ratios of two rows' photos a second, round by round."""
    ratios = [
        speed.photos_per_s / base.photos_per_s
        for speed, base in zip(row.speeds, other.speeds, strict=True)
    ]
    return f"{statistics.median(ratios):.2f}\n{min(ratios):.2f}..{max(ratios):.2f}"


def table_of(rows: Mapping[str, Row], title: str) -> Table:
    """The table: medians of the rounds, and under those of ratios their range."""
    failures = [f"{name}: {row.failure}" for name, row in rows.items() if row.failure]
    table = Table(title=title, caption="\n".join(failures), box=box.SIMPLE, padding=0)
    table.add_column("", no_wrap=True)
    for column in ("photos/s", "/ bare", "padded / it", "rect / it", "CPU ms", "MB"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        if row.failure:
            table.add_row(name, "none")
            continue
        rate, cpu_ms, memory_mb = (
            statistics.median(values) for values in zip(*row.speeds, strict=True)
        )
        table.add_row(
            name,
            f"{rate:.1f}",
            ratio(row, rows[BARE]),
            ratio(rows[PADDED], row),
            ratio(rows[RECT], row),
            f"{cpu_ms:.1f}",
            f"{memory_mb:.0f}",
        )
    return table


def named(parts: Sequence[str], only: Sequence[str]) -> list[str]:
    """The parts to run: all, or those whose names contain one of `only` and those that all others
    are compared with."""
    fixed = {BARE, PADDED, RECT}
    return [
        part
        for part in parts
        if not only or part in fixed or any(name.lower() in part.lower() for name in only)
    ]


def main() -> None:
    arguments = parser(__doc__, photos=200)
    arguments.add_argument("--only", nargs="*", default=[], help="peers, by a part of their names")
    arguments.add_argument(
        "--python", default="python3", help="the Python of the peers' environments"
    )
    options = arguments.parse_args()
    setup, console = setup_of(options), Console()
    parts = parts_of(options.python)
    parts = {name: parts[name] for name in named(list(parts), options.only)}
    rows = in_turns(parts, setup, options.rounds, console)
    title = f"{setup.model.name} at {setup.side_px}, {CLIENTS} clients, {cores()} cores, "
    console.print(table_of(rows, f"{title}medians of {options.rounds} rounds"))
    packages = ("onnxruntime", "opencv-python-headless", "numpy")
    console.print("imgrid:", ", ".join(f"{name} {version(name)}" for name in packages))
    for peer in PEERS.values():
        if peer.name in rows and not rows[peer.name].failure:
            console.print(f"{peer.name}: {versions(peer)}")


if __name__ == "__main__":
    main()
