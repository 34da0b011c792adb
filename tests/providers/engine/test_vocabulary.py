"""The vocabulary that a model's labels belong to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from providers.base import Provider
from providers.engine.vocabulary import COCO, vocabulary_of


def test_cocos_own_list_is_recognised() -> None:
    """The 80 classes are COCO's in any order and case, with or without the blanks of its 91 ids."""
    assert len(COCO) == 80
    assert vocabulary_of("auto", sorted(COCO)) == "coco"
    assert vocabulary_of("auto", ["", *(label.title() for label in COCO), ""]) == "coco"


@pytest.mark.parametrize("labels", [[], [""], ["person"], [*COCO, "tree"]])
def test_other_lists_belong_to_no_vocabulary(labels: list[str]) -> None:
    """Fewer or more names are another list: nothing is translated unless the option names its
    vocabulary."""
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
def test_a_cloud_speaks_its_own_vocabulary(
    make: Callable[..., Provider], tmp_path: Path, kind: str, settings: dict[str, str]
) -> None:
    """A cloud has its own vocabulary; a provider that names none has none."""
    assert make(kind, tmp_path, **settings).about.vocabulary == kind
    assert make("shapes", tmp_path).about.vocabulary == ""


def test_an_option_overrides_the_recognised_list() -> None:
    """The option `none` leaves COCO's names untranslated."""
    assert vocabulary_of("none", sorted(COCO)) == ""
