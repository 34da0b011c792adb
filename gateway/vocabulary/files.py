"""Files of names, and what they say as tables.

A file is about two vocabularies, and is read in both directions:

    between: [coco, rekognition]
    names:
      - [dog, Dog]
      - [[couch, sofa], [Couch, Sofa]]

Each row is one thing; of several names on a side the first is the answer, the others are
understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml

from providers.detection import Vocabulary

DATA = Path(__file__).parent / "data"
VOCABULARIES: tuple[Vocabulary, ...] = tuple(each for each in get_args(Vocabulary) if each)
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, where PyYAML has it, is ten times as fast."""

FORM = "write 'between: [coco, rekognition]', and under 'names' rows such as '- [dog, Dog]' or '- [[couch, sofa], Couch]'"

Pair = tuple[Vocabulary, Vocabulary]


class NameTable(NamedTuple):
    """One direction between two vocabularies. Names are looked up as `key` has them."""

    answers: Mapping[str, str]
    """What a name is called on the other side."""
    meant: Mapping[str, tuple[str, ...]]
    """All that a name may be called there, the answer first."""


class NameRow(NamedTuple):
    """One thing's names in either vocabulary, and where they stand."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    line: int


class NameFile(NamedTuple):
    """What a file holds."""

    between: Pair
    rows: Sequence[NameRow]


class Kin(NamedTuple):
    """Of a label of Rekognition's: how it is spelled, its ancestors, other names and categories."""

    name: str
    parents: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


def key(name: str) -> str:
    """A name as it is looked up: without regard to case."""
    return name.casefold()


def shipped() -> list[NameFile]:
    """The files of this package, one for each two vocabularies."""
    return [read(DATA / f"{left}-{right}.yaml") for left, right in combinations(VOCABULARIES, 2)]


def kin() -> dict[str, Kin]:
    """Rekognition's labels by their keys."""
    categories: dict[str, dict[str, dict[str, list[str]]]] = _content(DATA / "rekognition.yaml")
    return {
        key(name): Kin(
            name, tuple(of.get("parents", ())), tuple(of.get("aliases", ())), (category,)
        )
        for category, labels in categories.items()
        for name, of in labels.items()
    }


def ids() -> dict[str, str]:
    """Ids of the objects that Google names, by their keys."""
    found: dict[str, str] = _content(DATA / "google.yaml")
    return {key(name): each for name, each in found.items()}


def _content(file: Path) -> Any:
    return yaml.load(file.read_text("utf-8"), LOADER)  # noqa: S506  it is a SafeLoader


def tables(files: Sequence[NameFile]) -> dict[Pair, NameTable]:
    """Both directions of each two vocabularies; an earlier file's names go before a later one's."""
    answers: dict[Pair, dict[str, str]] = {}
    meant: dict[Pair, dict[str, tuple[str, ...]]] = {}
    for (left, right), rows in files:
        for row in rows:
            for pair, ours, theirs in (
                ((left, right), row.left, row.right),
                ((right, left), row.right, row.left),
            ):
                for name in ours:
                    answers.setdefault(pair, {}).setdefault(key(name), theirs[0])
                    known = meant.setdefault(pair, {}).get(key(name), ())
                    meant[pair][key(name)] = tuple(dict.fromkeys((*known, *theirs)))
    return {pair: NameTable(answers[pair], meant[pair]) for pair in answers}


def read(file: Path) -> NameFile:
    """Raises ValueError naming file and line for what is not of the form above, and for a name that
    stands twice."""
    try:
        root = yaml.compose(file.read_text("utf-8"), LOADER)
    except FileNotFoundError:
        raise ValueError(f"there is no {file}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    try:
        sections = _sections(root)
        left, right = _between(sections["between"])
        rows = [_row(node) for node in _items(sections["names"], "names")]
        _once(((name, row.line) for row in rows for name in row.left), left)
        _once(((name, row.line) for row in rows for name in row.right), right)
    except _Misplaced as error:
        raise ValueError(f"{file}{f', line {error.line}' if error.line else ''}: {error}") from None
    return NameFile((left, right), rows)


class _Misplaced(Exception):
    """What is wrong, and on which line; 0 where there is none."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _sections(root: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(root, yaml.MappingNode):
        raise _Misplaced(f"it holds no names; {FORM}")
    found: dict[str, yaml.Node] = {}
    for name, node in root.value:
        if name.value not in ("between", "names") or name.value in found:
            raise _Misplaced(
                f"{name.value!r} is an unknown key, or stands twice; {FORM}", _line(name)
            )
        found[name.value] = node
    if missing := {"between", "names"} - found.keys():
        raise _Misplaced(f"there is no {' and no '.join(sorted(missing))}; {FORM}")
    return found


def _between(node: yaml.Node) -> Pair:
    named = [each.value for each in _items(node, "between")]
    known = {str(each): each for each in VOCABULARIES}
    if unknown := [each for each in named if each not in known]:
        given = ", ".join(repr(each) for each in unknown)
        raise _Misplaced(
            f"between: there is no vocabulary {given}; there are {', '.join(known)}", _line(node)
        )
    if len(named) != 2 or named[0] == named[1]:
        raise _Misplaced(
            "between: it takes two vocabularies, such as [coco, rekognition]", _line(node)
        )
    return known[named[0]], known[named[1]]


def _items(node: yaml.Node, where: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise _Misplaced(f"{where}: a list is expected; {FORM}", _line(node))
    return list(node.value)


def _row(node: yaml.Node) -> NameRow:
    sides = _items(node, "names")
    if len(sides) != 2:
        raise _Misplaced(f"names: a row has two sides, this one {len(sides)}; {FORM}", _line(node))
    left, right = (_side(side) for side in sides)
    return NameRow(left, right, _line(node))


def _side(node: yaml.Node) -> tuple[str, ...]:
    names = list(node.value) if isinstance(node, yaml.SequenceNode) else [node]
    if not names or not all(
        isinstance(each, yaml.ScalarNode) and each.value.strip() for each in names
    ):
        raise _Misplaced(f"names: a name, or a list of names, is expected; {FORM}", _line(node))
    return tuple(each.value.strip() for each in names)


def _once(names: Iterable[tuple[str, int]], vocabulary: str) -> None:
    seen: dict[str, int] = {}
    for name, line in names:
        if key(name) in seen:
            raise _Misplaced(
                f"names: {name!r} of {vocabulary} stands on line {seen[key(name)]} already", line
            )
        seen[key(name)] = line
