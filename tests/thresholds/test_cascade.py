"""Cascades: which shapes are asked in turn, and when it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.detection import Box, Detection
from thresholds.cascade import Cascade, Promise, Stage, load, save
from thresholds.fusion.fusion import Fusion
from thresholds.fusion.looks import Evidence, Look, PhotoFacts
from thresholds.fusion.trees import Trees
from thresholds.rules import always, clean, gain, onward
from thresholds.rules import registry as rules
from thresholds.rules.clean import Rule
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


def test_defaults() -> None:
    """The seed's ways are the defaults: later answers replace earlier ones, midpoints decide,
    nothing is painted."""
    one = cascade("2x2")
    assert (one.merge, one.crossing, one.border) == ("discard", "midpoint", "none")
    assert one.stages[0].rule == always.Rule()
    assert one.stages[0].provider is None


def test_shapes() -> None:
    """Its shapes are told in turn."""
    assert cascade("5x5", "2x1", "1x1").shapes == "5x5, 2x1, 1x1"


def test_round_trip(tmp_path: Path) -> None:
    """What is saved, in a folder that need not exist, is loaded as it was."""
    first = cascade(
        "5x5",
        "2x2",
        "2x2",
        providers=[None, "near", "far"],
        merge="fuse",
        crossing="discard",
        border="black",
    )
    save(first, tmp_path / "new" / "cascade.json")
    assert load(tmp_path / "new" / "cascade.json") == first


def test_file(tmp_path: Path) -> None:
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
        (
            '{"stages": [{"shape": "2x2", "rule": {"kind": "magic"}}]}',
            "stages.0.rule",
            "known: always, clean, gain, imgrid, onward",
        ),
        (
            '{"stages": [{"shape": "2x2", "rule": {"kind": "imgrid"}}]}',
            "stages.0.rule.area",
            "required",
        ),
        ('{"stages": [{"shape": "2x2", "rule": "always"}]}', "stages.0.rule", "object with a kind"),
        ('{"stages": [{"shape": "2x2", "colour": 1}]}', "stages.0.colour", "not permitted"),
        ('{"stages": [{"shape": "1x1"}], "merge": "add"}', "merge", "'discard' or 'fuse'"),
        ('{"stages": []}', "stages", "at least 1"),
        ("{}", "stages", "required"),
        ('{"stages": [', "the cascade", "JSON"),
        ("\xff", "the cascade", "JSON"),
    ],
)
def test_errors(tmp_path: Path, content: str, key: str, says: str) -> None:
    """What is wrong in a file is told with the file, the key and the reason, in one line."""
    file = tmp_path / "c.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=says) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: {key}: ")
    assert "\n" not in str(caught.value)
    assert "Value error" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    """A file that cannot be read is named, with the system's reason."""
    with pytest.raises(ValueError, match=r"none\.json: cannot be read \(No such file"):
        load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("first", "then"), [("2x2", "2x2"), ("2x2", "4x1"), ("2x1", "1x2"), ("1x1", "5x5")]
)
def test_not_finer(first: str, then: str) -> None:
    """A later stage that shows photos no larger to the same provider is refused."""
    with pytest.raises(
        ValidationError,
        match=rf"stages\[1\] \({then}\) is not finer than the one before \({first}\)",
    ):
        cascade(first, then)


def test_other_provider() -> None:
    """Another provider may be asked at any shape, for it may know better."""
    assert (
        cascade("1x1", "1x1", "2x2", providers=["quick", "good", "best"]).shapes == "1x1, 1x1, 2x2"
    )


def test_always_before_last() -> None:
    """A rule that accepts everything is refused anywhere but last: what comes after would never be
    asked."""
    stages = [Stage(shape=Shape(2, 2)), Stage(shape=ALONE)]
    with pytest.raises(ValidationError, match=r"stages\[0\] accepts every answer"):
        Cascade(stages=stages)


@pytest.mark.parametrize(
    ("stage", "cells", "reached"),
    [(0, 25, 0), (0, 5, 0), (0, 4, 1), (0, 2, 1), (0, 1, 2), (1, 4, 1), (1, 1, 2), (2, 1, 2)],
)
def test_reached(stage: int, cells: int, reached: int) -> None:
    """An answer from a canvas of fewer cells counts for the last stage that would not have shown
    the photo larger."""
    assert cascade("5x5", "2x2", "1x1").reached(stage, cells) == reached


def test_reached_of_another() -> None:
    """An answer never counts for a stage at another provider, however large the photo was shown."""
    assert cascade("5x5", "2x2", "1x1", providers=["a", "a", "b"]).reached(0, 1) == 1


@given(st.integers(0, 2), st.integers(1, 25))
def test_reached_is_never_earlier(stage, cells) -> None:
    """An answer counts for the stage that was asked, or a later one."""
    assert stage <= cascade("5x5", "3x1", "1x1").reached(stage, cells) <= 2


def test_promise(tmp_path: Path) -> None:
    """What a plan promised of its cascade is kept with it."""
    promise = Promise(metric="ap50", max_drop=0.01, delta=0.05, photos=300, agreement=0.9)
    save(cascade("2x2", "1x1", promise=promise), tmp_path / "c.json")
    assert load(tmp_path / "c.json").promise == promise
    assert cascade("2x2").promise is None


def test_promise_of_nothing(tmp_path: Path) -> None:
    """A promise about what is not watched is refused by its key."""
    (tmp_path / "c.json").write_text(
        '{"stages": [{"shape": "2x2"}], "promise": {"metric": "speed"}}'
    )
    with pytest.raises(ValueError, match=r"promise\.metric"):
        load(tmp_path / "c.json")


# -- rules that skip stages, and fusion


def gains(*worth):
    """A rule that may skip as many stages as there are gains."""
    targets = [
        gain.Target(ahead=n, cost=1.0, gain=Trees.constant(each)) for n, each in enumerate(worth, 1)
    ]
    return gain.Rule(path="3x2", price=0.1, targets=targets)


def stages(*pairs):
    return [
        Stage(shape=Shape.parse(shape), **({"rule": rule} if rule else {})) for shape, rule in pairs
    ]


def test_skipped_over() -> None:
    """A stage under `always` may stand before others where an earlier rule can reach these."""
    assert (
        Cascade(stages=stages(("3x2", gains(0.2, 0.3)), ("2x1", None), ("1x1", None))).shapes
        == "3x2, 2x1, 1x1"
    )


def test_out_of_reach() -> None:
    """A stage that no rule reaches is refused."""
    with pytest.raises(
        ValidationError,
        match=r"stages\[1\] accepts every answer, so the later ones are never asked",
    ):
        Cascade(stages=stages(("3x2", gains(0.2)), ("2x1", None), ("1x1", None)))


FUSION = Fusion(
    labels=("cat",),
    weights=(1.0,),
    rescore={},
    calibration={"3x2": ((0.0, 0.0), (0.5, 0.25), (1.0, 1.0))},
)


def test_fusion_needs_fusing() -> None:
    """A fusion where answers are discarded is refused."""
    with pytest.raises(ValidationError, match="fusion is for a cascade whose merge is fuse"):
        Cascade(stages=stages(("3x2", None)), fusion=FUSION)
    assert Cascade(stages=stages(("3x2", None)), merge="fuse", fusion=FUSION).fusion == FUSION


def seen(*found, shapes=("3x2", "1x1")):
    return Evidence(
        PhotoFacts(64, 48, 999),
        tuple(Look(Shape.parse(s), each) for s, each in zip(shapes, found, strict=False)),
    )


CAT, SURE = Detection("cat", 0.4, Box(0, 0, 0.3, 1)), Detection("cat", 0.8, Box(0, 0, 0.3, 1))


def test_conclude_discards() -> None:
    """Where answers are discarded the last one leaves, with its stage's verdict."""
    verdict, found = cascade("3x2", "1x1").conclude(0, seen([CAT]))
    assert (verdict.skip, found) == (1, [CAT])
    verdict, found = cascade("3x2", "1x1").conclude(1, seen([CAT], [SURE]))
    assert (verdict.skip, found) == (0, [SURE])


def test_conclude_fuses() -> None:
    """Where answers are fused the later weighs more; a first one leaves as it came."""
    fusing = cascade("3x2", "1x1", merge="fuse")
    assert fusing.conclude(0, seen([CAT]))[1] == [CAT]
    (one,) = fusing.conclude(1, seen([CAT], [SURE]))[1]
    assert one.score == pytest.approx((0.4 + 2 * 0.8) / 2 * 2 / 3)


def test_conclude_with_a_fusion() -> None:
    """With a fusion the rule sees what it believes, and what leaves is what it says."""
    learned = Cascade(
        stages=stages(("3x2", gains(0.2)), ("1x1", None)), merge="fuse", fusion=FUSION
    )
    verdict, found = learned.conclude(0, seen([CAT]))
    assert verdict.reason == "gain 0.200 for 1.00 of an image"
    assert [one.score for one in found] == [pytest.approx(0.2)]


NAMES = st.text(st.sampled_from('[]1, 2e-\\"\n'), max_size=8)


@example(names=["[1  2]"], values=[0.5, 1.0])
@given(
    names=st.lists(NAMES, unique=True, max_size=3),
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
)
def test_numbers_on_one_line(tmp_path_factory, names, values) -> None:
    """A list of numbers is one line of the file, however long; what is saved is loaded as it was,
    whatever labels look like."""
    file = tmp_path_factory.mktemp("saved") / "c.json"
    count = len(values)
    trees = Trees(
        roots=range(count),
        feature=[0] * count,
        threshold=values,
        left=range(count),
        right=range(count),
        value=values,
        depth=0,
    )
    fusion = Fusion(labels=names, weights=[1.0] * len(names), rescore={"2x2": trees})
    first = Cascade(stages=stages(("2x2", None)), merge="fuse", fusion=fusion)
    save(first, file)
    assert load(file) == first
    (line,) = (line for line in file.read_text().splitlines() if '"value"' in line)
    assert line.count(",") >= count - 1


def test_round_trip_of_a_plan(tmp_path: Path) -> None:
    """All that a plan writes is loaded as it was: free stages, gates, fusion."""
    free = Stage(shape=ALONE, provider="free", rule=onward.Rule())
    paid = stages(("3x2", gains(0.2, 0.1)), ("2x1", None), ("1x1", None))
    planned = Cascade(stages=(free, *paid), merge="fuse", fusion=FUSION)
    save(planned, tmp_path / "c.json")
    assert load(tmp_path / "c.json") == planned


CLEAN = clean.Rule(threshold=0.2, positive=0.6)


def groups(*stages, **settings):
    """Stages as shape, rule and provider; what is left out is usual."""
    made = [dict(zip(("shape", "rule", "provider"), stage, strict=False)) for stage in stages]
    return Cascade(stages=[Stage(**stage) for stage in made], **settings)


def test_groups() -> None:
    """Where photos are cleared together, the cascade says at which stages, and for which scores it
    is good."""
    made = groups(("1x1", onward.Rule(), "free"), ("3x3", CLEAN), ("2x2", CLEAN), ("1x1",))
    assert (made.groups, made.positive) == ((1, 2), 0.6)
    assert (cascade("2x2", "1x1").groups, cascade("2x2", "1x1").positive) == ((), None)


@pytest.mark.parametrize(
    ("stages", "settings", "says"),
    [
        ([("3x3", CLEAN), ("2x2", STRICT), ("1x1",)], {}, "all stages but the last"),
        (
            [("3x3", STRICT), ("2x2", CLEAN), ("2x1", STRICT), ("1x1",)],
            {},
            "all stages but the last",
        ),
        ([("3x3", CLEAN)], {}, "all stages but the last"),
        ([("3x3", CLEAN), ("2x1",)], {}, "the last stage is 1x1"),
        ([("3x3", CLEAN), ("1x1", always.Rule(), "other")], {}, "of the same provider"),
        ([("1x1", CLEAN, "free"), ("1x1",)], {}, "of the same provider"),
        ([("3x3", CLEAN), ("1x1",)], {"merge": "fuse"}, "not fused"),
        (
            [("4x4", onward.Rule()), ("2x2", CLEAN), ("1x1",)],
            {},
            "one stage at most, a companion's",
        ),
    ],
)
def test_groups_that_cannot_be(
    stages: list[tuple[Rule | str, ...] | tuple[str, ...]] | list[tuple[Rule | str, ...]],
    settings: dict[Any, Any] | dict[str, str],
    says: str,
) -> None:
    """Rules clean stand together, before a last question about each photo alone, to the same
    provider."""
    with pytest.raises(ValidationError, match=says):
        groups(*stages, **settings)
