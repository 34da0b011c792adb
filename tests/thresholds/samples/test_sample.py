"""A sample: photos and the answers about them."""

from __future__ import annotations

import json
from datetime import date
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from providers.detection import Box
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
def sample() -> Sample:
    """Three photos, of which the grid was never asked about `c`."""
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


def detection_rows(
    sample: Sample, kind: LookKind, grouping: int, photo: int
) -> list[tuple[str, float, Box]]:
    """Labels, scores and boxes of a photo's detections."""
    detections = sample.detections(sample.look(kind, grouping).of_photo(photo))
    return [(detection.label, detection.score, detection.box) for detection in detections]


def are_alike(sample: Sample, other: Sample) -> bool:
    """Whether two samples have the same content, with labels compared by their names."""
    assert (sample.photos, sample.facts, sample.companions) == (
        other.photos,
        other.facts,
        other.companions,
    )
    assert list(sample.looks) == list(other.looks)
    for kind, boxes in sample.looks.items():
        assert np.array_equal(sample.has_answer[kind], other.has_answer[kind])
        for grouping, photo in product(range(len(boxes)), range(len(sample))):
            rows, other_rows = (
                detection_rows(sample, kind, grouping, photo),
                detection_rows(other, kind, grouping, photo),
            )
            labels, scores, corners = zip(*rows, strict=True) if rows else ((), (), ())
            assert [label for label, _, _ in other_rows] == list(labels)
            assert [score for _, score, _ in other_rows] == pytest.approx(list(scores), abs=1e-6)
            assert [box for _, _, box in other_rows] == [
                pytest.approx(box, abs=1e-6) for box in corners
            ]
    return True


def test_detections_become_arrays_by_kind_and_grouping(sample: Sample) -> None:
    """Detections become arrays by kind and grouping, with the photos that have an answer, and the
    ground truth has the labels that it covers."""
    assert sample.labels == ("cat", "dog")
    assert detection_rows(sample, GRID, 1, 0) == [("dog", 0.5, (0, 0, 1, 1))]
    assert detection_rows(sample, ITSELF, 0, 1) == []
    assert sample.has_answer[GRID].tolist() == [[True, True, False]] * 2
    assert sample.complete.tolist() == [0, 1]
    assert sample.covered.tolist() == [[True, True], [True, False], [False, False]]
    assert len(sample) == 3


def test_missing_groupings_repeat_in_turn(sample: Sample) -> None:
    """Where a kind has fewer groupings than requested, they repeat in turn."""
    assert detection_rows(sample, ITSELF, 5, 0) == detection_rows(sample, ITSELF, 0, 0)
    assert detection_rows(sample, GRID, 3, 0) == detection_rows(sample, GRID, 1, 0)


def test_a_saved_sample_loads_as_it_was(sample: Sample, tmp_path: Path) -> None:
    """A sample is loaded as it was saved, with prices, companions and ground truth."""
    price = Price(0.001, date(2026, 1, 2), (Tier(1000, 0.0005),))
    full = synthetic_sample(
        12, kinds=(*KINDS, COMPANION), companions=("free",), provider="own", prices={"": price}
    )
    for number, original in enumerate((sample, full, synthetic_sample(6, known=False))):
        original.save(tmp_path / f"{number}.npz")
        copy = Sample.load(tmp_path / f"{number}.npz")
        assert are_alike(copy, original)
        assert (copy.provider, dict(copy.prices), copy.labels) == (
            original.provider,
            dict(original.prices),
            original.labels,
        )
        assert (copy.truth is None) == (original.truth is None)
        if original.truth is not None:
            assert np.array_equal(copy.covered, original.covered)
            assert copy.truth.boxes.xyxy == pytest.approx(original.truth.boxes.xyxy, abs=1e-6)


def test_some_photos_of_a_sample_are_a_sample(sample: Sample) -> None:
    """Some photos of a sample are a sample themselves, in the order in which they are named."""
    part = sample.of_photos(np.array([2, 0]))
    assert part.photos == ("c", "a")
    assert part.facts == (FACTS["c"], FACTS["a"])
    assert detection_rows(part, GRID, 0, 1) == detection_rows(sample, GRID, 0, 0)
    assert part.has_answer[GRID].tolist() == [[False, True]] * 2
    assert len(part.truth.of_photo(1)) == 1
    assert part.covered.tolist() == [[False, False], [True, True]]


def test_a_sample_without_companions_has_no_looks_of_theirs() -> None:
    """A sample without its companions has none of their looks and names none."""
    plain = synthetic_sample(
        8, kinds=(*KINDS, COMPANION), companions=("free",)
    ).without_companions()
    assert tuple(plain.looks) == tuple(plain.has_answer) == KINDS
    assert plain.companions == ()


class TestJoined:
    @pytest.fixture
    def other(self) -> Sample:
        """Another provider's sample: answers about `c`, `a` and a photo of its own, with owls as a
        further label."""
        answer = [[detection("OWL", 0.7), detection("Cat", 0.6)]]
        looks = {
            ITSELF: {"c": [[]], "a": answer, "z": [[]]},
            LookKind(Shape(1, 1), "free"): {"c": [[]]},
        }
        facts = {"c": FACTS["c"], "a": FACTS["a"], "z": PhotoFacts(9, 9, 9)}
        return sample_from_answers(
            facts, looks, provider="dear", prices={"": Price(0.005)}, companions=("free",)
        )

    def test_joined_samples_have_common_photos_and_all_labels(
        self, sample: Sample, other: Sample
    ) -> None:
        """Joined samples have the photos of both, one list of labels, and the other's looks under
        its provider's name."""
        both = sample.joined(other)
        assert both.photos == ("a", "c")
        assert list(both.looks) == [ITSELF, GRID, LookKind(Shape(1, 1), "dear")]
        assert detection_rows(both, LookKind(Shape(1, 1), "dear"), 0, 0) == [
            ("OWL", 0.7, (0, 0, 1, 1)),
            ("cat", 0.6, (0, 0, 1, 1)),
        ]
        assert detection_rows(both, ITSELF, 0, 1) == detection_rows(sample, ITSELF, 0, 2)
        assert both.prices == {"dear": Price(0.005)}

    def test_the_truth_of_the_first_stays(self, sample: Sample, other: Sample) -> None:
        """The ground truth is the first sample's, and covers no label that only the other has."""
        both = sample.joined(other)
        assert both.labels == ("cat", "dog", "OWL")
        assert both.covered.tolist() == [[True, True, False], [False, False, False]]
        assert len(both.truth.of_photo(0)) == 1

    def test_samples_of_one_provider_are_not_joined(self, sample: Sample, other: Sample) -> None:
        """Two samples of one provider are not joined, as their answers could not be
        distinguished."""
        with pytest.raises(ValueError, match="both profiles are of provider own"):
            sample.joined(sample)
        with pytest.raises(ValueError, match="both profiles are of provider dear"):
            sample.joined(other).joined(other)

    def test_samples_without_a_common_photo_are_not_joined(
        self, sample: Sample, other: Sample
    ) -> None:
        """Two samples without a common photo are not joined."""
        with pytest.raises(ValueError, match="no photo in common"):
            sample.of_photos(np.array([1])).joined(other)

    def test_a_joined_sample_is_saved_and_loaded(
        self, sample: Sample, other: Sample, tmp_path: Path
    ) -> None:
        """A joined sample is saved and loaded like any other."""
        both = sample.joined(other)
        both.save(tmp_path / FILE)
        assert are_alike(Sample.load(tmp_path / FILE), both)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    """The error for a missing file names it and says how to make one."""
    with pytest.raises(ValueError, match=r"none\.npz: cannot be read .*imgrid profile"):
        Sample.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"PK\x03\x04 and nothing", "half", "flipped", "array", "other", "json", "keys"],
)
def test_a_malformed_file_is_named(sample: Sample, tmp_path: Path, content: bytes | str) -> None:
    """The error for a file that is something else, or cut off, names it."""
    file = tmp_path / "broken.npz"
    sample.save(file)
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
