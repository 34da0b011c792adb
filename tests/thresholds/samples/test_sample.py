"""A sample of photos and of what was answered about them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from providers.prices import Price, Tier
from tests.support.detections import detection
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import FILE, Sample
from thresholds.shape import Shape
from thresholds.testing import COMPANION, KINDS, synthetic_sample

GRID = LookKind(Shape(2, 2))
FACTS = {name: PhotoFacts(640, 480, 1000 * size) for size, name in enumerate("abc", 1)}


@pytest.fixture
def small() -> Sample:
    """Three photos, `c` of which the grid was never asked about."""
    cat, dog = detection("cat", 0.9, 0, 0, 0.5, 1), detection("dog", 0.5)
    return sample_from_answers(
        FACTS,
        {
            ITSELF: {"a": [[cat]], "b": [[]], "c": [[dog]]},
            GRID: {"a": [[cat], [dog]], "b": [[dog], []]},
        },
        {
            "a": Known([cat], frozenset({"cat", "Dog"})),
            "b": Known([], frozenset({"cat"})),
            "c": Known([], frozenset()),
        },
        provider="own",
    )


def told(made, kind, grouping, photo):
    found = made.detections(made.look(kind, grouping).of_photo(photo))
    return [(each.label, each.score, each.box) for each in found]


def alike(one, other):
    """Whether two samples say the same, labels by their names."""
    assert (one.photos, one.facts, one.companions) == (other.photos, other.facts, other.companions)
    assert list(one.looks) == list(other.looks)
    for kind, boxes in one.looks.items():
        assert np.array_equal(one.has_answer[kind], other.has_answer[kind])
        for grouping in range(len(boxes)):
            for photo in range(len(one)):
                mine, its = told(one, kind, grouping, photo), told(other, kind, grouping, photo)
                assert [each[0] for each in mine] == [each[0] for each in its]
                assert [each[1] for each in mine] == pytest.approx(
                    [each[1] for each in its], abs=1e-6
                )
                assert [each[2] for each in mine] == [
                    pytest.approx(each[2], abs=1e-6) for each in its
                ]
    return True


def test_of_detections(small: Sample) -> None:
    """Answers become arrays by kind and grouping, and say which photos were asked; truth says of
    which labels."""
    assert small.labels == ("cat", "dog")
    assert told(small, GRID, 1, 0) == [("dog", 0.5, (0, 0, 1, 1))]
    assert told(small, ITSELF, 0, 1) == []
    assert small.has_answer[GRID].tolist() == [[True, True, False]] * 2
    assert small.complete.tolist() == [0, 1]
    assert small.covered.tolist() == [[True, True], [True, False], [False, False]]
    assert len(small) == 3


def test_groupings_in_turn(small: Sample) -> None:
    """Where a kind has fewer groupings than are asked for, they are taken in turn."""
    assert told(small, ITSELF, 5, 0) == told(small, ITSELF, 0, 0)
    assert told(small, GRID, 3, 0) == told(small, GRID, 1, 0)


def test_round_trip(small: Sample, tmp_path: Path) -> None:
    """What is saved is loaded as it was, prices, companions and truth too."""
    price = Price(0.001, date(2026, 1, 2), (Tier(1000, 0.0005),))
    made = synthetic_sample(
        12, kinds=(*KINDS, COMPANION), companions=("free",), provider="own", prices={"": price}
    )
    for number, each in enumerate((small, made, synthetic_sample(6, known=False))):
        each.save(tmp_path / f"{number}.npz")
        again = Sample.load(tmp_path / f"{number}.npz")
        assert alike(again, each)
        assert (again.provider, dict(again.prices), again.labels) == (
            each.provider,
            dict(each.prices),
            each.labels,
        )
        assert (again.truth is None) == (each.truth is None)
        if each.truth is not None:
            assert np.array_equal(again.covered, each.covered)
            assert again.truth.boxes.xyxy == pytest.approx(each.truth.boxes.xyxy, abs=1e-6)


def test_of_photos(small: Sample) -> None:
    """Of some of its photos it is a sample like any, in the order in which they are named."""
    some = small.of_photos(np.array([2, 0]))
    assert some.photos == ("c", "a")
    assert some.facts == (FACTS["c"], FACTS["a"])
    assert told(some, GRID, 0, 1) == told(small, GRID, 0, 0)
    assert some.has_answer[GRID].tolist() == [[False, True]] * 2
    assert len(some.truth.of_photo(1)) == 1
    assert some.covered.tolist() == [[False, False], [True, True]]


def test_without_companions() -> None:
    """Without its companions it has no looks of theirs, and names none."""
    plain = synthetic_sample(
        8, kinds=(*KINDS, COMPANION), companions=("free",)
    ).without_companions()
    assert tuple(plain.looks) == tuple(plain.has_answer) == KINDS
    assert plain.companions == ()


class TestJoined:
    @pytest.fixture
    def other(self) -> Sample:
        """Another provider's, who has seen `c`, `a` and a photo of its own, and speaks of owls
        too."""
        found = [[detection("OWL", 0.7), detection("Cat", 0.6)]]
        looks = {
            ITSELF: {"c": [[]], "a": found, "z": [[]]},
            LookKind(Shape(1, 1), "free"): {"c": [[]]},
        }
        facts = {"c": FACTS["c"], "a": FACTS["a"], "z": PhotoFacts(9, 9, 9)}
        return sample_from_answers(
            facts, looks, provider="dear", prices={"": Price(0.005)}, companions=("free",)
        )

    def test_joined(self, small: Sample, other: Sample) -> None:
        """Its looks are named after its provider, labels are one list, and only photos that both
        have seen are left."""
        both = small.joined(other)
        assert both.photos == ("a", "c")
        assert list(both.looks) == [ITSELF, GRID, LookKind(Shape(1, 1), "dear")]
        assert told(both, LookKind(Shape(1, 1), "dear"), 0, 0) == [
            ("OWL", 0.7, (0, 0, 1, 1)),
            ("cat", 0.6, (0, 0, 1, 1)),
        ]
        assert told(both, ITSELF, 0, 1) == told(small, ITSELF, 0, 2)
        assert both.prices == {"dear": Price(0.005)}

    def test_truth_stays(self, small: Sample, other: Sample) -> None:
        """The truth is the first's, and says nothing of labels that only the other gives."""
        both = small.joined(other)
        assert both.labels == ("cat", "dog", "OWL")
        assert both.covered.tolist() == [[True, True, False], [False, False, False]]
        assert len(both.truth.of_photo(0)) == 1

    def test_of_one_provider(self, small: Sample, other: Sample) -> None:
        """Two profiles of one provider are not joined: their answers could not be told apart."""
        with pytest.raises(ValueError, match="both profiles are of provider own"):
            small.joined(small)
        with pytest.raises(ValueError, match="both profiles are of provider dear"):
            small.joined(other).joined(other)

    def test_nothing_in_common(self, small: Sample, other: Sample) -> None:
        """Nor are those that have no photo in common."""
        with pytest.raises(ValueError, match="no photo in common"):
            small.of_photos(np.array([1])).joined(other)

    def test_saved_joined(self, small: Sample, other: Sample, tmp_path: Path) -> None:
        """Joined, it is saved and loaded like any."""
        both = small.joined(other)
        both.save(tmp_path / FILE)
        assert alike(Sample.load(tmp_path / FILE), both)


def test_not_there(tmp_path: Path) -> None:
    """A file that is not there is named, with how to make one."""
    with pytest.raises(ValueError, match=r"none\.npz: cannot be read .*imgrid profile"):
        Sample.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"PK\x03\x04 and nothing", "half", "flipped", "array", "other", "json", "keys"],
)
def test_malformed(small: Sample, tmp_path: Path, content: bytes | str) -> None:
    """A file that is something else, or a part of one, is named."""
    file = tmp_path / "broken.npz"
    small.save(file)
    whole = file.read_bytes()
    match content:
        case "half":
            file.write_bytes(whole[: len(whole) // 2])
        case "flipped":
            file.write_bytes(whole[:60] + bytes(255 - each for each in whole[60:120]) + whole[120:])
        case "array":
            with file.open("wb") as opened:
                np.save(opened, np.zeros(3))
        case "other":
            np.savez(file, some=np.zeros(3))
        case "json":
            np.savez(file, about=np.array("{"))
        case "keys":
            np.savez(file, about=np.array(json.dumps({"kinds": [["2x2", 1]]})))
        case _:
            file.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.npz: is no profile's sample"):
        Sample.load(file)
