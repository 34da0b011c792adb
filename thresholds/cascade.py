"""Cascades: which shapes to ask in turn, and when to stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError, model_validator

from thresholds import rules
from thresholds.rules import always
from thresholds.shape import Shape

AnyRule = Annotated[rules.Rule, PlainValidator(rules.read), PlainSerializer(lambda rule: rule.model_dump(mode="json"))]


Border = Literal["none", "black", "blurred"]
Crossing = Literal["midpoint", "discard"]
Merge = Literal["discard", "fuse"]


class Stage(BaseModel):
    """One question: at which shape, to whom (the route's provider where none is named), and when to be content."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    shape: Shape
    provider: str | None = None
    rule: AnyRule = Field(default_factory=always.Rule)


class Cascade(BaseModel):
    """Stages, coarse and cheap first. The last one's answer stands whatever it is.

    `merge` says what becomes of a photo's earlier answers: discarded, as in the seed paper, or fused with the later.
    `crossing` says whose a box is that lies over a seam: its midpoint's photo's, or nobody's.
    `border` paints over the outer 3.75 % of each photo, as the seed paper tried.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    stages: tuple[Stage, ...] = Field(min_length=1)
    merge: Merge = "discard"
    crossing: Crossing = "midpoint"
    border: Border = "none"

    @model_validator(mode="after")
    def _sound(self) -> Cascade:
        for index, (now, then) in enumerate(zip(self.stages, self.stages[1:], strict=False)):
            if now.provider == then.provider and then.shape.cells >= now.shape.cells:
                raise ValueError(f"stages[{index + 1}] ({then.shape}) is not finer than the one before ({now.shape})")
        for index, stage in enumerate(self.stages[:-1]):
            if isinstance(stage.rule, always.Rule):
                raise ValueError(f"stages[{index}] accepts every answer, so the later ones are never asked; "
                                 "give it a rule, or drop them")  # fmt: skip
        return self

    def reached(self, stage: int, cells: int) -> int:
        """The stage that an answer counts for: asked for `stage`, seen among only `cells` photos.

        A canvas that was sent half empty shows its photos larger than its stage asks for, perhaps as large as a later
        stage would; asking that one then would cost and add nothing.
        """
        provider = self.stages[stage].provider
        while (
            stage + 1 < len(self.stages)
            and self.stages[stage + 1].provider == provider
            and self.stages[stage + 1].shape.cells >= cells
        ):
            stage += 1
        return stage

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
    path.write_text(json.dumps(cascade.model_dump(mode="json", exclude_none=True), indent=2) + "\n")
