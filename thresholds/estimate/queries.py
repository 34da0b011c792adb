"""Questions about all photos of a run, and the width of the interval that answers one, as they are
written on a command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn, cast

QueryKind = Literal["share", "mean", "count", "accuracy"]
DEFAULT_CAP = 10
MAX_CAP = 1000
WAYS = "share(LABEL), mean(LABEL), count(LABEL) or accuracy"

_WORD = re.compile(r"\s*(\w+)\s*")
_LABEL = re.compile(r"\s*([^(),]+?)\s*(?=[,)])")
_CAP = re.compile(r",\s*cap\s*=\s*(\d+)\s*")
_TOLERANCE = re.compile(r"\s*(?:\+-|\+/-|±)\s*(\d+\.?\d*|\.\d+)\s*(%?)\s*$")


class QueryError(ValueError):
    """A text that is no query: it names the text, the position from 1, and the way out."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question about all photos: the share of photos with a label, the mean number of its objects
    a photo, their number on all photos, or the share of photos whose answer is right.

    A photo counts for at most `cap` objects, or no sample could say anything of the mean.
    """

    kind: QueryKind
    label: str = ""
    cap: int = DEFAULT_CAP

    def __str__(self) -> str:
        if self.kind == "accuracy":
            return self.kind
        cap = "" if self.cap == DEFAULT_CAP else f", cap={self.cap}"
        return f"{self.kind}({self.label}{cap})"

    @property
    def counts_objects(self) -> bool:
        return self.kind in ("mean", "count")

    def scale(self, photos: int | None) -> float:
        """What a mean of 1 stands for, where a photo's value is its share of the cap."""
        if self.kind == "count":
            return float(self.cap * (photos or 0))
        return float(self.cap) if self.kind == "mean" else 1.0


@dataclass(frozen=True, slots=True)
class PrecisionTarget:
    """A query, and how far its estimate may be from the truth: in its own unit, or as a share of
    the estimate where `is_relative`."""

    query: Query
    tolerance: float
    is_relative: bool = False

    def __str__(self) -> str:
        if self.is_relative:
            return f"{self.query} +- {100 * self.tolerance:g}%"
        return f"{self.query} +- {self.tolerance:g}"

    def is_met(self, estimate: float, low: float, high: float) -> bool:
        """Whether no value of the interval is further from the estimate than allowed."""
        allowed = self.tolerance * (estimate if self.is_relative else 1)
        return max(estimate - low, high - estimate) <= allowed


def parse_queries(text: str) -> tuple[Query, ...]:
    """The queries of a list with commas: `share(person), mean(car, cap=30), accuracy`. Raises
    QueryError."""
    queries, position = list[Query](), 0
    while True:
        query, position = _query(text, position)
        if query in queries:
            _refuse(text, position - 1, f"{query} is there twice; name each query once")
        queries.append(query)
        if position == len(text):
            return tuple(queries)
        if text[position] != ",":
            _refuse(text, position, "queries are separated by commas")
        position += 1


def parse_target(text: str) -> PrecisionTarget:
    """The target of a text: `share(person) +- 0.01`, `count(dog) +- 5%`. Raises QueryError."""
    query, position = _query(text, 0)
    match = _TOLERANCE.match(text, position)
    if match is None:
        example = "5%" if query.kind == "count" else "0.01"
        _refuse(text, position, f"add how far the answer may be off, such as {query} +- {example}")
    tolerance, is_relative = float(match[1]), bool(match[2])
    if not tolerance:
        _refuse(text, match.start(1), "only all photos answer without an error; leave --until out")
    if is_relative and not query.counts_objects:
        _refuse(
            text,
            match.start(1),
            f"a share is given as a fraction; write {tolerance / 100:g} for {match[1]} points of a "
            "hundred",
        )
    return PrecisionTarget(query, tolerance / 100 if is_relative else tolerance, is_relative)


def _query(text: str, start: int) -> tuple[Query, int]:
    """The query at a position, and the position behind it and the spaces after it."""
    word = _WORD.match(text, start)
    if word is None or word[1] not in ("share", "mean", "count", "accuracy"):
        _refuse(text, word.start(1) if word else start, f"a query is one of {WAYS}")
    kind, position = cast(QueryKind, word[1]), word.end()
    is_open = text[position : position + 1] == "("
    if kind == "accuracy":
        if is_open:
            _refuse(text, position, "accuracy is of whole answers and takes no label")
        return Query(kind), position
    label = _LABEL.match(text, position + 1) if is_open else None
    if label is None:
        _refuse(text, position, f"name a label and close the bracket, such as {kind}(person)")
    position, cap = label.end(), DEFAULT_CAP
    if text[position] == ",":
        cap, position = _cap(text, position, kind)
    if text[position : position + 1] != ")":
        _refuse(text, position, "the bracket is not closed")
    end = position + 1
    return Query(kind, label[1], cap), end + len(text[end:]) - len(text[end:].lstrip())


def _cap(text: str, position: int, kind: QueryKind) -> tuple[int, int]:
    """The cap that is written at a position, and the position behind it."""
    match = _CAP.match(text, position)
    if match is None or kind == "share":
        _refuse(text, position, "only cap=NUMBER may follow a label, in mean and count")
    cap = int(match[1])
    if not 1 <= cap <= MAX_CAP:
        _refuse(text, match.start(1), f"a cap is from 1 to {MAX_CAP} objects a photo")
    return cap, match.end()


def _refuse(text: str, position: int, way_out: str) -> NoReturn:
    raise QueryError(f'"{text}", at character {position + 1}: {way_out}')
