"""Queries and targets as they are written on a command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.estimate.queries import (
    PrecisionTarget,
    Query,
    QueryError,
    QueryKind,
    parse_queries,
    parse_target,
)

LABELS = st.text("abcdefgh -_", min_size=1, max_size=12).map(str.strip).filter(bool)
KINDS: tuple[QueryKind, ...] = ("mean", "count")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("share(person) +- 0.01", PrecisionTarget(Query("share", "person"), 0.01)),
        ("mean(person)+-.05", PrecisionTarget(Query("mean", "person"), 0.05)),
        ("count(dog) ± 5%", PrecisionTarget(Query("count", "dog"), 0.05, is_relative=True)),
        (
            "mean(dining table, cap=30) +/- 2",
            PrecisionTarget(Query("mean", "dining table", 30), 2.0),
        ),
        (" accuracy  +- 0.02 ", PrecisionTarget(Query("accuracy"), 0.02)),
    ],
)
def test_a_target_is_read(text: str, target: PrecisionTarget) -> None:
    """A target is a query and a tolerance, in its unit or as a percentage of the answer."""
    assert parse_target(text) == target


@given(label=LABELS, kind=st.sampled_from(KINDS), cap=st.integers(1, 1000))
def test_a_target_reads_as_it_is_written(label: str, kind: QueryKind, cap: int) -> None:
    """The text of a target is read as the same target."""
    target = PrecisionTarget(Query(kind, label, cap), 0.25, is_relative=True)
    assert parse_target(str(target)) == target


def test_a_list_of_queries_is_read() -> None:
    """Queries are separated by commas, and so is a cap within brackets."""
    assert parse_queries("share(person), mean(car, cap=3) ,accuracy") == (
        Query("share", "person"),
        Query("mean", "car", 3),
        Query("accuracy"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shar(person) +- 1", "at character 1: a query is one of share(LABEL), mean(LABEL)"),
        ("", "at character 1: a query is one of"),
        ("share(person +- 1", "at character 6: name a label and close the bracket"),
        ("share() +- 1", "such as share(person)"),
        ("share(a, cap=2) +- 1", "at character 8: only cap=NUMBER may follow a label"),
        ("mean(a, cap=0) +- 1", "at character 13: a cap is from 1 to 1000"),
        ("mean(a, cap=2, b) +- 1", "at character 14: the bracket is not closed"),
        ("accuracy(a) +- 1", "at character 9: accuracy is of whole answers and takes no label"),
        ("mean(a)", "at character 8: add how far the answer may be off, such as mean(a) +- 0.01"),
        ("count(a) 5%", "such as count(a) +- 5%"),
        ("share(a) +- 5%", "at character 13: a share is given as a fraction; write 0.05"),
        ("share(a) +- 0", "only all photos answer without an error; leave --until out"),
    ],
)
def test_a_wrong_target_is_refused(text: str, message: str) -> None:
    """A refusal names the text, the position and the way out."""
    with pytest.raises(QueryError) as caught:
        parse_target(text)
    assert f'"{text}"' in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("share(a) mean(b)", "at character 10: queries are separated by commas"),
        ("share(a),", "at character 10: a query is one of"),
        ("share(a), share(a)", "share(a) is there twice; name each query once"),
    ],
)
def test_a_wrong_list_is_refused(text: str, message: str) -> None:
    """So do refusals of lists."""
    with pytest.raises(QueryError) as caught:
        parse_queries(text)
    assert message in str(caught.value)


def test_a_target_is_met_by_the_whole_interval() -> None:
    """A target is met where neither end of the interval is further away than allowed."""
    target = PrecisionTarget(Query("mean", "car"), 0.1)
    assert target.is_met(0.5, 0.4001, 0.55)
    assert not target.is_met(0.5, 0.45, 0.61)
    relative = PrecisionTarget(Query("count", "car"), 0.1, is_relative=True)
    assert relative.is_met(500, 451, 549)
    assert not relative.is_met(500, 451, 551)
    assert not relative.is_met(0, 0, 1)


def test_a_mean_of_one_stands_for_its_cap() -> None:
    """A value is a share of the cap; a count is over all photos."""
    assert Query("share", "car").scale(100) == 1
    assert Query("mean", "car", 20).scale(100) == 20
    assert Query("count", "car", 20).scale(100) == 2000
