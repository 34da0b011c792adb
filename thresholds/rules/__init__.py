"""Rules that say whether a photo's answer may be trusted: one module each, named after its `kind`.

A rule's module has `Rule`, a frozen pydantic model with a `kind`, whose fields are what a cascade file stores.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import NamedTuple, Protocol, cast

from pydantic import BaseModel

from thresholds.seen import Seen


class Verdict(NamedTuple):
    """What a rule says of an answer: `skip` is how many stages further to ask again, 0 to accept it.

    `reason` is for people: logs, metrics and the native answer show it.
    """

    skip: int
    reason: str

    @property
    def accepted(self) -> bool:
        return self.skip == 0


ACCEPT = Verdict(0, "accepted")


class Rule(Protocol):
    """Decides from what was seen of one photo; pure, so that plans can replay it over stored answers."""

    @property
    def kind(self) -> str: ...

    @property
    def reach(self) -> int:
        """The most stages that a verdict skips; 0 where every answer is accepted."""
        ...

    def judge(self, seen: Seen) -> Verdict:
        """The verdict on a photo's last answer, in the light of those before it."""
        ...

    def stricter(self) -> Rule:
        """One that never accepts what this one does not; the same where there is none stricter."""
        ...


def kinds() -> list[str]:
    """The names of all rules there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def read(value: object) -> Rule:
    """A rule from its JSON form, `{"kind": ..., ...}`. Raises ValueError naming what is wrong with it."""
    if not isinstance(value, dict):
        if isinstance(value, BaseModel):
            return cast(Rule, value)
        raise ValueError(f"a rule is an object with a kind, not {value!r}")
    kind = value.get("kind")
    if kind not in kinds():
        raise ValueError(f"there is no rule kind {kind!r}; known: {', '.join(kinds())}")
    model: type[BaseModel] = importlib.import_module(f"thresholds.rules.{kind}").Rule
    return cast(Rule, model.model_validate(value))
