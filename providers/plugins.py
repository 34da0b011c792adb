"""Plugins by entry point: providers, rules and dialects, of this distribution and of others.

A distribution declares them in its pyproject.toml, as this one does:

    [project.entry-points."imgrid.providers"]
    onnx = "providers.onnx"
"""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def _entry_points(group: str) -> dict[str, metadata.EntryPoint]:
    points: dict[str, metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=group):
        other = points.setdefault(point.name, point)
        if other.value != point.value:
            raise LookupError(
                f"two installed distributions declare {group} {point.name!r}: {other.value} of {_owner(other)} and "
                f"{point.value} of {_owner(point)}; uninstall one of them"
            )
    return points


def _owner(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown distribution"


def plugin_names(group: str) -> list[str]:
    """The names of all plugins of a group, sorted.

    Raises LookupError if two distributions declare different plugins of one name.
    """
    return sorted(_entry_points(group))


def load_plugin(group: str, name: str) -> object:
    """The object behind a plugin's entry point; its module is imported at the first call.

    Raises LookupError naming the plugins there are, or whatever the import raises.
    """
    point = _entry_points(group).get(name)
    if point is None:
        raise LookupError(f"there is none of that name; known: {', '.join(plugin_names(group))}")
    return point.load()
