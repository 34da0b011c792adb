"""The photos of which a plan loses most and gains most, with both answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.quality.report.contact_sheet import TRUTH, BoxKind, SheetPhoto
from gateway.quality.report.extremes import most_gained, most_lost
from providers.detection import Detection
from thresholds.fusion.looks import ITSELF
from thresholds.metrics.agreement import CONFIDENCE
from thresholds.plan.candidates import Candidate
from thresholds.plan.planner import Exploration

NAMES: Mapping[BoxKind, str] = {"plan": "the plan", "alone": "1x1"}


class PlanSheet:
    """Draws photos of an exploration with a candidate's answers."""

    def __init__(
        self, explored: Exploration, candidate: Candidate, files: Mapping[str, Path]
    ) -> None:
        self._explored = explored
        self._candidate = candidate
        self._files = files
        study = explored.study
        alone = study.parts_by_grouping(study.alone)
        self._losses = alone - study.parts_by_grouping(candidate)
        quality = study.training.quality
        self._floor = CONFIDENCE if quality.metric == "agreement" else explored.profile.floor

    @property
    def least_score(self) -> float:
        """Boxes that score less are not drawn."""
        return self._floor

    @property
    def names(self) -> Mapping[BoxKind, str]:
        """The kinds of boxes that are drawn."""
        return {**NAMES, **TRUTH} if self._explored.study.sample.truth is not None else NAMES

    def sheets(self) -> dict[str, list[SheetPhoto]]:
        """By heading, the photos of which most is lost and most is gained."""
        return {
            "Lost most": [self._photo(*each) for each in most_lost(self._losses)],
            "Gained most": [self._photo(*each) for each in most_gained(self._losses)],
        }

    def _photo(self, photo: int, grouping: int, loss: float) -> SheetPhoto:
        """The photo with the answer of that grouping."""
        study, candidate = self._explored.study, self._candidate
        sample = study.sample
        boxes: dict[BoxKind, Sequence[Detection]] = {
            "plan": sample.detections(study.boxes(candidate, grouping, photo)),
            "alone": sample.detections(sample.look(ITSELF, 0).of_photo(photo)),
        }
        drawn = {kind: self._confident(each) for kind, each in boxes.items()}
        if sample.truth is not None:
            drawn["truth"] = sample.detections(sample.truth.of_photo(photo))
        key, facts = sample.photos[photo], sample.facts[photo]
        path = candidate.paths[candidate.choice[grouping, photo]]
        name = self._files[key].name if key in self._files else key
        note = f"{-loss:+.2f}, {name}, asked at {', '.join(map(str, path))}"
        return SheetPhoto(key, (facts.width_px, facts.height_px), drawn, note)

    def _confident(self, detections: Sequence[Detection]) -> list[Detection]:
        return [each for each in detections if each.score >= self._floor]
