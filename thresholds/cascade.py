"""Cascades: which shapes to ask in turn, and when to stop."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

from providers.detection import Detection
from thresholds.fusion.boxes import fuse
from thresholds.fusion.fusion import Fusion
from thresholds.fusion.looks import Evidence
from thresholds.rules import always, clean
from thresholds.rules.base import Rule, Verdict
from thresholds.rules.registry import read
from thresholds.shape import ALONE, Shape

AnyRule = Annotated[
    Rule, PlainValidator(read), PlainSerializer(lambda rule: rule.model_dump(mode="json"))
]


NUMBERS = re.compile(r"\[\n[-+\d.eE,\s]+\]")
"""A list of numbers, which is written on one line: trees have thousands. The line break tells it
from a label."""

Border = Literal["none", "black", "blurred"]
Crossing = Literal["midpoint", "discard"]
Merge = Literal["discard", "fuse"]


class Stage(BaseModel):
    """One question: at which shape, to whom (the route's provider where none is named), and when to
    be content."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    shape: Shape
    provider: str | None = None
    rule: AnyRule = Field(default_factory=always.Rule)


class Promise(BaseModel):
    """What a plan found of its cascade on photos that it was not made from, next to asking about
    each alone.

    With a chance of at most `delta` it was wrong that `metric` falls by no more than `max_drop`.
    `agreement` is the least that the mean agreement with 1x1 is on such photos, their chance
    allowed for: what is watched in service.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    metric: Literal["ap50", "map", "agreement"]
    max_drop: float = Field(ge=0, le=1)
    delta: float = Field(gt=0, lt=1)
    photos: int = Field(ge=1)
    agreement: float = Field(ge=0, le=1)


class Cascade(BaseModel):
    """Stages, coarse and cheap first. The last one's answer stands whatever it is.

    `merge` says what becomes of a photo's earlier answers: discarded, as in the seed paper, or
    fused with the later. `crossing` says whose a box is that lies over a seam: its midpoint's
    photo's, or nobody's. `border` paints over the outer 3.75 % of each photo, as the seed paper
    tried. `fusion` is what a profile taught of fusing; without one, later answers simply weigh
    more. `promise` is the plan's that made it; one written by hand promises nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    stages: tuple[Stage, ...] = Field(min_length=1)
    merge: Merge = "discard"
    crossing: Crossing = "midpoint"
    border: Border = "none"
    fusion: Fusion | None = None
    promise: Promise | None = None

    @model_validator(mode="after")
    def _sound(self) -> Cascade:
        for index, (now, then) in enumerate(zip(self.stages, self.stages[1:], strict=False)):
            if now.provider == then.provider and then.shape.cells >= now.shape.cells:
                raise ValueError(
                    f"stages[{index + 1}] ({then.shape}) is not finer than the one before ({now.shape})"
                )
        reached = 0
        for index, stage in enumerate(self.stages):
            if index > reached:
                raise ValueError(
                    f"stages[{index - 1}] accepts every answer, so the later ones are never asked; "
                    "give it a rule, or drop them"
                )
            reached = max(reached, index + stage.rule.reach)
        if self.fusion is not None and self.merge != "fuse":
            raise ValueError("fusion is for a cascade whose merge is fuse")
        self._check_groups()
        return self

    def _check_groups(self) -> None:
        """Rules `clean` stand together, and what they flag is asked about alone."""
        groups = self.groups
        if not groups:
            return
        if groups[-1] != len(self.stages) - 2 or len(groups) != groups[-1] - groups[0] + 1:
            raise ValueError(
                "rules clean are for all stages but the last (and a companion's, which is the first)"
            )
        if len(before := self.stages[: groups[0]]) > 1 or any(
            stage.shape != ALONE for stage in before
        ):
            raise ValueError("before rules clean there is one stage at most, a companion's: 1x1")
        last, first = self.stages[-1], self.stages[groups[0]]
        if last.shape != ALONE or any(
            self.stages[index].provider != last.provider for index in groups
        ):
            raise ValueError(
                f"after rules clean the last stage is 1x1, of the same provider, and not {last.shape}"
            )
        if first.shape == ALONE:
            raise ValueError("a rule clean is for several photos together, not for 1x1")
        if self.merge != "discard":
            raise ValueError("answers about groups are not fused; use discard")

    @property
    def groups(self) -> tuple[int, ...]:
        """The stages at which photos are only cleared together, or not; none where each photo has
        its own answer."""
        return tuple(
            index for index, stage in enumerate(self.stages) if isinstance(stage.rule, clean.Rule)
        )

    @property
    def positive(self) -> float | None:
        """The score from which on what a photo alone shows is promised to be found; None where
        nothing is cleared in groups."""
        rules = (stage.rule for stage in self.stages)
        return max((rule.positive for rule in rules if isinstance(rule, clean.Rule)), default=None)

    def reached(self, stage: int, cells: int) -> int:
        """The stage that an answer counts for: asked for `stage`, seen among only `cells` photos.

        A canvas that was sent half empty shows its photos larger than its stage asks for, perhaps
        as large as a later stage would; asking that one then would cost and add nothing.
        """
        provider = self.stages[stage].provider
        while (
            stage + 1 < len(self.stages)
            and self.stages[stage + 1].provider == provider
            and self.stages[stage + 1].shape.cells >= cells
        ):
            stage += 1
        return stage

    def conclude(self, stage: int, seen: Evidence) -> tuple[Verdict, Sequence[Detection]]:
        """The stage's verdict, and the answer that leaves if the photo ends here: the last one, or
        all of them fused."""
        if self.fusion is not None:
            belief = self.fusion.believe(seen)
            return self.stages[stage].rule.judge(replace(seen, belief=belief)), self.fusion.answer(
                seen, belief
            )
        verdict = self.stages[stage].rule.judge(seen)
        if self.merge == "discard" or len(seen.looks) == 1:
            return verdict, seen.last
        weights = [float(number) for number in range(1, len(seen.looks) + 1)]
        return verdict, fuse([look.found for look in seen.looks], weights)

    @property
    def shapes(self) -> str:
        """The shapes in turn, for people: `5x5, 1x1`."""
        return ", ".join(str(stage.shape) for stage in self.stages)


def load(path: Path) -> Cascade:
    """The cascade in a JSON file. Raises ValueError naming the file and what is wrong in it."""
    try:
        return Cascade.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {where or 'the cascade'}: {message}") from None


def save(cascade: Cascade, path: Path) -> None:
    """Writes the cascade as JSON for people and programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(cascade.model_dump(mode="json", exclude_none=True), indent=2)
    path.write_text(NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n")
