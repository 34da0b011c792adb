"""The cost model against the engine: Table 3 of SMOL (VLDB 2021) on this machine.

Three configurations: the network bounds, both cost about the same, and decoding bounds (photos of
12 megapixels). For each, the photos/s of whole-photo workers as measured, and as foreseen from the
two parts, each measured with all cores busy: by the engine's model (pools: on a CPU the sum), by
SMOL's minimum of the two, by the network alone (BlazeIt, NoScope), and by the sum of one thread's
times (Tahoma), times the cores. Errors are relative; rounds are interleaved.

python benchmarks/engine_model.py [--rounds 5] [--seconds 2]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from common import photos
from engine_parts import MODELS, admitted
from PIL import Image
from rich.console import Console
from rich.table import Table

from gateway.core.model import Photo, Size
from gateway.grid.tile import drawing
from providers import onnx
from providers.engine.loading import load_model
from providers.engine.speed import busy_times
from thresholds.plan.throughput import ACCELERATOR, CPU, StageCost, photos_per_s

LARGE_PX = (4000, 3000)
INPUTS = 32
"""Inputs that the network is timed with in turn: one alone would stay in the caches."""


class Configuration(NamedTuple):
    """A side of the network's input, and the photos."""

    name: str
    side_px: int
    photos: Sequence[Photo]


class Rates(NamedTuple):
    """Photos a second: as measured, and as foreseen in four ways."""

    measured: float
    pools: float
    minimum: float
    network: float
    one_thread: float


def enlarged(data: bytes) -> bytes:
    """The photo as a JPEG of 12 megapixels."""
    out = BytesIO()
    with Image.open(BytesIO(data)) as image:
        image.convert("RGB").resize(LARGE_PX, Image.Resampling.BICUBIC).save(
            out, "JPEG", quality=90
        )
    return out.getvalue()


def rates_of(configuration: Configuration, model: Path, labels: Path, seconds: float) -> Rates:
    """One round of a configuration."""
    side = f"{configuration.side_px}x{configuration.side_px}"
    options = onnx.Options(
        kind="onnx", model=model, labels=labels, input_size=side, rectangular=False
    )
    loaded, cores = load_model(options, Path()), onnx.cores_of_process()
    reader, network = loaded.reader, loaded.network
    turns = cycle(configuration.photos)

    def drawn(photo: Photo) -> Image.Image:
        return drawing(photo, Size(*reader.drawn_size(photo.size)))

    def prepare() -> None:
        reader.tensor(drawn(next(turns)))

    images = [drawn(photo) for photo in configuration.photos[:INPUTS]]
    inputs = cycle([(image, reader.tensor(image)) for image in images])

    def run() -> None:
        image, tensor = next(inputs)
        reader.detections(network.run(tensor), image)

    def whole() -> None:
        seen = drawn(next(turns))
        reader.detections(network.run(reader.tensor(seen)), seen)

    def mean_s(work: Callable[[], None], workers: int) -> float:
        return fmean(busy_times(work, workers, seconds))

    whole_s, prepare_s, run_s = (mean_s(work, cores) for work in (whole, prepare, run))
    alone_s = mean_s(prepare, 1) + mean_s(run, 1)
    capacities = {CPU: float(cores), ACCELERATOR: float(cores)}
    return Rates(
        measured=cores / whole_s,
        pools=photos_per_s(capacities, [StageCost({CPU: prepare_s + run_s})]),
        minimum=photos_per_s(capacities, [StageCost({CPU: prepare_s, ACCELERATOR: run_s})]),
        network=cores / run_s,
        one_thread=cores / alone_s,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODELS / "yolox_nano.onnx")
    parser.add_argument("--labels", type=Path, default=MODELS / "coco80.txt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    small = [admitted(data) for data in photos(64)]
    large = [admitted(enlarged(data)) for data in photos(8)]
    configurations = (
        Configuration("network-bound: 416, small photos", 416, small),
        Configuration("balanced: 128, small photos", 128, small),
        Configuration("decoding-bound: 128, 12 megapixels", 128, large),
    )
    rounds: dict[str, list[Rates]] = {each.name: [] for each in configurations}
    for _ in range(options.rounds):
        for each in configurations:
            rounds[each.name].append(rates_of(each, options.model, options.labels, options.seconds))
    table = Table(
        title=f"{options.model.name}, {onnx.cores_of_process()} cores: photos/s and relative "
        f"errors, medians of {options.rounds} rounds"
    )
    for column in ("", "measured", "pools (ours)", "SMOL's min", "network only", "one thread"):
        table.add_column(column, justify="right" if column else "left")
    errors: list[list[float]] = []
    for name, rates in rounds.items():
        cells = [f"{statistics.median(each.measured for each in rates):.1f}"]
        row: list[float] = []
        for field in ("pools", "minimum", "network", "one_thread"):
            error = statistics.median(getattr(each, field) / each.measured - 1 for each in rates)
            rate = statistics.median(getattr(each, field) for each in rates)
            row.append(abs(error))
            cells.append(f"{rate:.1f} ({100 * error:+.1f} %)")
        errors.append(row)
        table.add_row(name, *cells)
    means = [f"{100 * fmean(column):.1f} %" for column in zip(*errors, strict=True)]
    table.add_row("mean of absolute errors", "", *means)
    Console().print(table)


if __name__ == "__main__":
    main()
