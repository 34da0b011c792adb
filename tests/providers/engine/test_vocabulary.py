"""Whose names a model's labels are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.engine.vocabulary import COCO, vocabulary_of


def test_cocos_own_list_is_known_by_itself() -> None:
    """The 80 classes are COCO's in whatever order and case, with or without the blanks of its 91
    ids."""
    assert len(COCO) == 80
    assert vocabulary_of("auto", sorted(COCO)) == "coco"
    assert vocabulary_of("auto", ["", *(label.title() for label in COCO), ""]) == "coco"


@pytest.mark.parametrize("labels", [[], [""], ["person"], [*COCO, "tree"]])
def test_other_lists_are_nobodys(labels: list[Any] | list[str]) -> None:
    """Fewer or more names are another list: nothing is translated unless the option says whose they
    are."""
    assert vocabulary_of("auto", labels) == ""
    assert vocabulary_of("google", labels) == "google"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("rekognition", {"access_key": "any", "secret_key": "any"}),
        ("google", {"api_key": "any"}),
        ("azure", {"endpoint": "http://127.0.0.1", "key": "any"}),
    ],
)
def test_clouds_speak_their_own(
    make: Callable[..., Any], tmp_path: Path, kind: str, settings: dict[str, str]
) -> None:
    """A cloud's names are its own; a provider that says nothing has nobody's."""
    assert make(kind, tmp_path, **settings).about.vocabulary == kind
    assert make("shapes", tmp_path).about.vocabulary == ""


def test_an_option_goes_before_what_the_labels_look_like() -> None:
    """COCO's names may be told as they are."""
    assert vocabulary_of("none", sorted(COCO)) == ""
