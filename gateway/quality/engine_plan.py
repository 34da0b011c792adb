"""The plan of a local engine: every network of the configuration at every input size answers the
same photos, and is timed while it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from time import perf_counter
from typing import NamedTuple

from gateway.core.model import Photo, Size
from gateway.grid.reference_view import reference_view, without_frame
from gateway.grid.tile import drawing
from gateway.quality.calibration import LocalModel, picture_input_of, sizes_of
from gateway.quality.collect.photos import LabelledPhotos
from gateway.quality.evaluate.scores import precision_of
from gateway.quality.progress import Advance, Progress
from gateway.quality.provider_speed import photos_per_s
from providers import onnx
from providers.detection import Detection, Task
from providers.engine.loading import OnnxDetector, load_model
from providers.engine.machine import MachineProfile, area_of
from providers.options import Canvas
from thresholds.plan.engine_plan import EnginePlan, EnginePoint
from thresholds.plan.throughput import CPU, capacities_of, run_cost
from thresholds.samples.ground_truth import Known

MIN_REFERENCE_SCORE = 0.5
"""Of the detections of the reference look that count as objects."""


class Variant(NamedTuple):
    """One network at one input size."""

    model: LocalModel
    input_px: Canvas
    rectangular: bool

    @property
    def options(self) -> onnx.Options:
        """The settings of a provider that answers so."""
        changes = {"input_size": self.input_px, "rectangular": self.rectangular}
        return self.model.options.model_copy(update=changes)


class TimedLook(NamedTuple):
    """One photo's answer, the size of its input, and what it took in seconds: to prepare the input,
    to run, and to read the boxes."""

    detections: Sequence[Detection]
    input_px: Canvas
    prepare_s: float
    run_s: float
    read_s: float


@dataclass(frozen=True, slots=True)
class EngineStudy:
    """A plan, the variant of each of its points, the number of photos, and whether their ground
    truth was known."""

    plan: EnginePlan
    variants: Mapping[EnginePoint, Variant]
    photos: int
    has_truth: bool


def study(
    models: Sequence[LocalModel],
    sample: LabelledPhotos,
    sizes: Sequence[Canvas],
    progress: Progress,
    machine: MachineProfile | None = None,
) -> EngineStudy:
    """The points of all models at all sizes that they can have. Quality is AP50 by the sample's
    ground truth; without any, by what the dearest variant detects on the photos mirrored and a
    little smaller, so that no variant is compared with its own errors.

    With a machine profile the time of networks is that machine's, and else as it was here.
    """
    variants: list[Variant] = []
    for model in models:
        variants += _variants(model, sizes)
    workers = onnx.cores_of_process()
    known: Mapping[str, Known] = sample.known
    if not known:
        dearest = max(variants, key=lambda each: area_of(each.input_px))
        known = _reference(dearest, sample.photos, progress)
    points: dict[EnginePoint, Variant] = {}
    with progress.stage("variants", len(variants) * len(sample.photos)) as advance:
        for variant in variants:
            looks = _looks(variant, sample.photos, workers, advance)
            points[_point(variant, looks, known, machine)] = variant
    capacities = {CPU: float(workers)} if machine is None else capacities_of(machine)
    plan = EnginePlan(list(points), capacities)
    return EngineStudy(plan, points, len(sample.photos), bool(sample.known))


def _variants(model: LocalModel, sizes: Sequence[Canvas]) -> Iterator[Variant]:
    for size in sizes_of(picture_input_of(model), sizes):
        yield Variant(model, size, rectangular=False)
        is_rectangular = load_model(
            model.options.model_copy(update={"input_size": size, "rectangular": True}),
            model.folder,
        ).reader.rectangular
        if is_rectangular:
            yield Variant(model, size, rectangular=True)


def _looks(
    variant: Variant, photos: Mapping[str, Photo], workers: int, advance: Advance
) -> dict[str, TimedLook]:
    """The variant's looks at all photos, with all cores busy."""
    loaded = load_model(variant.options, variant.model.folder)

    def look(key: str) -> TimedLook:
        photo, began = photos[key], perf_counter()
        image = drawing(photo, Size(*loaded.reader.drawn_size(photo.size)))
        reader = loaded.reader.fitted(image.size)
        tensor = reader.tensor(image)
        prepared = perf_counter()
        outputs = loaded.network.run(tensor)
        ran = perf_counter()
        detections = reader.detections(outputs, image)
        advance()
        return TimedLook(
            detections, reader.size, prepared - began, ran - prepared, perf_counter() - ran
        )

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(photos, pool.map(look, photos), strict=True))


def _point(
    variant: Variant,
    looks: Mapping[str, TimedLook],
    known: Mapping[str, Known],
    machine: MachineProfile | None,
) -> EnginePoint:
    """The variant's quality and costs; with a machine profile, the network's are that machine's."""
    name = variant.model.name
    precision = precision_of(known, {key: look.detections for key, look in looks.items()})
    run_s, pool, mini_batch = fmean(look.run_s for look in looks.values()), CPU, 1
    if machine is not None:
        costs = [run_cost(machine, name, look.input_px) for look in looks.values()]
        run_s = fmean(cost.seconds for cost in costs)
        pool, mini_batch = costs[0].pool, costs[0].mini_batch
    return EnginePoint(
        model=name,
        input_px=variant.input_px,
        rectangular=variant.rectangular,
        quality=precision.ap50 if precision else 0.0,
        prepare_s=fmean(look.prepare_s for look in looks.values()),
        run_s=run_s,
        read_s=fmean(look.read_s for look in looks.values()),
        run_pool=pool,
        mini_batch=mini_batch,
    )


def measured_photos_per_s(variant: Variant, photos: Mapping[str, Photo]) -> float:
    """The photos a second of a provider with these settings, asked as the gateway asks it."""
    provider = onnx.create(variant.model.name, variant.options, variant.model.folder)
    return photos_per_s(provider, photos.values(), Task.OBJECTS)


def _reference(
    variant: Variant, photos: Mapping[str, Photo], progress: Progress
) -> Mapping[str, Known]:
    """What a variant detects on the reference view of each photo, as ground truth of all labels."""
    loaded = load_model(variant.options, variant.model.folder)
    detector = OnnxDetector(loaded.network, loaded.reader)
    labels = frozenset(loaded.class_names)

    def look(key: str) -> Known:
        photo = photos[key]
        image = drawing(photo, Size(*loaded.reader.drawn_size(photo.size)))
        detections = without_frame(detector(reference_view(image)))
        objects = [each for each in detections if each.score >= MIN_REFERENCE_SCORE]
        return Known(objects, labels)

    known: dict[str, Known] = {}
    with (
        ThreadPoolExecutor(onnx.cores_of_process()) as pool,
        progress.stage("reference", len(photos)) as advance,
    ):
        for key, objects in zip(photos, pool.map(look, photos), strict=True):
            known[key] = objects
            advance()
    return known
