"""Probing a provider's hidden input size: the same photos in canvases of several sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from gateway.core.model import Route, Size
from gateway.quality.collect.collector import AnswerStore, collect, questions
from gateway.quality.collect.purchase import Purchase, made_with
from gateway.wiring.parts import Parts
from providers.base import About, Picture, Provider
from providers.detection import Detection, Task
from providers.options import Canvas
from thresholds.fusion.looks import LookKind, PhotoFacts
from thresholds.profile.input_size import Probe
from thresholds.profile.input_size import probe as judge
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import sample as make_sample
from thresholds.shape import Shape

SHAPE = Shape(2, 2)
PHOTOS = 80
SMALLEST_PX = 320
STEPS = 3
"""Canvas sizes between a side and its double."""
ROUND_PX = 32
"""Networks take multiples of it."""


class Resized:
    """A provider that is asked about canvases of another size than configured; it belongs to
    whoever opened it."""

    def __init__(self, provider: Provider, canvas: Canvas) -> None:
        self._provider = provider
        self.about: About = replace(provider.about, canvas_px=canvas)

    async def detect(
        self, picture: Picture, task: Task, wanted: Sequence[str] = ()
    ) -> Sequence[Detection]:
        return await self._provider.detect(picture, task, wanted)

    async def ready(self) -> None:
        await self._provider.ready()

    async def close(self) -> None:
        """Leaves the provider open."""


def canvases(about: About) -> list[Canvas]:
    """From 320 pixels of the longer side to twice the configured size, a third of a doubling apart,
    as far as the provider's limits allow."""
    found = [Canvas(*about.canvas_px)]
    for step in range(-12 * STEPS, STEPS + 1):
        scaled = Canvas(
            *(
                max(round(side * 2 ** (step / STEPS) / ROUND_PX), 1) * ROUND_PX
                for side in about.canvas_px
            )
        )
        if step and max(scaled) >= SMALLEST_PX and _within(scaled, about):
            found.append(scaled)
    return sorted(set(found))


def _within(canvas: Canvas, about: About) -> bool:
    limits = about.limits
    sides = limits.min_side_px <= min(canvas) and max(canvas) <= limits.max_side_px
    return sides and canvas.width_px * canvas.height_px <= limits.max_pixels


def errands(
    parts: Parts,
    route: Route,
    sizes: Mapping[str, Size],
    folder: Path,
    config_file: Path,
    *,
    wanted: bool,
) -> list[Purchase]:
    """One for each size of canvas, its answers in a folder of its own; where no probe is wanted,
    those that were all answered before."""
    provider, border = parts.providers[route.provider], route.cascade.border
    asked = questions({key: sizes[key] for key in sorted(sizes)[:PHOTOS]}, [SHAPE], 1)
    made = []
    for canvas in canvases(provider.about.for_task(route.task)):
        name = "x".join(map(str, canvas))
        place = folder / f"probe-{name}"
        if wanted or place.is_dir():
            note = made_with(
                parts.settings, route.provider, route.task, config_file, border=border, canvas=name
            )
            purpose = f" in canvases of {name}"
            made.append(
                Purchase(
                    Resized(provider, canvas),
                    asked,
                    AnswerStore(place, note),
                    border,
                    purpose,
                    route.task,
                )
            )
    return made if wanted else [errand for errand in made if not errand.missing]


def result(
    errands: Sequence[Purchase],
    facts: Mapping[str, PhotoFacts],
    sizes: Mapping[str, Size],
    known: Mapping[str, Known],
) -> Probe | None:
    """What the answers say; None where there are none."""
    looks: dict[LookKind, Mapping[str, list[list[Detection]]]] = {}
    sides: dict[LookKind, tuple[int, int]] = {}
    for errand in errands:
        canvas = errand.provider.about.canvas_px
        if by_photo := collect(errand.answered(sizes)).get(SHAPE):
            kind = LookKind(SHAPE, "x".join(map(str, canvas)))
            looks[kind], sides[kind] = by_photo, canvas
    probed = {key for by_photo in looks.values() for key in by_photo}
    if not probed:
        return None
    chosen = {key: fact for key, fact in facts.items() if key in probed}
    return judge(make_sample(chosen, looks, known or None), sides)


def table(probe: Probe) -> Table:
    """By size of canvas; the one that is enough is marked."""
    title = f"{probe.photos} photos in grids of {probe.shape}, by canvas size"
    made = Table(title=title, box=SIMPLE_HEAD)
    for column in ("canvas", "AP50", "agrees with largest", ""):
        made.add_column(column, justify="right")
    for index, size in enumerate(probe.sizes):
        ap50 = "" if size.ap50 is None else f"{size.ap50:.3f}"
        mark = "enough" if index == probe.enough else ""
        made.add_row(str(size), ap50, f"{size.agreement:.3f}", mark)
    return made


def advice(probe: Probe, configured: tuple[int, int]) -> str:
    """One sentence on what to write for `canvas`."""
    enough, largest = probe.sizes[probe.enough], probe.sizes[-1]
    if (enough.width_px, enough.height_px) == configured:
        return f"canvas: {enough} is what answers stop improving at; leave it as it is"
    if enough == largest:
        return f"answers still improve at canvas: {enough}, the largest that was tried; set that, and probe again"
    return f"answers stop improving at canvas: {enough}; set that, and profile again with it"
