"""Groups of photos: the order in which they are asked about, and the verdict on a canvas. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from gateway.core.layout import Rect
from gateway.core.model import Entry, Size
from gateway.grid.layout import fitted_size
from gateway.pipeline.entry_view import Routes, facts_of, view_of
from providers.detection import Detection, concerning
from thresholds.cascade import Cascade
from thresholds.fusion.looks import Evidence, Look
from thresholds.rules.base import Verdict
from thresholds.shape import Shape

TOO_SMALL = Verdict(1, "shown smaller than any threshold is for")


def in_order(entries: Sequence[Entry], routes: Routes) -> list[Entry]:
    """The photos of a group in the order in which they are asked about.

    First those that were put back before, the oldest first: the first photo of a group is always
    settled, so none is put back for ever. Then those of the highest risk, by the companion. Among
    equals, photos of one orientation stay together, because a half of them is shown larger.
    """

    def sort_key(entry: Entry) -> tuple[float, float, bool]:
        was_put_back = any(not step.free for step in entry.steps)
        waits_since = entry.accepted_at if was_put_back else inf
        return waits_since, -_risk(entry, routes), entry.photo.size.portrait

    return sorted(entries, key=sort_key)


def stage_of_size(
    cascade: Cascade, size: Size, place: Rect, canvas_px: tuple[int, int]
) -> int | None:
    """The stage whose threshold is meant for a photo that is drawn as large as its place on a
    canvas: the finest stage for groups that shows it no larger. None where all stages show it
    larger. `canvas_px` is the provider's canvas (width, height)."""

    def fits(shape: Shape) -> bool:
        stage_size = fitted_size(size, shape.towards(portrait=size.portrait), canvas_px)
        return stage_size.width_px <= place.width + 1 and stage_size.height_px <= place.height + 1

    stages = [stage for stage in cascade.groups if fits(cascade.stages[stage].shape)]
    return max(stages, default=None)


def group_verdict(
    cascade: Cascade, stage_index: int, entry: Entry, detections: Sequence[Detection]
) -> Verdict:
    """The verdict of a stage for groups on the detections that concern the photo."""
    stage = cascade.stages[stage_index]
    look = Look(stage.shape, concerning(detections, entry.only_labels), stage.provider or "")
    prior = prior_of(cascade, entry)
    return stage.rule.judge(Evidence(facts_of(entry.photo), (look,), prior=prior))


def prior_of(cascade: Cascade, entry: Entry) -> float | None:
    """The log-odds that the photo is flagged, by the companion's answer about it. None where the
    cascade knows none, or the companion did not answer."""
    answers = [step.detections for step in entry.steps if step.free]
    return cascade.risk.prior(answers[0]) if cascade.risk is not None and answers else None


def _risk(entry: Entry, routes: Routes) -> float:
    """The photo's prior or, where there is none, the companion's highest score among the labels
    that concern the photo."""
    prior = prior_of(view_of(entry, routes).cascade, entry)
    if prior is not None:
        return prior
    scores = [0.0]
    for step in entry.steps:
        if step.free:
            detections = concerning(step.detections, entry.only_labels)
            scores += [detection.score for detection in detections]
    return max(scores)
