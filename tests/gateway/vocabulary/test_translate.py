"""From one vocabulary's words into another's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vocabulary.files import VOCABULARIES
from gateway.vocabulary.translate import load
from providers.detection import Box, Detection, Landmark, Task
from providers.engine.vocabulary import COCO

NAMES = load()
BOX = Box(0.1, 0.2, 0.3, 0.4)
OTHERS = VOCABULARIES[1:]


def named(label, of, to, details=None, task=Task.OBJECTS):
    (found,) = NAMES.translate([Detection(label, 0.5, BOX, details=details or {})], task, of, to)
    return found


@pytest.mark.parametrize("vocabulary", OTHERS)
@pytest.mark.parametrize("label", sorted(COCO))
def test_every_class_of_coco_comes_back(label, vocabulary):
    """A class of COCO's that is told in a vendor's words is the same class when it is told in
    COCO's again."""
    assert NAMES.name_in(NAMES.name_in(label, "coco", vocabulary), vocabulary, "coco") == label


@pytest.mark.parametrize("label", sorted(COCO))
def test_vendors_agree_on_every_class_of_coco(label):
    """A class goes round all three vendors and comes back."""
    rekognition = NAMES.name_in(label, "coco", "rekognition")
    google = NAMES.name_in(rekognition, "rekognition", "google")
    azure = NAMES.name_in(google, "google", "azure")
    assert NAMES.name_in(azure, "azure", "coco") == label
    assert NAMES.name_in(azure, "azure", "rekognition") == rekognition


@pytest.mark.parametrize(
    ("of", "spelled"), [("coco", str.lower), ("google", str.capitalize), ("azure", str.lower)]
)
def test_cocos_names_are_rekognitions_where_it_has_them(of, spelled):
    """Whoever calls things as COCO does, in whatever case, is told to Rekognition's clients by the
    same words, but for three that Rekognition calls otherwise."""
    told = {label: NAMES.name_in(spelled(label), of, "rekognition") for label in COCO}
    assert {label: name for label, name in told.items() if name.lower() != label} == {
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
def test_vocs_names_are_understood(voc, coco):
    """Models that learned VOC's names are translated like those that learned COCO's."""
    assert [NAMES.name_in(voc, "coco", to) for to in OTHERS] == [
        NAMES.name_in(coco, "coco", to) for to in OTHERS
    ]


def test_a_label_comes_with_what_rekognition_says_of_it():
    """Ancestors, other names and the category are Rekognition's own; the other vendor's details of
    the name go."""
    dog = named("Dog", "google", "rekognition", {"mid": "/m/0bt9lr", "topicality": 0.5})
    assert dog.label == "Dog"
    assert dog.details == {
        "parents": ("Animal", "Canine", "Mammal", "Pet"),
        "aliases": (),
        "categories": ("Animals and Pets",),
        "topicality": 0.5,
    }


def test_an_object_comes_with_its_id_for_google():
    """The id is the Knowledge Graph's, where it is known."""
    assert named("Dog", "rekognition", "google", {"parents": ("Animal",)}).details == {
        "mid": "/m/0bt9lr"
    }
    assert named("widget", "coco", "google").details == {}


@pytest.mark.parametrize(
    ("label", "of", "to", "told"),
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
def test_a_name_that_nobody_mapped_is_passed_on(label, of, to, told):
    """It is spelled as the client's vendor spells names, and acronyms stay as they are."""
    assert NAMES.name_in(label, of, to) == told


def test_finer_names_are_the_class_they_belong_to():
    """Where the other vocabulary has no such thing, the name above it is the answer; where it has,
    the thing itself."""
    assert NAMES.name_in("Woman", "google", "coco") == "person"
    assert NAMES.name_in("Woman", "google", "rekognition") == "Woman"
    assert NAMES.name_in("Puppy", "rekognition", "google") == "Dog"


@pytest.mark.parametrize(("of", "to"), [("", "google"), ("coco", ""), ("azure", "azure")])
def test_nothing_is_translated_between_the_unknown_and_the_same(of, to):
    """Answers and questions stay as they are."""
    found = [Detection("tv", 0.5, BOX)]
    assert NAMES.translate(found, Task.OBJECTS, of, to) is found
    assert NAMES.labels_in(["tv", "tv"], of, to) == ("tv", "tv")


@pytest.mark.parametrize(
    "task", [Task.TEXT, Task.LOGOS, Task.CELEBRITIES, Task.EQUIPMENT, Task.EXTRAS]
)
def test_only_names_of_things_are_translated(task):
    """What was read on a sign stays what was read, and a logo is called as it is."""
    assert named("sofa", "azure", "rekognition", task=task).label == "sofa"


@pytest.mark.parametrize("task", [Task.PEOPLE, Task.LABELS, Task.OBJECTS])
def test_people_and_labels_are_translated_like_objects(task):
    """All three are names of one vocabulary."""
    assert named("Person", "rekognition", "azure", task=task).label == "person"


def test_who_asks_for_a_name_asks_for_all_that_it_may_be_called():
    """A question's labels are told in the provider's words: the answer first, then the others, each
    once."""
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


def test_who_asks_rekognition_for_a_family_asks_for_its_members():
    """Rekognition's clients may filter by an ancestor: it is found where what belongs to it is."""
    asked = NAMES.labels_in(["Vehicle"], "rekognition", "coco")
    assert {"bicycle", "car", "truck", "airplane"} <= set(asked)
    assert "dog" not in asked


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
def test_nothing_is_dropped_or_moved(found, task, of, to):
    """Whatever things are called, as many come out as went in, in order, with their places and
    scores."""
    told = NAMES.translate(found, task, of, to)
    assert [(d.score, d.box, d.kind, d.landmarks) for d in told] == [
        (d.score, d.box, d.kind, d.landmarks) for d in found
    ]


@given(st.text(max_size=30), st.sampled_from(VOCABULARIES), st.sampled_from(VOCABULARIES))
def test_a_question_is_never_emptied(label, of, to):
    """Every label that is asked for is asked for somehow."""
    assert NAMES.labels_in([label], of, to)


def test_an_operators_names_go_before_the_shipped_ones(tmp_path):
    """They answer in both directions, and whatever they do not name stays as it is shipped."""
    own = tmp_path / "own.yaml"
    own.write_text(
        "between: [coco, rekognition]\nnames:\n  - [remote, Remote]\n  - [hard hat, [Hardhat, Helmet]]\n"
    )
    names = load([own])
    assert names.name_in("remote", "coco", "rekognition") == "Remote"
    assert names.name_in("Remote Control", "rekognition", "coco") == "remote"
    assert names.name_in("hard hat", "coco", "rekognition") == "Hardhat"
    assert names.name_in("Helmet", "rekognition", "coco") == "hard hat"
    assert names.name_in("hard hat", "coco", "google") == "Hard hat"
    assert names.name_in("stop sign", "coco", "rekognition") == "Stopsign"


def test_the_first_of_two_files_goes_first(tmp_path):
    """Files stand in the order in which they are looked into."""
    for name, told in (("first", "Sofa Bed"), ("second", "Settee")):
        (tmp_path / name).write_text(f"between: [rekognition, coco]\nnames:\n  - [{told}, couch]\n")
    assert (
        load([tmp_path / "first", tmp_path / "second"]).name_in("couch", "coco", "rekognition")
        == "Sofa Bed"
    )
