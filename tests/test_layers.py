"""The rooms of the project, and which rooms each may import: downwards only, and never in a
circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from tests.support.paths import ROOT

PACKAGES = ("providers", "thresholds", "gateway")

CORE = {"gateway.core", "providers", "thresholds"}
EDGE = CORE | {"gateway.security", "gateway.vocabulary"}
PIPELINE = CORE | {"gateway.grid", "gateway.ledger", "gateway.store", "gateway.upstream"}
SERVING = EDGE | PIPELINE | {"gateway.dialects", "gateway.intake", "gateway.pipeline"}
WIRED = SERVING | {
    "gateway.api",
    "gateway.app",
    "gateway.config",
    "gateway.jobs",
    "gateway.learning",
    "gateway.observe",
    "gateway.wiring",
}

MAY_IMPORT = {
    "providers": set(),
    "providers.engine": {"providers"},
    "providers.remote": {"providers"},
    "thresholds": {"providers"},
    "gateway.core": {"providers", "thresholds"},
    "gateway.formats": CORE,
    "gateway.grid": CORE | {"gateway.formats"},
    "gateway.upstream": CORE,
    "gateway.ledger": CORE,
    "gateway.security": {"gateway.core"},
    "gateway.vocabulary": CORE,
    "gateway.store": CORE | {"gateway.ledger"},
    "gateway.dialects": EDGE,
    "gateway.config": CORE | {"gateway.ledger", "gateway.security"},
    "gateway.observe": CORE | {"gateway.ledger"},
    "gateway.intake": CORE | {"gateway.config", "gateway.formats", "gateway.security"},
    "gateway.pipeline": PIPELINE,
    "gateway.learning": PIPELINE | {"gateway.pipeline"},
    "gateway.jobs": EDGE | {"gateway.dialects", "gateway.intake", "gateway.store"},
    "gateway.api": SERVING | {"gateway.jobs", "gateway.learning", "gateway.observe"},
    "gateway.wiring": WIRED - {"gateway.app"},
    "gateway.app": WIRED,
    "gateway.quality": WIRED,
    "gateway.batch": WIRED | {"gateway.quality"},
    "gateway.demo": WIRED | {"gateway.quality.progress", "gateway.quality.report"},
    "gateway.testing": WIRED,
    "gateway.cli": WIRED | {"gateway.batch", "gateway.demo", "gateway.quality"},
}
"""By room (a folder with all that is in it, or one module): the rooms it may import, besides
itself."""

READS_ENVIRONMENT = {"gateway.cli.main", "gateway.cli.console"}
CONSOLE = {"rich", "typer"}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module's dotted name and its file."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield (
                ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"),
                path,
            )


MODULES = dict(modules())


@cache
def imported_names(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in MODULES else node.module)
    return names


@cache
def imports(path: Path) -> set[str]:
    """The project's modules that a file imports, wherever in it."""
    return {name for name in imported_names(path) if name.split(".")[0] in PACKAGES}


def within(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def room_of(name: str) -> str | None:
    """The row of the table that a module belongs to: the innermost."""
    return next(
        (room for room in sorted(MAY_IMPORT, key=len, reverse=True) if within(name, {room})), None
    )


def strangers_of(name: str) -> set[str]:
    """The modules that a module imports without being allowed to."""
    room = room_of(name)
    if room is None:
        return set() if name == "gateway" else {"it is in no row: give its room a place"}
    allowed = MAY_IMPORT[room] | {room}
    return {other for other in imports(MODULES[name]) if not within(other, allowed)}


def test_a_module_imports_only_rooms_below_its_own() -> None:
    """A module imports its own room, and the rooms that the table allows it."""
    assert {name: each for name in MODULES if (each := strangers_of(name))} == {}


def test_no_module_imports_itself_by_way_of_others() -> None:
    """No module imports itself by way of others, not even lazily."""
    graph = {name: imports(path) - {name} for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()


def test_no_two_rooms_of_the_gateway_import_each_other() -> None:
    """No two rooms of the gateway import each other, however indirectly."""
    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        if (room := room_of(name)) is not None and room.startswith("gateway."):
            others = {room_of(other) for other in imports(path)}
            graph.setdefault(room, set()).update(
                other for other in others if other and other != room
            )
    TopologicalSorter(graph).prepare()


def test_every_room_of_the_table_exists() -> None:
    """The table names only rooms that exist."""
    names = set(MODULES)
    assert [room for room in MAY_IMPORT if room not in names] == []


def test_the_gateway_itself_holds_the_door_only() -> None:
    """`gateway/` has one module beside its rooms: the app."""
    assert {path.name for path in (ROOT / "gateway").glob("*.py")} == {"__init__.py", "app.py"}


def test_only_the_command_reads_the_environment() -> None:
    """Only the command reads the environment, and hands it to the settings."""
    texts = {name: path.read_text() for name, path in MODULES.items()}
    readers = {name for name, text in texts.items() if "os.environ" in text or "getenv" in text}
    assert readers <= READS_ENVIRONMENT


def test_only_the_command_uses_the_console() -> None:
    """Modules outside of `gateway.cli` import neither rich nor typer: they return values."""
    others = {name: path for name, path in MODULES.items() if not within(name, {"gateway.cli"})}
    packages = {
        name: {imported.split(".")[0] for imported in imported_names(path)}
        for name, path in others.items()
    }
    assert {name for name, used in packages.items() if used & CONSOLE} == set()


def test_no_file_has_more_than_400_lines() -> None:
    """No file has more than 400 lines."""
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
