"""Which kinds of rule there are, found by the entry points `imgrid.rules`.

An entry point names a frozen pydantic model with a `kind`, whose fields are what a cascade file
stores.
"""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from providers.plugins import load_plugin, plugin_names
from thresholds.rules.base import Rule

GROUP = "imgrid.rules"


def kinds() -> list[str]:
    """The names of all kinds that are installed, sorted."""
    return plugin_names(GROUP)


def read(value: object) -> Rule:
    """A rule from its JSON form, `{"kind": ..., ...}`. Raises ValueError naming what is wrong with
    it."""
    if not isinstance(value, dict):
        if isinstance(value, BaseModel):
            return cast(Rule, value)
        raise ValueError(f"a rule is an object with a kind, not {value!r}")
    kind = value.get("kind")
    if kind not in kinds():
        raise ValueError(f"there is no rule kind {kind!r}; known: {', '.join(kinds())}")
    model = cast(type[BaseModel], load_plugin(GROUP, str(kind)))
    return cast(Rule, model.model_validate(value))
