"""Plugins by entry point: providers, rules and dialects, of this distribution and of others.

A distribution declares them in its pyproject.toml, as this one does:

    [project.entry-points."imgrid.providers"]
    onnx = "providers.onnx"

docs/extending.md shows a whole one.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points


class PluginError(LookupError):
    """There is no such plugin, or it cannot be used; the message names it and its distribution."""


@dataclass(frozen=True, slots=True)
class PluginGroup:
    """All plugins of one entry point group.

    `noun` is the word for one of them in messages. Every plugin object has the attributes
    `members`.
    """

    name: str
    noun: str
    members: tuple[str, ...]

    def names(self) -> list[str]:
        """The names of all plugins that are installed, sorted. Nothing is imported."""
        return sorted(_entry_points(self.name, tuple(sys.path)))

    def load(self, name: object) -> object:
        """The object behind a plugin's entry point; its module is imported at the first call.

        Raises PluginError where there is no such plugin, where two distributions declare different
        ones of that name, where the import fails, or where the object lacks one of `members`.
        """
        point = self._entry_point(name)
        plugin = self._import(point)
        missing = [member for member in self.members if not hasattr(plugin, member)]
        if missing:
            raise PluginError(f"{self._title(point)}: {point.value} has no {', '.join(missing)}")
        return plugin

    def _entry_point(self, name: object) -> EntryPoint:
        points = _entry_points(self.name, tuple(sys.path))
        if not isinstance(name, str) or name not in points:
            close = difflib.get_close_matches(str(name), points, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            names = ", ".join(self.names())
            raise PluginError(f"there is no {self.noun} {name!r}{hint}; known: {names}")
        point, *duplicates = points[name]
        if duplicates:
            values = " and ".join(f"{same.value} of {_owner(same)}" for same in points[name])
            raise PluginError(
                f"two installed distributions declare {self.noun} {name!r}: {values}; "
                "uninstall one of them"
            )
        return point

    def _import(self, point: EntryPoint) -> object:
        try:
            return point.load()
        except Exception as error:  # the module is foreign: it may raise anything
            raise PluginError(f"{self._title(point)}: {_import_problem(point, error)}") from error

    def _title(self, point: EntryPoint) -> str:
        return f"{self.noun} {point.name!r} of {_owner(point)}"


def members_of(protocol: type) -> tuple[str, ...]:
    """The names of a Protocol's own attributes and methods."""
    names = (*protocol.__annotations__, *vars(protocol))
    return tuple(name for name in names if not name.startswith("_"))


@lru_cache(maxsize=8)
def _entry_points(group: str, path: tuple[str, ...]) -> Mapping[str, list[EntryPoint]]:
    """The different entry points of each name.

    `path` is `sys.path`, part of the cache's key: with another one there may be other plugins.
    """
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        same_name = points.setdefault(point.name, [])
        if point.value not in {other.value for other in same_name}:
            same_name.append(point)
    return points


def _import_problem(point: EntryPoint, error: Exception) -> str:
    """The reason why the import failed: a module that the entry point names, a package that the
    plugin needs, or any other error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return f"{point.value} cannot be imported: {type(error).__name__}: {error}"
    if f"{point.module}.".startswith(f"{error.name}."):
        return f"its entry point names {point.value}, but there is no module {error.name}"
    return f"it needs the package {error.name.partition('.')[0]}, which is not installed"


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown distribution"
