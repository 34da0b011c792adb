"""The kinds of rule there are, found by the entry points `imgrid.rules`.

An entry point names a frozen pydantic model with a `kind`, whose fields are what a cascade file
stores.
"""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from providers.plugins import PluginError, PluginGroup
from thresholds.rules.base import Rule

RULES = PluginGroup("imgrid.rules", "rule kind", ("model_validate", "reach", "judge", "stricter"))


def kinds() -> list[str]:
    """The names of all kinds that are installed, sorted."""
    return RULES.names()


def read(value: object) -> Rule:
    """A rule from its JSON form, `{"kind": ..., ...}`. Raises ValueError naming what is wrong with
    it."""
    if not isinstance(value, dict):
        if isinstance(value, BaseModel):
            return cast(Rule, value)
        raise ValueError(f"a rule is an object with a kind, not {value!r}")
    try:
        model = cast(type[BaseModel], RULES.load(value.get("kind")))
    except PluginError as error:
        raise ValueError(str(error)) from error
    return cast(Rule, model.model_validate(value))
