"""Cascades: which shapes are asked in turn, and when it ends."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from thresholds import rules
from thresholds.cascade import Cascade, Stage, load, save
from thresholds.rules import always
from thresholds.shape import ALONE, Shape

STRICT = rules.read({"kind": "imgrid", "area": {"mean": 0.4}})


def cascade(*shapes, providers=(), **settings):
    """All stages but the last under a rule; `providers` by stage."""
    ruled = [{"rule": STRICT}] * (len(shapes) - 1) + [{}]
    named = [*providers, *[None] * (len(shapes) - len(providers))]
    stages = [
        Stage(shape=Shape.parse(shape), provider=name, **more)
        for shape, name, more in zip(shapes, named, ruled, strict=True)
    ]
    return Cascade(stages=stages, **settings)


def test_defaults():
    """The seed's ways are the defaults: later answers replace earlier ones, midpoints decide, nothing is painted."""
    one = cascade("2x2")
    assert (one.merge, one.crossing, one.border) == ("discard", "midpoint", "none")
    assert one.stages[0].rule == always.Rule()
    assert one.stages[0].provider is None


def test_shapes():
    """Its shapes are told in turn."""
    assert cascade("5x5", "2x1", "1x1").shapes == "5x5, 2x1, 1x1"


def test_round_trip(tmp_path):
    """What is saved, in a folder that need not exist, is loaded as it was."""
    first = cascade("5x5", "2x2", "2x2", providers=[None, "near", "far"], merge="fuse", crossing="discard",
                    border="black")  # fmt: skip
    save(first, tmp_path / "new" / "cascade.json")
    assert load(tmp_path / "new" / "cascade.json") == first


def test_file(tmp_path):
    """The file is JSON that a person can write: shapes as text, and nothing that was not said."""
    save(cascade("2x2", "1x1"), tmp_path / "c.json")
    stages = json.loads((tmp_path / "c.json").read_text())["stages"]
    assert [stage["shape"] for stage in stages] == ["2x2", "1x1"]
    assert [stage["rule"]["kind"] for stage in stages] == ["imgrid", "always"]
    assert "provider" not in stages[0]
    (tmp_path / "short.json").write_text('{"stages": [{"shape": "2x1"}]}')
    assert load(tmp_path / "short.json") == cascade("2x1")


@pytest.mark.parametrize(
    ("content", "key", "says"),
    [
        ('{"stages": [{"shape": "2z2"}]}', "stages.0.shape", "rows x columns"),
        ('{"stages": [{"shape": "2x2", "rule": {"kind": "magic"}}]}', "stages.0.rule", "known: always, imgrid"),
        ('{"stages": [{"shape": "2x2", "rule": {"kind": "imgrid"}}]}', "stages.0.rule.area", "required"),
        ('{"stages": [{"shape": "2x2", "rule": "always"}]}', "stages.0.rule", "object with a kind"),
        ('{"stages": [{"shape": "2x2", "colour": 1}]}', "stages.0.colour", "not permitted"),
        ('{"stages": [{"shape": "1x1"}], "merge": "add"}', "merge", "'discard' or 'fuse'"),
        ('{"stages": []}', "stages", "at least 1"),
        ("{}", "stages", "required"),
        ('{"stages": [', "the cascade", "JSON"),
        ("\xff", "the cascade", "JSON"),
    ],
)
def test_errors(tmp_path, content, key, says):
    """What is wrong in a file is told with the file, the key and the reason, in one line."""
    file = tmp_path / "c.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=says) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: {key}: ")
    assert "\n" not in str(caught.value)
    assert "Value error" not in str(caught.value)


def test_no_file(tmp_path):
    """A file that cannot be read is named, with the system's reason."""
    with pytest.raises(ValueError, match=r"none\.json: cannot be read \(No such file"):
        load(tmp_path / "none.json")


@pytest.mark.parametrize(("first", "then"), [("2x2", "2x2"), ("2x2", "4x1"), ("2x1", "1x2"), ("1x1", "5x5")])
def test_not_finer(first, then):
    """A later stage that shows photos no larger to the same provider is refused."""
    with pytest.raises(ValidationError, match=rf"stages\[1\] \({then}\) is not finer than the one before \({first}\)"):
        cascade(first, then)


def test_other_provider():
    """Another provider may be asked at any shape, for it may know better."""
    assert cascade("1x1", "1x1", "2x2", providers=["quick", "good", "best"]).shapes == "1x1, 1x1, 2x2"


def test_always_before_last():
    """A rule that accepts everything is refused anywhere but last: what comes after would never be asked."""
    stages = [Stage(shape=Shape(2, 2)), Stage(shape=ALONE)]
    with pytest.raises(ValidationError, match=r"stages\[0\] accepts every answer"):
        Cascade(stages=stages)


@pytest.mark.parametrize(
    ("stage", "cells", "reached"),
    [(0, 25, 0), (0, 5, 0), (0, 4, 1), (0, 2, 1), (0, 1, 2), (1, 4, 1), (1, 1, 2), (2, 1, 2)],
)
def test_reached(stage, cells, reached):
    """An answer from a canvas of fewer cells counts for the last stage that would not have shown the photo larger."""
    assert cascade("5x5", "2x2", "1x1").reached(stage, cells) == reached


def test_reached_of_another():
    """An answer never counts for a stage at another provider, however large the photo was shown."""
    assert cascade("5x5", "2x2", "1x1", providers=["a", "a", "b"]).reached(0, 1) == 1


@given(st.integers(0, 2), st.integers(1, 25))
def test_reached_is_never_earlier(stage, cells):
    """An answer counts for the stage that was asked, or a later one."""
    assert stage <= cascade("5x5", "3x1", "1x1").reached(stage, cells) <= 2
