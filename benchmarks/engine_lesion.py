"""What each part of the engine is worth: a lesion study, as Figures 5 and 6 of SMOL (VLDB 2021).

The whole engine at a planned input size, and the same with one part switched off in turn:

- scaled decoding: JPEGs are decoded at full size
- rectangles: photos are padded to squares
- one pass: floats for all pixels, then arithmetic on them, instead of bytes until the last copy
- OpenCV: Pillow resizes, with antialiasing
- whole-photo workers: decoding threads hand inputs to one network thread with all of the cores
- objectness first: boxes and classes of all anchors, then the floor
- planned size: the default canvas of 640

For small photos and for photos of 12 megapixels. Interleaved rounds, medians of ratios.

python benchmarks/engine_lesion.py [--size 416] [--rounds 5] [--seconds 2]
"""

from __future__ import annotations

import argparse
import queue
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from common import photos
from engine_model import enlarged
from engine_parts import MODELS, admitted
from PIL import Image
from rich.console import Console
from rich.table import Table

from gateway.core.model import Photo, Size
from gateway.grid.tile import drawing
from providers import onnx
from providers.engine import heads
from providers.engine.loading import LoadedModel, load_model
from providers.engine.preprocess import pillow_planes
from providers.engine.reader import NetworkReader
from providers.engine.speed import busy_times

Work = Callable[[], None]


def model(options: argparse.Namespace, **changes: Any) -> LoadedModel:
    fields = {
        "kind": "onnx",
        "model": options.model,
        "labels": options.labels,
        "input_size": f"{options.size}x{options.size}",
        **changes,
    }
    return load_model(onnx.Options(**fields), Path())


def whole(
    loaded: LoadedModel,
    sample: Sequence[Photo],
    *,
    draw: Callable[[Photo, Size], Image.Image] = drawing,
    tensor_of: Callable[[NetworkReader, Image.Image], Any] = NetworkReader.tensor,
) -> Work:
    """A photo from its bytes to its boxes, in one thread."""
    turns = cycle(sample)

    def work() -> None:
        photo = next(turns)
        image = draw(photo, Size(*loaded.reader.drawn_size(photo.size)))
        reader = loaded.reader.fitted(image.size)
        reader.detections(loaded.network.run(tensor_of(reader, image)), image)

    return work


def full_size(photo: Photo, size: Size) -> Image.Image:
    """The photo decoded with all its pixels."""
    from io import BytesIO

    with Image.open(BytesIO(photo.data)) as image:
        return image.convert("RGB")


def float_passes(reader: NetworkReader, image: Image.Image) -> Any:
    """The input by way of floats of all pixels, three passes over them."""
    place = reader.preprocessing.fit and reader.drawn_size(image.size)
    canvas = Image.new("RGB", reader.size, reader.preprocessing.padding_rgb)
    canvas.paste(image.resize(place, Image.Resampling.BILINEAR))
    pixels = np.asarray(canvas, dtype=np.float32)[:, :, ::-1]
    values = (pixels / reader.preprocessing.divisor - np.zeros(3, np.float32)) / np.ones(
        3, np.float32
    )
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=np.float32)


class PatientReader(NetworkReader):
    """Reads boxes and classes of all anchors, of which the likely ones are taken at the end."""

    def _decode_rows(self, rows: Any) -> heads.HeadOutput:
        boxes = heads.yolox_boxes(rows, heads.anchors_of(self.size))
        scores = rows[:, 4:5] * rows[:, 5:]
        class_ids = scores.argmax(axis=1)
        best = scores[np.arange(len(scores)), class_ids]
        output = heads.HeadOutput(heads.corners(boxes), best, class_ids)
        return output.take(best >= self.min_score)


def pipeline_rate(
    loaded: LoadedModel, sample: Sequence[Photo], cores: int, seconds: float
) -> float:
    """Photos a second of decoding threads, one a core, that hand inputs to one network thread."""
    turns, inputs = cycle(sample), queue.Queue[Any](2 * cores)
    end = time.perf_counter() + seconds

    def prepare() -> None:
        while time.perf_counter() < end:
            photo = next(turns)
            image = drawing(photo, Size(*loaded.reader.drawn_size(photo.size)))
            reader = loaded.reader.fitted(image.size)
            inputs.put((reader, reader.tensor(image), image))
        inputs.put(None)

    threads = [threading.Thread(target=prepare) for _ in range(cores)]
    for thread in threads:
        thread.start()
    done, ended, began = 0, 0, time.perf_counter()
    while ended < cores:
        item = inputs.get()
        if item is None:
            ended += 1
            continue
        reader, tensor, image = item
        reader.detections(loaded.network.run(tensor), image)
        done += 1
    return done / (time.perf_counter() - began)


def rates_of(
    options: argparse.Namespace, sample: Sequence[Photo]
) -> dict[str, Callable[[], float]]:
    """By the part that is switched off, what measures the photos a second without it."""
    cores = onnx.cores_of_process()
    engine, padded = model(options), model(options, rectangular=False)
    default = model(options, input_size="640x640")
    wide = model(options, threads=cores)
    pillow = engine._replace(reader=replace(engine.reader, planes_of=pillow_planes))

    values = {each.name: getattr(engine.reader, each.name) for each in fields(engine.reader)}
    patient = engine._replace(reader=PatientReader(**values))

    def busy(work: Work) -> Callable[[], float]:
        return lambda: cores / fmean(busy_times(work, cores, options.seconds))

    return {
        "the whole engine": busy(whole(engine, sample)),
        "scaled decoding": busy(whole(engine, sample, draw=full_size)),
        "rectangles": busy(whole(padded, sample)),
        "one pass": busy(whole(engine, sample, tensor_of=float_passes)),
        "OpenCV": busy(whole(pillow, sample)),
        "whole-photo workers": lambda: pipeline_rate(wide, sample, cores, options.seconds),
        "objectness first": busy(whole(patient, sample)),
        "planned size": busy(whole(default, sample)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODELS / "yolox_nano.onnx")
    parser.add_argument("--labels", type=Path, default=MODELS / "coco80.txt")
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    samples = {
        "small photos": [admitted(data) for data in photos(64)],
        "12 megapixels": [admitted(enlarged(data)) for data in photos(8)],
    }
    parts = {name: rates_of(options, sample) for name, sample in samples.items()}
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for sample, rows in parts.items():
            for name, measure in rows.items():
                rates.setdefault((sample, name), []).append(measure())
    table = Table(title=f"photos/s at {options.size} without one part, and of the whole")
    for column in ("without", *samples):
        table.add_column(column, justify="right" if column in samples else "left")
    for name in parts["small photos"]:
        cells = []
        for sample in samples:
            base = rates[sample, "the whole engine"]
            ratios = [rate / of for rate, of in zip(rates[sample, name], base, strict=True)]
            median = statistics.median(rates[sample, name])
            cells.append(f"{median:.1f} ({statistics.median(ratios):.2f})")
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
