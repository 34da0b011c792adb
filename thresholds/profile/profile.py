"""The seed paper's thresholds from the answers of a sample at every shape.

EECS-2023-182, section 3.2, "Profiling".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from providers.detection import Detection
from thresholds.cascade import Cascade, Stage
from thresholds.fusion.arrays import BoxArray, LabelIndex
from thresholds.fusion.looks import ITSELF
from thresholds.metrics.matching import match_boxes
from thresholds.profile.input_size import Probe
from thresholds.profile.shape_stats import AtShape
from thresholds.rules import imgrid
from thresholds.rules.imgrid import Spread
from thresholds.samples.sample import Sample
from thresholds.shape import Shape

FILE = "profile.json"

Answers = Mapping[Shape, Mapping[str, Sequence[Sequence[Detection]]]]
"""By shape and photo, the detections in each grouping that the photo was asked in."""


class LabelScores(BaseModel):
    """Scores of one label at one shape, of the objects for which `largest` is the largest shape
    that detects them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    label: str
    shape: Shape
    largest: Shape
    score: Spread


class Profile(BaseModel):
    """The statistics of a provider over a sample: enough for the rule of any stage whose shape was
    profiled.

    `canvas` is its size as settings write it, such as `640x640`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    provider: str = ""
    canvas: str = ""
    photos: int
    floor: float
    area: Spread
    groups: tuple[LabelScores, ...]
    shapes: tuple[AtShape, ...] = ()
    probe: Probe | None = None

    def rule(self, shape: Shape, *, factor: float = 1.0, deviations: float = 0.0) -> imgrid.Rule:
        """The rule of a stage at that shape. Raises ValueError where the profile has no scores
        there."""
        if shape not in {group.shape for group in self.groups}:
            raise ValueError(
                f"shape {shape} is not in the profile: it saw nothing there, or was not asked"
            )
        largest = [group for group in self.groups if group.shape == group.largest == shape]
        return imgrid.Rule(
            area=self.area,
            scores={group.label: group.score for group in largest},
            unknown=_pooled([group.score for group in largest]),
            floor=self.floor,
            factor=factor,
            deviations=deviations,
        )

    def cascade(
        self, shapes: Sequence[Shape], *, factor: float = 1.0, deviations: float = 0.0
    ) -> Cascade:
        """The cascade of these shapes, each but the last with its rule."""
        stages = []
        for shape in shapes[:-1]:
            rule = self.rule(shape, factor=factor, deviations=deviations)
            stages.append(Stage(shape=shape, rule=rule))
        return Cascade(stages=(*stages, Stage(shape=shapes[-1])))

    @classmethod
    def load(cls, path: Path) -> Profile:
        """The profile in a file. Raises ValueError, naming the file, where it is none."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ValueError(
                f"{path}: cannot be read ({error.strerror}); imgrid profile makes it, of "
                "tasks with boxes (of moderation and labels it writes the cascade itself)"
            ) from None
        except ValidationError:
            raise ValueError(f"{path}: is no profile; make it anew with: imgrid profile") from None

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1) + "\n")


def profile_of_sample(sample: Sample, *, floor: float = 0.3) -> Profile:
    """The profile of the sample's own provider. Without ground truth the objects of a photo are the
    detections of its answer alone that score at least `floor`."""
    photos = range(len(sample))
    objects = _objects(sample, floor)
    truth = {str(photo): sample.detections(objects[photo]) for photo in photos}
    answers: dict[Shape, dict[str, list[list[Detection]]]] = {}
    for kind, tables in sample.looks.items():
        if not kind.provider:
            by_photo = answers[kind.shape] = {}
            for photo in photos:
                groupings = [table.of_photo(photo) for table in tables]
                by_photo[str(photo)] = [sample.detections(boxes) for boxes in groupings]
    return profile_of_answers(truth, answers, floor=floor)


def _objects(sample: Sample, floor: float) -> list[BoxArray]:
    """The objects of each photo."""
    photos = range(len(sample))
    if sample.truth is not None:
        return [sample.truth.of_photo(photo) for photo in photos]
    alone = [sample.look(ITSELF, 0).of_photo(photo) for photo in photos]
    return [boxes.take(boxes.scores >= floor) for boxes in alone]


class _ObjectScore(NamedTuple):
    """The mean score of one object at a shape that detects it, and its label there."""

    label: str
    shape: Shape
    score: float


def profile_of_answers(
    truth: Mapping[str, Sequence[Detection]], answers: Answers, *, floor: float = 0.3
) -> Profile:
    """The profile of a sample.

    `truth` holds each photo's objects: ground truth, or the provider's own answer alone where there
    is none. Detections under `floor` do not count as detected.
    """
    areas = []
    for objects in truth.values():
        areas.append(sum(each.box.area for each in objects))
    groups: dict[tuple[str, Shape, Shape], list[float]] = defaultdict(list)
    for photo, objects in truth.items():
        for scores in _object_scores(photo, objects, answers, floor):
            if scores:
                largest = max((each.shape for each in scores), key=lambda shape: shape.cells)
                for each in scores:
                    groups[each.label, each.shape, largest].append(each.score)
    rows = []
    for (label, shape, largest), values in sorted(groups.items()):
        rows.append(LabelScores(label=label, shape=shape, largest=largest, score=spread(values)))
    return Profile(photos=len(truth), floor=floor, area=spread(areas), groups=tuple(rows))


def _object_scores(
    photo: str, objects: Sequence[Detection], answers: Answers, floor: float
) -> list[list[_ObjectScore]]:
    """For each object of a photo, its scores at the shapes that detect it in more than half of
    their groupings."""
    scores: list[list[_ObjectScore]] = [[] for _ in objects]
    for shape, by_photo in answers.items():
        groupings = by_photo.get(photo, ())
        matches: list[list[Detection]] = [[] for _ in objects]
        for detections in groupings:
            for index, match in _matches(objects, detections, floor):
                matches[index].append(match)
        for index, each in enumerate(matches):
            if 2 * len(each) > len(groupings):
                mean = fmean(match.score for match in each)
                scores[index].append(_ObjectScore(each[0].label, shape, mean))
    return scores


def _matches(
    objects: Sequence[Detection], detections: Sequence[Detection], floor: float
) -> list[tuple[int, Detection]]:
    """The objects that a detection of at least `floor` matches, by index, each with its match."""
    labels = LabelIndex()
    truth = labels.box_array(objects)
    strong = [each for each in detections if each.score >= floor]
    strong.sort(key=lambda detection: -detection.score)
    matches = match_boxes(labels.box_array(strong), truth).tolist()
    return [(index, strong[row]) for row, index in enumerate(matches) if index >= 0]


def spread(values: Iterable[float]) -> Spread:
    """Mean, standard deviation of the population, and count; all 0 of no values."""
    numbers = list(values)
    if not numbers:
        return Spread(mean=0.0)
    return Spread(mean=fmean(numbers), std=pstdev(numbers), count=len(numbers))


def _pooled(spreads: Sequence[Spread]) -> Spread | None:
    """The spread of all values together, from the spreads of their groups."""
    count = sum(each.count for each in spreads)
    if not count:
        return None
    mean = sum(each.count * each.mean for each in spreads) / count
    square = sum(each.count * (each.std**2 + each.mean**2) for each in spreads) / count
    return Spread(mean=mean, std=max(square - mean**2, 0.0) ** 0.5, count=count)
