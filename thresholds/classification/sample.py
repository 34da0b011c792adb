"""What several classifiers answered about the same photos, and what each of them costs."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from thresholds.fusion.arrays import Bools, Floats, Ints

FILE = "classes.json"
"""Of a profile's folder: a profile has it where its route was profiled for a cascade of models."""
NO_LABEL = -1

Objective = Literal["price", "time", "compute"]
UNITS: dict[Objective, str] = {"price": "USD", "time": "ms", "compute": "GFLOPs"}
"""What an objective is counted in, a photo."""


class ClassifierStage(BaseModel):
    """One model at one input size, by its provider's name, and the cost of a photo: in USD, in
    seconds of the machine with all cores busy, and in 10^9 floating point operations (a
    multiplication and an addition are two). None where it cannot be known: what a vendor computes
    is its own affair."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    provider: str
    usd: float = Field(0.0, ge=0)
    seconds: float | None = Field(None, gt=0)
    gflops: float | None = Field(None, ge=0)
    input_px: tuple[int, int] | None = None

    def cost(self, objective: Objective) -> float | None:
        """The cost of a photo in the objective's unit; None where it is not known."""
        if objective == "price":
            return self.usd
        if objective == "time":
            return None if self.seconds is None else 1000 * self.seconds
        return self.gflops


class StageAnswers(NamedTuple):
    """The answers of all stages about all photos, as arrays (stages, photos): the index of the best
    label, NO_LABEL where there is none, its score, and whether it is right."""

    labels: Ints
    scores: Floats
    correct: Bools

    @property
    def photos(self) -> int:
        return len(self.scores[0])

    def of_photos(self, photos: Ints | Bools) -> StageAnswers:
        """The answers about these photos only."""
        return StageAnswers(self.labels[:, photos], self.scores[:, photos], self.correct[:, photos])


class ClassificationSample(BaseModel):
    """The stages and their best labels: `tops` and `scores` have a row a stage and a column a
    photo, in the order of `photos` (keys of the profile). `labels` are names in lower case.

    `reference` is the route's own provider, with which cascades are compared. `truths` are the
    labels of which each photo has any, by index; None without ground truth: then the reference's
    label is right. `agreements` (stages, photos) compare each stage's confident labels with the
    reference's, as the drift monitor does in service. `only_labels` are those that answers were
    narrowed to; none: all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    route: str
    reference: str
    stages: tuple[ClassifierStage, ...] = Field(min_length=1)
    photos: tuple[str, ...]
    labels: tuple[str, ...]
    tops: tuple[tuple[int, ...], ...]
    scores: tuple[tuple[float, ...], ...]
    agreements: tuple[tuple[float, ...], ...]
    truths: tuple[tuple[int, ...], ...] | None = None
    only_labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> ClassificationSample:
        if self.reference not in self.names:
            raise ValueError(f"reference {self.reference!r} is none of the stages")
        tables = (self.tops, self.scores, self.agreements)
        if any(len(table) != len(self.stages) for table in tables):
            raise ValueError("a stage has no row of answers")
        rows = (*self.tops, *self.scores, *self.agreements)
        if any(len(row) != len(self.photos) for row in rows):
            raise ValueError("a row has not one answer a photo")
        if self.truths is not None and len(self.truths) != len(self.photos):
            raise ValueError("truths has not one entry a photo")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The providers of the stages."""
        return tuple(stage.provider for stage in self.stages)

    @property
    def reference_index(self) -> int:
        return self.names.index(self.reference)

    @cached_property
    def answers(self) -> StageAnswers:
        """All answers as arrays."""
        tops = np.array(self.tops, np.intp).reshape(len(self.stages), -1)
        scores = np.array(self.scores, np.float64).reshape(tops.shape)
        if self.truths is None:
            return StageAnswers(tops, scores, tops == tops[self.reference_index])
        correct = np.zeros(tops.shape, bool)
        for photo, truth in enumerate(self.truths):
            correct[:, photo] = np.isin(tops[:, photo], truth)
        return StageAnswers(tops, scores, correct & (tops != NO_LABEL))

    @property
    def objective(self) -> Objective:
        """What a plan goes by where nobody says: money where any stage costs some, else time."""
        return "price" if any(stage.usd for stage in self.stages) else "time"

    def costs(self, objective: Objective) -> Floats:
        """The cost of a photo at each stage (stages,). Raises ValueError, naming the stages of
        which it is not known."""
        costs = [stage.cost(objective) for stage in self.stages]
        unknown = [name for name, cost in zip(self.names, costs, strict=True) if cost is None]
        if unknown:
            known = [each for each in UNITS if self._knows(each)]
            raise ValueError(
                f"--objective {objective}: not known of {', '.join(unknown)}; known of all is "
                f"{' and '.join(known)}"
            )
        return np.array(costs, np.float64)

    def _knows(self, objective: Objective) -> bool:
        return all(stage.cost(objective) is not None for stage in self.stages)

    @classmethod
    def load(cls, path: Path) -> ClassificationSample:
        """The sample in a file. Raises ValueError, naming the file, where it is none."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(
                f"{path}: is no profile of classifiers ({first['msg']}); make it anew with: "
                "imgrid profile"
            ) from None

    def save(self, path: Path) -> None:
        """Writes the sample as JSON."""
        path.write_text(self.model_dump_json(exclude_none=True) + "\n")
