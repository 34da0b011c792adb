"""Files of names: the shipped ones, and faults in an operator's."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from gateway.vocabulary import files
from gateway.vocabulary.files import DATA, VOCABULARIES, NameFile, NameRow, lookup_key, read
from providers.engine.vocabulary import COCO

PAIRS = list(combinations(VOCABULARIES, 2))


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> NameFile:
    left, right = request.param
    return read(DATA / f"{left}-{right}.yaml")


def test_every_two_vocabularies_have_a_file(pair: NameFile) -> None:
    """Each file is about the vocabularies in its name, and has at least about as many rows as COCO
    has classes."""
    assert pair.between in PAIRS
    assert len(pair.rows) >= 80


def test_answers_of_a_row_lead_to_each_other(pair: NameFile) -> None:
    """The first name on one side is answered with the first on the other, in both directions."""
    tables = files.tables_of([pair])
    left, right = pair.between
    for row in pair.rows:
        assert tables[left, right][lookup_key(row.left[0])][0] == row.right[0]
        assert tables[right, left][lookup_key(row.right[0])][0] == row.left[0]


def test_names_are_spelled_as_their_vocabulary_spells_them(pair: NameFile) -> None:
    """All of Rekognition's words are capitalised, Google's first word is, and all others are lower
    case."""
    for vocabulary, side in zip(pair.between, ("left", "right"), strict=True):
        for name in (name for row in pair.rows for name in getattr(row, side)):
            if vocabulary == "rekognition":
                assert all(word[0].isupper() for word in name.split()), name
            elif vocabulary == "google":
                assert name == name.capitalize(), name
            else:
                assert name.islower(), name


@pytest.mark.parametrize("vocabulary", VOCABULARIES[1:])
def test_every_coco_class_has_a_name_elsewhere(vocabulary: str) -> None:
    """The 80 classes are the answers of COCO's side, each on a row of its own."""
    rows = read(DATA / f"coco-{vocabulary}.yaml").rows
    assert [row.left[0] for row in rows if row.left[0] in COCO] == [row.left[0] for row in rows]
    assert {row.left[0] for row in rows} == COCO


def test_every_coco_class_has_rekognition_ancestors() -> None:
    """Each class's label is in the taxonomy, and no label is its own ancestor."""
    kin = files.rekognition_taxonomy()
    assert {
        lookup_key(row.right[0]) for row in read(DATA / "coco-rekognition.yaml").rows
    } <= kin.keys()
    assert not [each.name for each in kin.values() if each.name in each.parents]


def test_ancestors_of_ancestors_are_ancestors_of_a_label() -> None:
    """`Parents` lists all ancestors: a known parent's parents are the label's too."""
    kin = files.rekognition_taxonomy()
    for each in kin.values():
        for parent in each.parents:
            if lookup_key(parent) in kin:
                assert set(kin[lookup_key(parent)].parents) <= set(each.parents), (
                    each.name,
                    parent,
                )


def test_each_google_id_has_one_name() -> None:
    """No id stands for two names, and each is for a name that a file of pairs has."""
    ids = files.google_mids()
    known_keys = {
        lookup_key(name)
        for row in read(DATA / "rekognition-google.yaml").rows
        for name in row.right
    }
    known_keys |= {
        lookup_key(name) for row in read(DATA / "coco-google.yaml").rows for name in row.right
    }
    assert len(set(ids.values())) == len(ids)
    assert all(each.startswith("/m/") for each in ids.values())
    assert ids.keys() <= known_keys


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    """A side is one name or several; words with another meaning in YAML are names as well."""
    file = tmp_path / "own.yaml"
    file.write_text(
        "between: [coco, google]\nnames:\n  - [hard hat, Helmet]\n  - [[on, 'off'], [Switch, 7]]\n"
    )
    assert read(file) == NameFile(
        ("coco", "google"),
        [NameRow(("hard hat",), ("Helmet",), 3), NameRow(("on", "off"), ("Switch", "7"), 4)],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no names"),
        ("- a", "holds no names"),
        ("between: [coco, google]", "there is no names"),
        ("names: []", "there is no between"),
        ("between: [coco, google]\nnames: []\nname: []", "line 3: 'name' is an unknown key"),
        (
            "between: [coco, google]\nbetween: [coco, azure]\nnames: []",
            "line 2: 'between' is an unknown key, or",
        ),
        (
            "between: [coco, imagenet]\nnames: []",
            "line 1: between: there is no vocabulary 'imagenet'; there are coco",
        ),
        ("between: [coco]\nnames: []", "line 1: between: it takes two"),
        ("between: [coco, coco]\nnames: []", "line 1: between: it takes two"),
        ("between: coco\nnames: []", "line 1: between: a list is expected"),
        ("between: [coco, google]\nnames: {a: b}", "line 2: names: a list is expected"),
        (
            "between: [coco, google]\nnames:\n  - [a, A]\n  - [b]",
            "line 4: names: a row has two sides, this one 1",
        ),
        (
            "between: [coco, google]\nnames:\n  - [a, {b: c}]",
            "line 3: names: a name, or a list of names",
        ),
        (
            "between: [coco, google]\nnames:\n  - [a, []]",
            "line 3: names: a name, or a list of names",
        ),
        (
            "between: [coco, google]\nnames:\n  - [a, ' ']",
            "line 3: names: a name, or a list of names",
        ),
        (
            "between: [coco, google]\nnames:\n  - [a, A]\n  - [b, [B, a]]",
            "line 4: names: 'a' of google stands on line 3",
        ),
        ("between: [coco, google", "cannot be read"),
    ],
    ids=[
        "empty",
        "list",
        "no names",
        "no between",
        "unknown key",
        "repeated key",
        "unknown vocabulary",
        "one vocabulary",
        "same vocabulary twice",
        "between as text",
        "names as object",
        "row of one side",
        "object as name",
        "no name",
        "blank name",
        "repeated name",
        "broken YAML",
    ],
)
def test_a_bad_file_is_refused_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    """A file of another form, an unknown vocabulary and a repeated name are refused, by file and
    line."""
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"own\.yaml") as refused:
        read(file)
    assert message in str(refused.value)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    """A missing file is named, and so is one that is not text."""
    with pytest.raises(ValueError, match=r"there is no .*own\.yaml"):
        read(tmp_path / "own.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match=r"binary\.yaml cannot be read"):
        read(tmp_path / "binary.yaml")
