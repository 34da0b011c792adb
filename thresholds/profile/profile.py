"""From what a sample of photos answered at every shape to the seed paper's thresholds.

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
from thresholds.fusion.boxes import match
from thresholds.fusion.looks import ITSELF
from thresholds.profile.input_size import Probe
from thresholds.profile.shape_stats import AtShape
from thresholds.rules import imgrid
from thresholds.rules.imgrid import Spread
from thresholds.samples.replay import detections
from thresholds.samples.sample import Sample
from thresholds.shape import Shape

FILE = "profile.json"

Answers = Mapping[Shape, Mapping[str, Sequence[Sequence[Detection]]]]
"""Per shape and photo, its own detections in each grouping that it was asked in."""


class LabelScores(BaseModel):
    """Scores of one label at one shape, of the objects that are found up to the shape `largest` and
    no further."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    label: str
    shape: Shape
    largest: Shape
    score: Spread


class Profile(BaseModel):
    """What a sample says of a provider: enough to make the rule of any stage whose shape was
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
        """The rule of a stage at that shape. Raises ValueError where the shape was not profiled."""
        if shape not in {group.shape for group in self.groups}:
            raise ValueError(
                f"shape {shape} is not in the profile: it saw nothing there, or was not asked"
            )
        last = [group for group in self.groups if group.shape == group.largest == shape]
        return imgrid.Rule(
            area=self.area,
            scores={group.label: group.score for group in last},
            unknown=_pooled([group.score for group in last]),
            floor=self.floor,
            factor=factor,
            deviations=deviations,
        )

    def cascade(
        self, shapes: Sequence[Shape], *, factor: float = 1.0, deviations: float = 0.0
    ) -> Cascade:
        """A cascade of these shapes, each but the last under its own rule."""
        ruled = [
            Stage(shape=s, rule=self.rule(s, factor=factor, deviations=deviations))
            for s in shapes[:-1]
        ]
        return Cascade(stages=(*ruled, Stage(shape=shapes[-1])))

    @classmethod
    def load(cls, path: Path) -> Profile:
        """Raises ValueError, naming the file, where it is not one of these."""
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


def of_sample(made: Sample, *, floor: float = 0.3) -> Profile:
    """What `imgrid profile` would say of the sample's own provider, had it been asked about these
    photos alone. Without ground truth the answers alone are true, as far as they score `floor` or
    more."""
    photos = range(len(made))
    itself = [made.look(ITSELF, 0).of(photo) for photo in photos] if made.truth is None else []
    objects = [each.take(each.scores >= floor) for each in itself] or [
        made.truth.of(p) for p in photos if made.truth
    ]
    truth = {str(photo): detections(made, each) for photo, each in enumerate(objects)}
    answers = {
        kind.shape: {
            str(photo): [detections(made, boxes.of(photo)) for boxes in groupings]
            for photo in photos
        }
        for kind, groupings in made.looks.items()
        if not kind.provider
    }
    return profile(truth, answers, floor=floor)


class _Sighting(NamedTuple):
    label: str
    shape: Shape
    score: float


def profile(
    truth: Mapping[str, Sequence[Detection]], answers: Answers, *, floor: float = 0.3
) -> Profile:
    """The profile of a sample.

    `truth` holds each photo's true objects: ground truth, or the provider's own answer alone where
    there is none. Detections under `floor` are not counted as seen.
    """
    areas = [sum(obj.box.area for obj in objects) for objects in truth.values()]
    groups: dict[tuple[str, Shape, Shape], list[float]] = defaultdict(list)
    for photo, objects in truth.items():
        for sightings in _sightings(photo, objects, answers, floor):
            largest = max((s.shape for s in sightings), key=lambda shape: shape.cells, default=None)
            for sighting in sightings:
                if largest is not None:
                    groups[sighting.label, sighting.shape, largest].append(sighting.score)
    rows = (
        LabelScores(label=k[0], shape=k[1], largest=k[2], score=spread(v))
        for k, v in sorted(groups.items())
    )
    return Profile(photos=len(truth), floor=floor, area=spread(areas), groups=tuple(rows))


def _sightings(
    photo: str, objects: Sequence[Detection], answers: Answers, floor: float
) -> list[list[_Sighting]]:
    """For each true object of a photo, the shapes that find it in more than half of their
    groupings."""
    seen: list[list[_Sighting]] = [[] for _ in objects]
    for shape, by_photo in answers.items():
        groupings = by_photo.get(photo, ())
        scores: list[list[tuple[str, float]]] = [[] for _ in objects]
        for found in groupings:
            strong = [d for d in found if d.score >= floor]
            for index, hit in enumerate(match(objects, strong)):
                if hit is not None:
                    scores[index].append((strong[hit].label, strong[hit].score))
        for index, hits in enumerate(scores):
            if 2 * len(hits) > len(groupings):
                seen[index].append(_Sighting(hits[0][0], shape, fmean(score for _, score in hits)))
    return seen


def spread(values: Iterable[float]) -> Spread:
    """Mean, standard deviation of the population, and count; all 0 of nothing."""
    kept = list(values)
    return Spread(mean=fmean(kept), std=pstdev(kept), count=len(kept)) if kept else Spread(mean=0.0)


def _pooled(spreads: Sequence[Spread]) -> Spread | None:
    """The spread of all values together, from the spreads of their groups."""
    count = sum(s.count for s in spreads)
    if not count:
        return None
    mean = sum(s.count * s.mean for s in spreads) / count
    square = sum(s.count * (s.std**2 + s.mean**2) for s in spreads) / count
    return Spread(mean=mean, std=max(square - mean**2, 0.0) ** 0.5, count=count)
