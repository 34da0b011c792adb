"""Probes a provider's hidden input size with the same photos in canvases of several sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.core.model import Route, Size
from gateway.quality.collect.answer_store import AnswerStore, answers_by_shape
from gateway.quality.collect.purchase import Purchase
from gateway.quality.collect.questions import questions_by_batch
from gateway.wiring.provenance import provenance
from gateway.wiring.routes import Routing
from providers.base import About, Picture, Provider
from providers.detection import Detection, Task
from providers.options import Canvas
from thresholds.fusion.looks import LookKind, PhotoFacts
from thresholds.profile.input_size import Probe
from thresholds.profile.input_size import probe as input_size_of
from thresholds.samples.from_answers import sample_from_answers as make_sample
from thresholds.samples.ground_truth import Known
from thresholds.shape import Shape

SHAPE = Shape(2, 2)
PHOTOS = 80
SMALLEST_PX = 320
STEPS = 3
"""Canvas sizes between a side and its double."""
ROUND_PX = 32
"""Networks take multiples of it."""


class ResizedProvider:
    """A provider that takes canvases of another size than configured. It does not own the provider
    that it wraps."""

    def __init__(self, provider: Provider, canvas: Canvas) -> None:
        self._provider = provider
        self.about: About = replace(provider.about, canvas_px=canvas)

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        return await self._provider.detect(picture, task, extras)

    async def ready(self) -> None:
        await self._provider.ready()

    async def close(self) -> None:
        """Leaves the wrapped provider open."""


def canvases(about: About) -> list[Canvas]:
    """Canvas sizes, ascending: from 320 pixels of the longer side to twice the configured size, a
    third of a doubling apart, within the provider's limits."""
    sizes = {Canvas(*about.canvas_px)}
    for step in range(-12 * STEPS, STEPS + 1):
        scaled = _scaled(about.canvas_px, 2 ** (step / STEPS))
        if step and max(scaled) >= SMALLEST_PX and _within_limits(scaled, about):
            sizes.add(scaled)
    return sorted(sizes)


def _scaled(canvas_px: tuple[int, int], scale: float) -> Canvas:
    width, height = (max(round(side * scale / ROUND_PX), 1) * ROUND_PX for side in canvas_px)
    return Canvas(width, height)


def _within_limits(canvas: Canvas, about: About) -> bool:
    limits = about.limits
    sides = limits.min_side_px <= min(canvas) and max(canvas) <= limits.max_side_px
    return sides and canvas.width_px * canvas.height_px <= limits.max_pixels


def purchases(
    routing: Routing,
    route: Route,
    batches: Sequence[Mapping[str, Size]],
    folder: Path,
    *,
    probe: bool,
) -> list[Purchase]:
    """A purchase for each canvas size, about the first of the photos, with its answers in a folder
    below `folder`. Without `probe`, only those that are complete already."""
    provider = routing.providers[route.provider]
    about = provider.about.for_task(route.task)
    canvas_questions = questions_by_batch(_first_photos(batches), [SHAPE], 1)
    by_size = []
    for canvas in canvases(about):
        size = "x".join(map(str, canvas))
        answers = folder / f"probe-{size}"
        if probe or answers.is_dir():
            origin = provenance(
                routing.settings,
                routing.file,
                route.provider,
                route.task,
                border=route.cascade.border,
                canvas=size,
            )
            by_size.append(
                Purchase(
                    ResizedProvider(provider, canvas),
                    canvas_questions,
                    AnswerStore(answers, origin),
                    route.cascade.border,
                    f" in canvases of {size}",
                    route.task,
                )
            )
    return by_size if probe else [purchase for purchase in by_size if not purchase.missing]


def _first_photos(batches: Sequence[Mapping[str, Size]]) -> list[Mapping[str, Size]]:
    """The first `PHOTOS` photos by batch and key."""
    parts, left = list[Mapping[str, Size]](), PHOTOS
    for batch in batches:
        parts.append({key: batch[key] for key in sorted(batch)[:left]})
        left -= len(parts[-1])
    return parts


def result(
    purchases: Sequence[Purchase],
    facts: Mapping[str, PhotoFacts],
    sizes: Mapping[str, Size],
    known: Mapping[str, Known],
) -> Probe | None:
    """The probe of the stored answers; None where there are none."""
    looks: dict[LookKind, Mapping[str, list[list[Detection]]]] = {}
    sides: dict[LookKind, tuple[int, int]] = {}
    probed: set[str] = set()
    for purchase in purchases:
        canvas = purchase.provider.about.canvas_px
        if by_photo := answers_by_shape(purchase.answers(sizes)).get(SHAPE):
            kind = LookKind(SHAPE, "x".join(map(str, canvas)))
            looks[kind], sides[kind] = by_photo, canvas
            probed.update(by_photo)
    if not probed:
        return None
    probed_facts = {key: fact for key, fact in facts.items() if key in probed}
    return input_size_of(make_sample(probed_facts, looks, known or None), sides)


def advice(probe: Probe, configured: tuple[int, int]) -> str:
    """One sentence on which canvas size to configure."""
    enough, largest = probe.sizes[probe.enough], probe.sizes[-1]
    if (enough.width_px, enough.height_px) == configured:
        return f"canvas: {enough} is what answers stop improving at; leave it as it is"
    if enough == largest:
        return (
            f"answers still improve at canvas: {enough}, the largest that was tried; set that, and "
            "probe again"
        )
    return f"answers stop improving at canvas: {enough}; set that, and profile again with it"
