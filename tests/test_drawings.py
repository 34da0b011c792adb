"""The two drawings of docs/how-it-works.md are what the imports are."""

from __future__ import annotations

import re

import pytest

from tests.support.paths import ROOT
from tests.test_layers import MODULES, imports, room_of

PAGE = ROOT / "docs" / "how-it-works.md"
PHOTO_WAY, ROOMS = re.findall(r"```mermaid\n(.*?)```", PAGE.read_text(), re.DOTALL)


def arrows(drawing: str) -> list[tuple[str, str]]:
    """The arrows of a Mermaid flowchart, as pairs of node names."""
    return re.findall(r"^\s*(\w+) --> (\w+)$", drawing, re.MULTILINE)


def module_of(path: str) -> str:
    """The module that a node's label names, such as `api/endpoint` or `thresholds/cascade`."""
    name = path.replace("/", ".")
    return name if name in MODULES else f"gateway.{name}"


def drawn_room(name: str) -> str | None:
    """The room of a module as the drawing names it: providers and thresholds are one each."""
    room = room_of(name)
    if room is None:
        return None
    return room.removeprefix("gateway.") if room.startswith("gateway.") else room.split(".")[0]


def room_imports() -> dict[str, set[str]]:
    """By room, the other rooms that it imports."""
    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        room = drawn_room(name)
        if room is not None:
            rooms = {drawn_room(other) for other in imports(path)}
            graph.setdefault(room, set()).update(
                other for other in rooms if other not in (None, room)
            )
    return graph


def reachable(room: str, graph: dict[str, set[str]]) -> set[str]:
    """All rooms that the arrows lead to from a room."""
    rooms: set[str] = set()
    ahead = set(graph.get(room, ()))
    while ahead:
        rooms |= ahead
        ahead = {other for each in ahead for other in graph.get(each, ())} - rooms
    return rooms


def test_every_arrow_between_rooms_is_an_import() -> None:
    """The drawing of the rooms invents no arrow."""
    graph = room_imports()
    assert [(room, other) for room, other in arrows(ROOMS) if other not in graph[room]] == []


def test_every_import_between_rooms_follows_arrows() -> None:
    """Every import between rooms follows the arrows of the drawing, which leaves out only
    shortcuts."""
    drawn: dict[str, set[str]] = {}
    for room, other in arrows(ROOMS):
        drawn.setdefault(room, set()).add(other)
    strays = {room: others - reachable(room, drawn) for room, others in room_imports().items()}
    assert {room: others for room, others in strays.items() if others} == {}


NODES = dict(re.findall(r"^\s*(\w+)\[\"([\w/]+):", PHOTO_WAY, re.MULTILINE))


@pytest.mark.parametrize(("caller", "callee"), arrows(PHOTO_WAY))
def test_every_step_of_a_photo_is_in_the_code(caller: str, callee: str) -> None:
    """Each module on a photo's way exists, and imports the modules to which its arrows lead."""
    source, target = module_of(NODES[caller]), module_of(NODES[callee])
    assert target in imports(MODULES[source])


def test_every_step_is_on_the_way() -> None:
    """Every step of the drawing is connected to the others."""
    assert {name for arrow in arrows(PHOTO_WAY) for name in arrow} == set(NODES)
