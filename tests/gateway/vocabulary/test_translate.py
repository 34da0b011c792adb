"""Translation of labels from one vocabulary into another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vocabulary.files import VOCABULARIES
from gateway.vocabulary.translate import load
from providers.detection import Box, Detection, Landmark, Task
from providers.engine.vocabulary import COCO

NAMES = load()
BOX = Box(0.1, 0.2, 0.3, 0.4)
VENDORS = VOCABULARIES[1:]


def translated(
    label: str, of: str, to: str, details: dict[str, Any] | None = None, task: Task = Task.OBJECTS
) -> Detection:
    (detection,) = NAMES.translate(
        [Detection(label, 0.5, BOX, details=details or {})], task, of, to
    )
    return detection


@pytest.mark.parametrize("vocabulary", VENDORS)
@pytest.mark.parametrize("label", sorted(COCO))
def test_every_coco_class_comes_back_from_a_vendor(label: str, vocabulary: str) -> None:
    """A class of COCO's that is translated into a vendor's words and back is the same class."""
    assert NAMES.name_in(NAMES.name_in(label, "coco", vocabulary), vocabulary, "coco") == label


@pytest.mark.parametrize("label", sorted(COCO))
def test_vendors_agree_on_every_coco_class(label: str) -> None:
    """A class that is translated through all three vendors comes back."""
    rekognition = NAMES.name_in(label, "coco", "rekognition")
    google = NAMES.name_in(rekognition, "rekognition", "google")
    azure = NAMES.name_in(google, "google", "azure")
    assert NAMES.name_in(azure, "azure", "coco") == label
    assert NAMES.name_in(azure, "azure", "rekognition") == rekognition


@pytest.mark.parametrize(
    ("of", "spelling"), [("coco", str.lower), ("google", str.capitalize), ("azure", str.lower)]
)
def test_coco_names_are_rekognitions_if_it_has_them(
    of: str, spelling: Callable[[str], str]
) -> None:
    """COCO's names, in whatever case, are the same words for Rekognition's clients, except for
    three that Rekognition calls otherwise."""
    names = {label: NAMES.name_in(spelling(label), of, "rekognition") for label in COCO}
    assert {label: name for label, name in names.items() if name.lower() != label} == {
        "stop sign": "Stopsign",
        "sports ball": "Ball",
        "remote": "Remote Control",
    }


@pytest.mark.parametrize(
    ("voc", "coco"),
    [
        ("aeroplane", "airplane"),
        ("motorbike", "motorcycle"),
        ("sofa", "couch"),
        ("tvmonitor", "tv"),
        ("diningtable", "dining table"),
        ("pottedplant", "potted plant"),
    ],
)
def test_voc_names_are_translated_like_cocos(voc: str, coco: str) -> None:
    """Models that learned VOC's names are translated like those that learned COCO's."""
    assert [NAMES.name_in(voc, "coco", to) for to in VENDORS] == [
        NAMES.name_in(coco, "coco", to) for to in VENDORS
    ]


def test_a_label_comes_with_rekognitions_ancestors_and_category() -> None:
    """Ancestors, other names and the category are Rekognition's own; the other vendor's details of
    the name are dropped."""
    dog = translated("Dog", "google", "rekognition", {"mid": "/m/0bt9lr", "topicality": 0.5})
    assert dog.label == "Dog"
    assert dog.details == {
        "parents": ("Animal", "Canine", "Mammal", "Pet"),
        "aliases": (),
        "categories": ("Animals and Pets",),
        "topicality": 0.5,
    }


def test_an_object_for_google_comes_with_its_id() -> None:
    """The id is the Knowledge Graph's, if it is known."""
    assert translated("Dog", "rekognition", "google", {"parents": ("Animal",)}).details == {
        "mid": "/m/0bt9lr"
    }
    assert translated("widget", "coco", "google").details == {}


@pytest.mark.parametrize(
    ("label", "of", "to", "expected"),
    [
        ("garden gnome", "coco", "rekognition", "Garden Gnome"),
        ("Garden Gnome", "rekognition", "google", "Garden gnome"),
        ("LED Sign", "rekognition", "google", "LED sign"),
        ("Garden gnome", "google", "azure", "garden gnome"),
        ("Garden gnome", "google", "coco", "garden gnome"),
        ("LED sign", "google", "rekognition", "LED Sign"),
        ("sea life", "azure", "rekognition", "Sea Life"),
        ("", "coco", "rekognition", ""),
    ],
)
def test_an_unmapped_name_is_passed_on(label: str, of: str, to: str, expected: str) -> None:
    """An unmapped name is spelled as the client's vendor spells names, and acronyms stay as they
    are."""
    assert NAMES.name_in(label, of, to) == expected


def test_a_finer_name_becomes_its_class() -> None:
    """If the other vocabulary has no such thing, the name above it is the answer; if it has, the
    thing itself."""
    assert NAMES.name_in("Woman", "google", "coco") == "person"
    assert NAMES.name_in("Woman", "google", "rekognition") == "Woman"
    assert NAMES.name_in("Puppy", "rekognition", "google") == "Dog"


@pytest.mark.parametrize(("of", "to"), [("", "google"), ("coco", ""), ("azure", "azure")])
def test_unknown_and_equal_vocabularies_translate_nothing(of: str, to: str) -> None:
    """Between an unknown vocabulary and any other, or one and the same, answers and questions stay
    as they are."""
    detections = [Detection("tv", 0.5, BOX)]
    assert NAMES.translate(detections, Task.OBJECTS, of, to) is detections
    assert NAMES.labels_in(["tv", "tv"], of, to) == ("tv", "tv")


@pytest.mark.parametrize(
    "task", [Task.TEXT, Task.LOGOS, Task.CELEBRITIES, Task.EQUIPMENT, Task.EXTRAS]
)
def test_only_names_of_things_are_translated(task: Task) -> None:
    """Text that was read on a sign is unchanged, and so is the name of a logo."""
    assert translated("sofa", "azure", "rekognition", task=task).label == "sofa"


@pytest.mark.parametrize("task", [Task.PEOPLE, Task.LABELS, Task.OBJECTS])
def test_people_and_labels_are_translated_like_objects(task: Task) -> None:
    """All three are names of one vocabulary."""
    assert translated("Person", "rekognition", "azure", task=task).label == "person"


def test_a_requested_name_becomes_all_its_synonyms() -> None:
    """A question's labels are translated into the provider's words: the answer first, then its
    synonyms, each once."""
    assert NAMES.labels_in(["sofa", "couch"], "coco", "google") == (
        "Couch",
        "Sofa",
        "Studio couch",
        "Sofa bed",
        "Loveseat",
    )
    assert NAMES.labels_in(["Mobile Phone"], "rekognition", "coco") == (
        "cell phone",
        "mobile phone",
    )
    assert NAMES.labels_in(["Garden Gnome"], "rekognition", "azure") == ("garden gnome",)


def test_a_requested_rekognition_family_includes_its_members() -> None:
    """Rekognition's clients may filter by an ancestor: it matches every label below it."""
    labels = NAMES.labels_in(["Vehicle"], "rekognition", "coco")
    assert {"bicycle", "car", "truck", "airplane"} <= set(labels)
    assert "dog" not in labels


detections = st.lists(
    st.builds(
        Detection,
        st.one_of(st.text(max_size=20), st.sampled_from(sorted(COCO))),
        st.floats(0, 1),
        st.builds(Box, *[st.floats(-1, 2)] * 4),
        kind=st.sampled_from(["", "LABEL", "INSTANCE"]),
        landmarks=st.lists(
            st.builds(Landmark, st.just("nose"), st.floats(0, 1), st.floats(0, 1))
        ).map(tuple),
    ),
    max_size=5,
)


@given(
    detections,
    st.sampled_from([Task.OBJECTS, Task.PEOPLE, Task.LABELS]),
    st.sampled_from(VOCABULARIES),
    st.sampled_from(VOCABULARIES),
)
def test_translation_drops_and_moves_nothing(
    detections: list[Detection], task: Task, of: str, to: str
) -> None:
    """Whatever the labels are, as many detections come out as went in, in order, with their places
    and scores."""
    translation = NAMES.translate(detections, task, of, to)
    assert [(d.score, d.box, d.kind, d.landmarks) for d in translation] == [
        (d.score, d.box, d.kind, d.landmarks) for d in detections
    ]


@given(st.text(max_size=30), st.sampled_from(VOCABULARIES), st.sampled_from(VOCABULARIES))
def test_a_translated_question_is_never_empty(label: str, of: str, to: str) -> None:
    """Every requested label has at least one translation."""
    assert NAMES.labels_in([label], of, to)


def test_an_operators_names_win_over_the_shipped_ones(tmp_path: Path) -> None:
    """An operator's names answer in both directions, and all other names stay as they are
    shipped."""
    file = tmp_path / "own.yaml"
    file.write_text(
        "between: [coco, rekognition]\nnames:\n"
        "  - [remote, Remote]\n  - [hard hat, [Hardhat, Helmet]]\n"
    )
    names = load([file])
    assert names.name_in("remote", "coco", "rekognition") == "Remote"
    assert names.name_in("Remote Control", "rekognition", "coco") == "remote"
    assert names.name_in("hard hat", "coco", "rekognition") == "Hardhat"
    assert names.name_in("Helmet", "rekognition", "coco") == "hard hat"
    assert names.name_in("hard hat", "coco", "google") == "Hard hat"
    assert names.name_in("stop sign", "coco", "rekognition") == "Stopsign"


def test_the_first_of_two_files_wins(tmp_path: Path) -> None:
    """Files are searched in the order in which they are listed."""
    for name, answer in (("first", "Sofa Bed"), ("second", "Settee")):
        (tmp_path / name).write_text(
            f"between: [rekognition, coco]\nnames:\n  - [{answer}, couch]\n"
        )
    assert (
        load([tmp_path / "first", tmp_path / "second"]).name_in("couch", "coco", "rekognition")
        == "Sofa Bed"
    )
