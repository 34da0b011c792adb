"""The command `plan` has three forms: over a profile of grids, over a profile of classifiers, and
of the local engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

LOCAL, CLASSES = "--local", "--classes"


class PlanCommand(TyperCommand):
    """The command `plan`. With `--local`, and over a profile of classifiers (or with `--classes`,
    for its help), it is another one with options of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        app = _other_form(args)
        if app is None:
            return super().make_context(info_name, args, parent, **extra)
        words = [word for word in args if word not in (LOCAL, CLASSES)]
        form = [info_name or "", *(word for word in args if word in (LOCAL, CLASSES))]
        return typer.main.get_command(app).make_context(" ".join(form), words, parent, **extra)


def _other_form(args: Sequence[str]) -> typer.Typer | None:
    """The form that the words are for; None for grids."""
    if LOCAL in args:
        from gateway.cli import plan_local

        return plan_local.app
    from thresholds.classification.sample import FILE

    if CLASSES in args or any((Path(word) / FILE).is_file() for word in args):
        from gateway.cli import plan_classes

        return plan_classes.app
    return None
