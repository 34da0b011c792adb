"""The vendor whose names a model's labels are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from providers.base import Provider
from providers.engine.vocabulary import COCO, vocabulary_of


def test_cocos_own_list_is_recognised() -> None:
    """COCO's 80 classes are recognised in any order and case, with or without the blanks of its 91
    ids."""
    assert len(COCO) == 80
    assert vocabulary_of("auto", sorted(COCO)) == "coco"
    assert vocabulary_of("auto", ["", *(label.title() for label in COCO), ""]) == "coco"


@pytest.mark.parametrize("labels", [[], [""], ["person"], [*COCO, "tree"]])
def test_another_list_has_no_vocabulary(labels: list[str]) -> None:
    """Fewer or more labels are another list: nothing is translated unless the option names a
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
def test_a_cloud_has_its_own_vocabulary(
    make: Callable[..., Provider], tmp_path: Path, kind: str, settings: dict[str, str]
) -> None:
    """A cloud's vocabulary is its own; a provider that names none has none."""
    assert make(kind, tmp_path, **settings).about.vocabulary == kind
    assert make("shapes", tmp_path).about.vocabulary == ""


def test_the_option_overrides_the_recognition() -> None:
    """The option can say that labels equal to COCO's are to be passed on as they are."""
    assert vocabulary_of("none", sorted(COCO)) == ""
