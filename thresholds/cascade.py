"""Cascades: the stages that a photo goes through, and when it stops."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
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
from thresholds.fusion.box_fusion import fuse_detections
from thresholds.fusion.fusion import Fusion
from thresholds.fusion.looks import Evidence
from thresholds.made_with import MadeWith, made_with_in, made_with_others
from thresholds.metrics.agreement import CONFIDENCE
from thresholds.rules import always, clean, risk
from thresholds.rules.base import Rule, Verdict
from thresholds.rules.registry import read
from thresholds.shape import ALONE, Shape

AnyRule = Annotated[
    Rule, PlainValidator(read), PlainSerializer(lambda rule: rule.model_dump(mode="json"))
]


NUMBERS = re.compile(r"\[\n[-+\d.eE,\s]+\]")
"""A list of numbers, which is written on one line: trees have thousands. The line break
distinguishes it from a label."""

Border = Literal["none", "black", "blurred"]
Crossing = Literal["midpoint", "discard"]
Merge = Literal["discard", "fuse"]


class Stage(BaseModel):
    """One step of a cascade: a shape, a provider (None for the route's own), and an acceptance
    rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    shape: Shape
    provider: str | None = None
    rule: AnyRule = Field(default_factory=always.Rule)


class Promise(BaseModel):
    """A plan's guarantee for its cascade, from held-out photos, compared with asking about each
    photo alone.

    With a probability of at least 1 - `delta`, `metric` falls by no more than `max_drop`.
    `agreement` is the least mean agreement with 1x1, of detections that score at least `min_score`,
    to expect on such photos: the drift monitor compares with it in service. `floor` is the metric
    of 1x1 itself against a second look alone, where the promise was made without ground truth:
    nobody agrees with that better.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    metric: Literal["ap50", "map", "agreement", "labels", "accuracy"]
    max_drop: float = Field(ge=0, le=1)
    delta: float = Field(gt=0, lt=1)
    photos: int = Field(ge=1)
    agreement: float = Field(ge=0, le=1)
    floor: float | None = Field(None, ge=0, le=1)
    min_score: float = Field(CONFIDENCE, ge=0, le=1)


class Cascade(BaseModel):
    """Stages, coarse and cheap first. The last stage's answer is always accepted.

    `merge` discards a photo's earlier answers, as in the seed paper, or fuses them with the later
    ones. `crossing` gives a box over a seam to the photo of its midpoint, or discards it. `border`
    paints over the outer 3.75 % of each photo, as the seed paper tried. `fusion` was learned from a
    profile; without one, later answers weigh more. `promise` is that of the plan which made the
    cascade, and `made_with` says which provider's answers it was measured on; a cascade written by
    hand, or by an older release, has none. `made_with_others` says the same of its other stages'
    providers, by their names. `images` is what a photo costs by the plan, in full canvases and in
    images of the route's own provider.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    stages: tuple[Stage, ...] = Field(min_length=1)
    merge: Merge = "discard"
    crossing: Crossing = "midpoint"
    border: Border = "none"
    fusion: Fusion | None = None
    promise: Promise | None = None
    made_with: MadeWith | None = None
    made_with_others: Mapping[str, MadeWith] = Field(default_factory=dict)
    images: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Cascade:
        self._check_order()
        if self.fusion is not None and self.merge != "fuse":
            raise ValueError("fusion is for a cascade whose merge is fuse")
        if self.groups:
            self._check_groups(self.groups)
            self._check_priors()
        return self

    def _check_order(self) -> None:
        """Each stage is finer than the one before, and reached by a rule."""
        for index, (stage, following) in enumerate(pairwise(self.stages), 1):
            same_provider = stage.provider == following.provider
            if same_provider and following.shape.cells >= stage.shape.cells:
                raise ValueError(
                    f"stages[{index}] ({following.shape}) is not finer than the one before "
                    f"({stage.shape})"
                )
        last_reached = 0
        for index, stage in enumerate(self.stages):
            if index > last_reached:
                raise ValueError(
                    f"stages[{index - 1}] accepts every answer, so the later ones are never asked; "
                    "give it a rule, or drop them"
                )
            last_reached = max(last_reached, index + stage.rule.reach)

    def _check_groups(self, groups: tuple[int, ...]) -> None:
        """Stages with rules `clean` are consecutive, and flagged photos are asked about alone."""
        first, last = groups[0], self.stages[-1]
        if groups != tuple(range(first, len(self.stages) - 1)):
            raise ValueError(
                "rules clean are for all stages but the last "
                "(and a companion's, which is the first)"
            )
        if first > 1 or any(stage.shape != ALONE for stage in self.stages[:first]):
            raise ValueError("before rules clean there is one stage at most, a companion's: 1x1")
        same_provider = all(self.stages[index].provider == last.provider for index in groups)
        if last.shape != ALONE or not same_provider:
            raise ValueError(
                "after rules clean the last stage is 1x1, of the same provider, "
                f"and not {last.shape}"
            )
        if self.stages[first].shape == ALONE:
            raise ValueError("a rule clean is for several photos together, not for 1x1")
        if self.merge != "discard":
            raise ValueError("answers about groups are not fused; use discard")

    def _check_priors(self) -> None:
        """Rules that judge by a posterior have a prior."""
        if self.risk is not None:
            return
        for index, stage in enumerate(self.stages):
            if isinstance(stage.rule, clean.Rule) and stage.rule.posterior is not None:
                raise ValueError(
                    f"stages[{index}].rule.posterior needs the rule risk at the first stage, a "
                    "companion's, which gives each photo its prior"
                )

    @property
    def groups(self) -> tuple[int, ...]:
        """The stages of group testing, at which photos are only cleared together; none where each
        photo has an answer of its own."""
        return tuple(
            index for index, stage in enumerate(self.stages) if isinstance(stage.rule, clean.Rule)
        )

    @property
    def risk(self) -> risk.Rule | None:
        """The rule that gives each photo its prior in group testing; None without one."""
        rule = self.stages[0].rule
        return rule if isinstance(rule, risk.Rule) else None

    @property
    def positive(self) -> float | None:
        """The score from which on a photo alone counts as flagged; None without group testing."""
        rules = (stage.rule for stage in self.stages)
        return max((rule.positive for rule in rules if isinstance(rule, clean.Rule)), default=None)

    def reached(self, stage: int, cells: int) -> int:
        """The stage that an answer counts for: that of a canvas for `stage` with only `cells`
        photos.

        A canvas that was sent half empty shows its photos larger than its stage requires, perhaps
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

    def conclude(self, stage: int, evidence: Evidence) -> tuple[Verdict, Sequence[Detection]]:
        """The stage's verdict, and the final answer if the photo ends here: the last look, or all
        looks fused."""
        rule = self.stages[stage].rule
        if self.fusion is not None:
            belief = self.fusion.belief(evidence)
            verdict = rule.judge(replace(evidence, belief=belief))
            return verdict, self.fusion.answer(evidence, belief)
        verdict = rule.judge(evidence)
        if self.merge == "discard" or len(evidence.looks) == 1:
            return verdict, evidence.last_detections
        weights = [float(number) for number in range(1, len(evidence.looks) + 1)]
        return verdict, fuse_detections([look.detections for look in evidence.looks], weights)

    def of_profile(self, folder: Path) -> Cascade:
        """The cascade with what the profile in the folder was made with."""
        update = {
            "made_with": made_with_in(folder),
            "made_with_others": made_with_others(folder, (stage.provider for stage in self.stages)),
        }
        return self.model_copy(update=update)

    @property
    def shapes(self) -> str:
        """The shapes in order, for people: `5x5, 1x1`."""
        return ", ".join(str(stage.shape) for stage in self.stages)


def load(path: Path) -> Cascade:
    """The cascade in a JSON file. Raises ValueError that names the file and the fault."""
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
    """Writes the cascade as JSON, indented for people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = cascade.model_dump(mode="json", exclude_none=True)
    if not cascade.made_with_others:
        del content["made_with_others"]
    text = json.dumps(content, indent=2)
    path.write_text(NUMBERS.sub(lambda match: " ".join(match[0].split()), text) + "\n")
