"""Files of names in two vocabularies, and the tables made from them.

A file is read in both directions:

    between: [coco, rekognition]
    names:
      - [dog, Dog]
      - [[couch, sofa], [Couch, Sofa]]

Each row is one thing. Of several names on a side the first is the translation; the others are
understood too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

import yaml

from providers.detection import Vocabulary

DATA = Path(__file__).parent / "data"
VOCABULARIES: tuple[Vocabulary, ...] = tuple(name for name in get_args(Vocabulary) if name)
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C, where PyYAML has it, is ten times as fast."""
KEYS = ("between", "names")

FORM = (
    "write 'between: [coco, rekognition]', and under 'names' rows such as '- [dog, Dog]' "
    "or '- [[couch, sofa], Couch]'"
)

Direction = tuple[Vocabulary, Vocabulary]
"""The vocabulary that is translated from, and the one that is translated to."""

NameTable: TypeAlias = Mapping[str, tuple[str, ...]]
"""All names that a name may have in the other vocabulary, the translation first, by
`lookup_key`."""


class NameRow(NamedTuple):
    """The names of one thing in either vocabulary, and the row's line in its file."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    line: int


class NameFile(NamedTuple):
    """The content of a file."""

    between: Direction
    rows: Sequence[NameRow]


class TaxonomyLabel(NamedTuple):
    """A label of Rekognition's: its spelling, ancestors, other names and categories."""

    name: str
    parents: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


def lookup_key(name: str) -> str:
    """The form in which names are looked up: case does not matter."""
    return name.casefold()


def shipped_files() -> list[NameFile]:
    """The files of this package, one for each pair of vocabularies."""
    return [read(DATA / f"{left}-{right}.yaml") for left, right in combinations(VOCABULARIES, 2)]


def rekognition_taxonomy() -> dict[str, TaxonomyLabel]:
    """Rekognition's labels by `lookup_key`."""
    categories: dict[str, dict[str, dict[str, list[str]]]] = _content_of(DATA / "rekognition.yaml")
    taxonomy: dict[str, TaxonomyLabel] = {}
    for category, labels in categories.items():
        for name, relatives in labels.items():
            parents, aliases = relatives.get("parents", ()), relatives.get("aliases", ())
            label = TaxonomyLabel(name, tuple(parents), tuple(aliases), (category,))
            taxonomy[lookup_key(name)] = label
    return taxonomy


def google_mids() -> dict[str, str]:
    """The machine-generated ids of Google's objects, by `lookup_key`."""
    mids: dict[str, str] = _content_of(DATA / "google.yaml")
    return {lookup_key(name): mid for name, mid in mids.items()}


def _content_of(file: Path) -> Any:
    return yaml.load(file.read_text("utf-8"), LOADER)  # noqa: S506  it is a SafeLoader


def tables_of(files: Sequence[NameFile]) -> dict[Direction, NameTable]:
    """Both directions of each pair of vocabularies. An earlier file's names come first."""
    tables: dict[Direction, dict[str, tuple[str, ...]]] = {}
    for (left, right), rows in files:
        for row in rows:
            _add_names(tables.setdefault((left, right), {}), row.left, row.right)
            _add_names(tables.setdefault((right, left), {}), row.right, row.left)
    return {**tables}


def _add_names(
    table: dict[str, tuple[str, ...]], names: Sequence[str], translations: Sequence[str]
) -> None:
    for name in names:
        earlier = table.get(lookup_key(name), ())
        table[lookup_key(name)] = tuple(dict.fromkeys((*earlier, *translations)))


def read(file: Path) -> NameFile:
    """The content of a file. Raises ValueError naming file and line for a file of another form, and
    for a name that occurs twice."""
    try:
        root = yaml.compose(file.read_text("utf-8"), LOADER)
    except FileNotFoundError:
        raise ValueError(f"there is no {file}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    try:
        sections = _sections_of(root)
        left, right = _direction_of(sections["between"])
        rows = [_row_of(node) for node in _items_of(sections["names"], "names")]
        _check_unique(((name, row.line) for row in rows for name in row.left), left)
        _check_unique(((name, row.line) for row in rows for name in row.right), right)
    except _FormError as error:
        line = f", line {error.line}" if error.line else ""
        raise ValueError(f"{file}{line}: {error}") from None
    return NameFile((left, right), rows)


class _FormError(Exception):
    """The file has another form. `line` is 0 where no line is at fault."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def _line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _sections_of(root: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(root, yaml.MappingNode):
        raise _FormError(f"it holds no names; {FORM}")
    sections: dict[str, yaml.Node] = {}
    for name, node in root.value:
        if name.value not in KEYS or name.value in sections:
            raise _FormError(
                f"{name.value!r} is an unknown key, or stands twice; {FORM}", _line_of(name)
            )
        sections[name.value] = node
    if missing := set(KEYS) - sections.keys():
        raise _FormError(f"there is no {' and no '.join(sorted(missing))}; {FORM}")
    return sections


def _direction_of(node: yaml.Node) -> Direction:
    names = [item.value for item in _items_of(node, "between")]
    vocabularies = {str(vocabulary): vocabulary for vocabulary in VOCABULARIES}
    if unknown := [name for name in names if name not in vocabularies]:
        listing = ", ".join(map(repr, unknown))
        raise _FormError(
            f"between: there is no vocabulary {listing}; there are {', '.join(vocabularies)}",
            _line_of(node),
        )
    if len(names) != 2 or names[0] == names[1]:
        raise _FormError(
            "between: it takes two vocabularies, such as [coco, rekognition]", _line_of(node)
        )
    return vocabularies[names[0]], vocabularies[names[1]]


def _items_of(node: yaml.Node, section: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise _FormError(f"{section}: a list is expected; {FORM}", _line_of(node))
    return list(node.value)


def _row_of(node: yaml.Node) -> NameRow:
    sides = _items_of(node, "names")
    if len(sides) != 2:
        raise _FormError(
            f"names: a row has two sides, this one {len(sides)}; {FORM}", _line_of(node)
        )
    left, right = (_names_of(side) for side in sides)
    return NameRow(left, right, _line_of(node))


def _names_of(side: yaml.Node) -> tuple[str, ...]:
    nodes = list(side.value) if isinstance(side, yaml.SequenceNode) else [side]
    if not nodes or not all(map(_is_name, nodes)):
        raise _FormError(f"names: a name, or a list of names, is expected; {FORM}", _line_of(side))
    return tuple(node.value.strip() for node in nodes)


def _is_name(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and bool(node.value.strip())


def _check_unique(names: Iterable[tuple[str, int]], vocabulary: str) -> None:
    """Raises where a name occurs on two lines, or twice on one."""
    lines: dict[str, int] = {}
    for name, line in names:
        if lookup_key(name) in lines:
            first = lines[lookup_key(name)]
            raise _FormError(
                f"names: {name!r} of {vocabulary} stands on line {first} already", line
            )
        lines[lookup_key(name)] = line
