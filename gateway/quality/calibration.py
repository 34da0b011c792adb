"""The calibration of a machine: how long its networks run and its photos take to decode, each with
all cores busy."""

from __future__ import annotations

import multiprocessing
import os
import platform
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from io import BytesIO
from itertools import cycle
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from gateway.core.errors import PhotoError
from gateway.core.model import Photo, Size
from gateway.grid.tile import drawing
from gateway.quality.progress import Progress
from providers import onnx
from providers.engine.detector import PictureInput
from providers.engine.loading import load_model
from providers.engine.machine import (
    BatchRun,
    Machine,
    MachineProfile,
    NetworkSpeed,
    Preparation,
)
from providers.engine.memory import resident_bytes
from providers.engine.network import load_network
from providers.engine.preprocess import grey_tensor
from providers.engine.speed import busy_times
from providers.errors import Misconfigured
from providers.options import Canvas

T = TypeVar("T")

PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless", "pillow")
"""The packages whose versions a machine profile names."""
DRAWN_SIZES = (Size(500, 375), Size(4000, 3000))
"""Of the photos that are drawn where there are none: a small one, and one of 12 megapixels."""
DRAWN_QUALITY = 90
TRIAL_SIZE = Size(64, 64)
MAX_PHOTOS = 64
"""Of each format."""


class LocalModel(NamedTuple):
    """A network to measure: its provider's name, its options, and the folder that its files are
    relative to."""

    name: str
    options: onnx.Options
    folder: Path


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """What is measured: input sizes of networks with free sides, mini-batches, and the seconds that
    each measurement takes."""

    sizes: Sequence[Canvas]
    mini_batches: Sequence[int] = (1, 2, 4, 8)
    seconds: float = 1.0
    workers: int = field(default_factory=onnx.cores_of_process)


class _Job(NamedTuple):
    """One network at one input size in mini-batches of one size, run by so many workers, each with
    so many threads of the runtime."""

    model: LocalModel
    size: Canvas
    workers: int
    threads: int
    mini_batch: int
    seconds: float

    @property
    def options(self) -> onnx.Options:
        changes = {"input_size": self.size, "threads": self.threads, "rectangular": False}
        return self.model.options.model_copy(update=changes)


class _JobTimes(NamedTuple):
    """What a job measured: its run, and how long the network took to load."""

    run: BatchRun
    load_s: float


def calibrate(
    models: Sequence[LocalModel],
    photos: Sequence[Photo],
    options: CalibrationOptions,
    made_at: str,
    progress: Progress,
) -> MachineProfile:
    """The profile of this machine. Every mini-batch of every network is measured in a process of
    its own, so that its memory and its first run are its own.

    Raises Misconfigured, naming the provider, for a network that cannot be loaded.
    """
    inputs = {model.name: picture_input_of(model) for model in models}
    jobs: list[_Job] = []
    for model in models:
        jobs += _jobs(model, inputs[model.name], options)
    times: dict[tuple[str, Canvas, int, int], list[_JobTimes]] = defaultdict(list)
    with progress.stage("networks", len(jobs)) as advance:
        for job in jobs:
            key = job.model.name, job.size, job.workers, job.threads
            times[key].append(_in_own_process(_job_times, job))
            advance()
    executions = {model.name: model.options.execution for model in models}
    networks: list[NetworkSpeed] = []
    for (name, size, workers, threads), results in times.items():
        speed = NetworkSpeed(
            model=name,
            execution=executions[name],
            input_px=size,
            workers=workers,
            threads=threads,
            load_s=median(each.load_s for each in results),
            runs=tuple(each.run for each in results),
        )
        networks.append(speed)
    return MachineProfile(
        made_at=made_at,
        machine=this_machine(models),
        networks=tuple(networks),
        preparations=tuple(_preparations(photos, jobs, options, progress)),
    )


def picture_input_of(model: LocalModel) -> PictureInput:
    """The input of a model's network. Raises Misconfigured, naming the provider, where it cannot be
    loaded."""
    try:
        return load_model(model.options, model.folder).network.picture
    except Misconfigured as error:
        raise Misconfigured(f"provider {model.name}: {error}") from error


def sizes_of(picture: PictureInput, sizes: Sequence[Canvas]) -> Sequence[Canvas]:
    """The input sizes at which a network can be measured: all where its sides are free, else its
    own."""
    return sizes if picture.free_sides else [picture.size]


def _jobs(model: LocalModel, picture: PictureInput, options: CalibrationOptions) -> Iterator[_Job]:
    """At each size, one runtime thread a worker with all mini-batches, and all threads for one
    worker with one picture: which of the two is the faster differs. On an accelerator there is one
    worker."""
    workers = options.workers if model.options.execution == "cpu" else 1
    mini_batches = options.mini_batches if picture.free_batch else [1]
    for size in sizes_of(picture, options.sizes):
        for mini_batch in mini_batches:
            yield _Job(model, size, workers, 1, mini_batch, options.seconds)
        if workers > 1:
            yield _Job(model, size, 1, workers, mini_batches[0], options.seconds)


def _in_own_process(measure: Callable[[_Job], _JobTimes], job: _Job) -> _JobTimes:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, job).result()


def _job_times(job: _Job) -> _JobTimes:
    """What a job measures, in a process that has not loaded any network."""
    import onnxruntime

    file, execution = job.model.folder / job.options.model, job.options.execution
    load = partial(
        load_network, onnxruntime, file, job.options, execution=execution, threads=job.threads
    )
    pictures = np.repeat(grey_tensor(job.size), job.mini_batch, axis=0)
    memory_bytes = resident_bytes()
    network, load_s = _timed(load)
    run = partial(network.run, pictures)
    _, warm_up_s = _timed(run)
    times = busy_times(run, job.workers, job.seconds)
    memory_mb = max(resident_bytes() - memory_bytes, 0) / 1e6
    another, _ = _timed(load)
    _, warm_start_s = _timed(partial(another.run, pictures))
    batch_run = BatchRun(
        mini_batch=job.mini_batch,
        latency_s=median(times),
        warm_up_s=warm_up_s,
        warm_start_s=warm_start_s,
        memory_mb=round(memory_mb, 1),
    )
    return _JobTimes(batch_run, load_s)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result of a piece of work, and the seconds that it took."""
    began = perf_counter()
    result = work()
    return result, perf_counter() - began


def _preparations(
    photos: Sequence[Photo],
    jobs: Sequence[_Job],
    options: CalibrationOptions,
    progress: Progress,
) -> Iterator[Preparation]:
    """How long the photos take to prepare, by format and size, for each input size of the jobs."""
    groups = _by_format_and_size(photos)
    models = {job.size: job.model for job in reversed(jobs)}
    with progress.stage("photos", len(groups) * len(models)) as advance:
        for group in groups:
            for size in sorted(models):
                yield preparation(group, models[size], size, options)
                advance()


def preparation(
    photos: Sequence[Photo], model: LocalModel, size: Canvas, options: CalibrationOptions
) -> Preparation:
    """How long photos of one format take from their bytes to the input of a network of that size,
    in the proportions in which the engine shows them."""
    reader = load_model(model.options.model_copy(update={"input_size": size}), model.folder).reader

    turns = cycle(photos)

    def prepare() -> None:
        photo = next(turns)
        image = drawing(photo, Size(*reader.drawn_size(photo.size)))
        reader.fitted(image.size).tensor(image)

    times = busy_times(prepare, options.workers, options.seconds)
    return Preparation(
        format=photos[0].format,
        source_px=_mean_size(photos),
        input_px=size,
        workers=options.workers,
        photo_s=fmean(times),
    )


def decodable(
    photos: Mapping[str, Photo], files: Mapping[str, Path], progress: Progress
) -> dict[str, Photo]:
    """The photos that can be decoded; of the others `progress` is warned, by their files."""
    whole: dict[str, Photo] = {}
    for key, photo in photos.items():
        try:
            drawing(photo, TRIAL_SIZE)
        except PhotoError as error:
            progress.warn(f"{files[key]}: left out. {error}")
        else:
            whole[key] = photo
    return whole


def drawn_photos() -> list[Photo]:
    """Photos of noise, smooth as photos are, of several sizes."""
    photos: list[Photo] = []
    for number, size in enumerate(DRAWN_SIZES):
        noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        out = BytesIO()
        image.save(out, "JPEG", quality=DRAWN_QUALITY)
        photos.append(Photo(f"drawn-{number}", out.getvalue(), "JPEG", size))
    return photos


def _by_format_and_size(photos: Sequence[Photo]) -> list[Sequence[Photo]]:
    """The photos in groups of one format, and of like size: their pixels differ by less than four
    times."""
    groups: Mapping[tuple[str, int], list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.format, photo.pixels.bit_length() // 2].append(photo)
    return [group[:MAX_PHOTOS] for _, group in sorted(groups.items())]


def _mean_size(photos: Sequence[Photo]) -> tuple[int, int]:
    return (
        round(fmean(photo.size.width_px for photo in photos)),
        round(fmean(photo.size.height_px for photo in photos)),
    )


def this_machine(models: Sequence[LocalModel]) -> Machine:
    """This machine, and the versions of the packages that matter."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    places = {model.options.execution for model in models} - {"cpu"}
    return Machine(
        cpu=_cpu_name(),
        cores=onnx.cores_of_process(),
        memory_mb=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6),
        accelerator=", ".join(sorted(places)),
        versions=versions,
    )


def _cpu_name() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
