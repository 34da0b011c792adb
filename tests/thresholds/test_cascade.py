"""Cascades: which shapes a photo is asked at in turn, and when that ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from thresholds.rules.base import Rule
from thresholds.shape import ALONE, Shape

STRICT = rules.read({"kind": "imgrid", "area": {"mean": 0.4}})


def cascade_of(*shapes: str, providers: Sequence[str | None] = (), **settings: Any) -> Cascade:
    """A cascade of these shapes: all stages but the last have the rule STRICT; `providers` are by
    stage."""
    rules_by_stage = [{"rule": STRICT}] * (len(shapes) - 1) + [{}]
    names = [*providers, *[None] * (len(shapes) - len(providers))]
    stages = [
        Stage(shape=Shape.parse(shape), provider=name, **rule)
        for shape, name, rule in zip(shapes, names, rules_by_stage, strict=True)
    ]
    return Cascade(stages=stages, **settings)


def test_the_defaults_are_those_of_the_paper() -> None:
    """By default later answers replace earlier ones, midpoints decide to which photo a box belongs,
    and no border is painted, as in the paper."""
    cascade = cascade_of("2x2")
    assert (cascade.merge, cascade.crossing, cascade.border) == ("discard", "midpoint", "none")
    assert cascade.stages[0].rule == always.Rule()
    assert cascade.stages[0].provider is None


def test_shapes_are_listed_in_turn() -> None:
    """The text of a cascade's shapes lists them in turn."""
    assert cascade_of("5x5", "2x1", "1x1").shapes == "5x5, 2x1, 1x1"


def test_a_saved_cascade_loads_as_it_was(tmp_path: Path) -> None:
    """A cascade that is saved, in a folder that need not exist, is loaded as it was."""
    cascade = cascade_of(
        "5x5",
        "2x2",
        "2x2",
        providers=[None, "near", "far"],
        merge="fuse",
        crossing="discard",
        border="black",
    )
    save(cascade, tmp_path / "new" / "cascade.json")
    assert load(tmp_path / "new" / "cascade.json") == cascade


def test_the_file_is_short_readable_json(tmp_path: Path) -> None:
    """The file is JSON that a person can write: shapes are text, and settings that were not given
    are left out."""
    save(cascade_of("2x2", "1x1"), tmp_path / "c.json")
    stages = json.loads((tmp_path / "c.json").read_text())["stages"]
    assert [stage["shape"] for stage in stages] == ["2x2", "1x1"]
    assert [stage["rule"]["kind"] for stage in stages] == ["imgrid", "always"]
    assert "provider" not in stages[0]
    (tmp_path / "short.json").write_text('{"stages": [{"shape": "2x1"}]}')
    assert load(tmp_path / "short.json") == cascade_of("2x1")


@pytest.mark.parametrize(
    ("content", "key", "message"),
    [
        ('{"stages": [{"shape": "2z2"}]}', "stages.0.shape", "rows x columns"),
        (
            '{"stages": [{"shape": "2x2", "rule": {"kind": "magic"}}]}',
            "stages.0.rule",
            "known: always, clean, confidence, gain, imgrid, onward",
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
def test_the_error_for_a_bad_file_is_one_line(
    tmp_path: Path, content: str, key: str, message: str
) -> None:
    """The error for a bad file names the file, the key and the reason, in one line."""
    file = tmp_path / "c.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=message) as error:
        load(file)
    assert str(error.value).startswith(f"{file}: {key}: ")
    assert "\n" not in str(error.value)
    assert "Value error" not in str(error.value)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """The error for a file that cannot be read names it and the system's reason."""
    with pytest.raises(ValueError, match=r"none\.json: cannot be read \(No such file"):
        load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("first", "second"), [("2x2", "2x2"), ("2x2", "4x1"), ("2x1", "1x2"), ("1x1", "5x5")]
)
def test_a_later_stage_must_be_finer(first: str, second: str) -> None:
    """A later stage that shows photos no larger to the same provider is refused."""
    with pytest.raises(
        ValidationError,
        match=rf"stages\[1\] \({second}\) is not finer than the one before \({first}\)",
    ):
        cascade_of(first, second)


def test_another_provider_may_follow_at_any_shape() -> None:
    """Another provider may be asked at any shape, as its answer may be better."""
    assert (
        cascade_of("1x1", "1x1", "2x2", providers=["quick", "good", "best"]).shapes
        == "1x1, 1x1, 2x2"
    )


def test_always_is_refused_before_the_last_stage() -> None:
    """A rule that accepts every answer is refused before the last stage: the later ones would never
    be asked."""
    stages = [Stage(shape=Shape(2, 2)), Stage(shape=ALONE)]
    with pytest.raises(ValidationError, match=r"stages\[0\] accepts every answer"):
        Cascade(stages=stages)


@pytest.mark.parametrize(
    ("stage", "cells", "reached"),
    [(0, 25, 0), (0, 5, 0), (0, 4, 1), (0, 2, 1), (0, 1, 2), (1, 4, 1), (1, 1, 2), (2, 1, 2)],
)
def test_an_answer_from_fewer_cells_reaches_later_stages(
    stage: int, cells: int, reached: int
) -> None:
    """An answer from a canvas of fewer cells counts for the last stage that would not have shown
    the photo larger."""
    assert cascade_of("5x5", "2x2", "1x1").reached(stage, cells) == reached


def test_an_answer_never_counts_for_another_provider() -> None:
    """An answer never counts for a stage at another provider, however large the photo was shown."""
    assert cascade_of("5x5", "2x2", "1x1", providers=["a", "a", "b"]).reached(0, 1) == 1


@given(st.integers(0, 2), st.integers(1, 25))
def test_an_answer_never_counts_for_an_earlier_stage(stage: int, cells: int) -> None:
    """An answer counts for the stage that was asked, or for a later one."""
    assert stage <= cascade_of("5x5", "3x1", "1x1").reached(stage, cells) <= 2


def test_a_promise_is_saved_with_the_cascade(tmp_path: Path) -> None:
    """A plan's promise is saved in the cascade's file."""
    promise = Promise(metric="ap50", max_drop=0.01, delta=0.05, photos=300, agreement=0.9)
    save(cascade_of("2x2", "1x1", promise=promise), tmp_path / "c.json")
    assert load(tmp_path / "c.json").promise == promise
    assert cascade_of("2x2").promise is None


def test_a_promise_of_an_unknown_metric_is_refused(tmp_path: Path) -> None:
    """The error for a promise about an unknown metric names its key."""
    (tmp_path / "c.json").write_text(
        '{"stages": [{"shape": "2x2"}], "promise": {"metric": "speed"}}'
    )
    with pytest.raises(ValueError, match=r"promise\.metric"):
        load(tmp_path / "c.json")


# -- rules that skip stages, and fusion


def gain_rule(*gains: float) -> gain.Rule:
    """A rule that may skip as many stages as there are gains."""
    targets = [
        gain.Target(ahead=ahead, cost=1.0, gain=Trees.constant(value))
        for ahead, value in enumerate(gains, 1)
    ]
    return gain.Rule(path="3x2", price=0.1, targets=targets)


def stages_of(*pairs: tuple[str, Rule | None]) -> list[Stage]:
    """Stages of these shapes, under these rules."""
    return [
        Stage(shape=Shape.parse(shape), **({"rule": rule} if rule else {})) for shape, rule in pairs
    ]


def test_a_rule_may_skip_a_stage_under_always() -> None:
    """A stage under `always` may stand before stages that an earlier rule can reach."""
    assert (
        Cascade(stages=stages_of(("3x2", gain_rule(0.2, 0.3)), ("2x1", None), ("1x1", None))).shapes
        == "3x2, 2x1, 1x1"
    )


def test_a_stage_that_no_rule_reaches_is_refused() -> None:
    """A stage that no rule reaches is refused."""
    with pytest.raises(
        ValidationError,
        match=r"stages\[1\] accepts every answer, so the later ones are never asked",
    ):
        Cascade(stages=stages_of(("3x2", gain_rule(0.2)), ("2x1", None), ("1x1", None)))


FUSION = Fusion(
    labels=("cat",),
    weights=(1.0,),
    rescore={},
    calibration={"3x2": ((0.0, 0.0), (0.5, 0.25), (1.0, 1.0))},
)


def test_a_fusion_is_refused_where_answers_are_discarded() -> None:
    """A fusion is refused in a cascade that discards earlier answers."""
    with pytest.raises(ValidationError, match="fusion is for a cascade whose merge is fuse"):
        Cascade(stages=stages_of(("3x2", None)), fusion=FUSION)
    assert Cascade(stages=stages_of(("3x2", None)), merge="fuse", fusion=FUSION).fusion == FUSION


def evidence_of(*answers: list[Detection], shapes: Sequence[str] = ("3x2", "1x1")) -> Evidence:
    """The evidence of a photo that was answered so at these shapes in turn."""
    return Evidence(
        PhotoFacts(64, 48, 999),
        tuple(
            Look(Shape.parse(shape), detections)
            for shape, detections in zip(shapes, answers, strict=False)
        ),
    )


CAT, SURE = Detection("cat", 0.4, Box(0, 0, 0.3, 1)), Detection("cat", 0.8, Box(0, 0, 0.3, 1))


def test_the_last_answer_replaces_earlier_ones() -> None:
    """Where answers are discarded the last one is returned, with its stage's verdict."""
    verdict, detections = cascade_of("3x2", "1x1").conclude(0, evidence_of([CAT]))
    assert (verdict.skip, detections) == (1, [CAT])
    verdict, detections = cascade_of("3x2", "1x1").conclude(1, evidence_of([CAT], [SURE]))
    assert (verdict.skip, detections) == (0, [SURE])


def test_the_later_of_two_fused_answers_weighs_more() -> None:
    """Where answers are fused the later one weighs more; a first answer is returned as it came."""
    cascade = cascade_of("3x2", "1x1", merge="fuse")
    assert cascade.conclude(0, evidence_of([CAT]))[1] == [CAT]
    (fused,) = cascade.conclude(1, evidence_of([CAT], [SURE]))[1]
    assert fused.score == pytest.approx((0.4 + 2 * 0.8) / 2 * 2 / 3)


def test_the_rule_judges_the_belief_of_the_fusion() -> None:
    """With a fusion the rule judges its belief, and the detections returned are the fusion's."""
    cascade = Cascade(
        stages=stages_of(("3x2", gain_rule(0.2)), ("1x1", None)), merge="fuse", fusion=FUSION
    )
    verdict, detections = cascade.conclude(0, evidence_of([CAT]))
    assert verdict.reason == "gain 0.200 for 1.00 of an image"
    assert [detection.score for detection in detections] == [pytest.approx(0.2)]


NAMES = st.text(st.sampled_from('[]1, 2e-\\"\n'), max_size=8)


@example(names=["[1  2]"], values=[0.5, 1.0])
@given(
    names=st.lists(NAMES, unique=True, max_size=3),
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
)
def test_a_list_of_numbers_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], values: list[float]
) -> None:
    """A list of numbers is one line of the file, however long, and the file is loaded as it was
    saved, whatever characters labels contain."""
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
    cascade = Cascade(stages=stages_of(("2x2", None)), merge="fuse", fusion=fusion)
    save(cascade, file)
    assert load(file) == cascade
    (line,) = (line for line in file.read_text().splitlines() if '"value"' in line)
    assert line.count(",") >= count - 1


def test_a_planned_cascade_loads_as_it_was(tmp_path: Path) -> None:
    """A planned cascade, with free stages, gates and a fusion, is loaded as it was saved."""
    free = Stage(shape=ALONE, provider="free", rule=onward.Rule())
    paid = stages_of(("3x2", gain_rule(0.2, 0.1)), ("2x1", None), ("1x1", None))
    cascade = Cascade(stages=(free, *paid), merge="fuse", fusion=FUSION)
    save(cascade, tmp_path / "c.json")
    assert load(tmp_path / "c.json") == cascade


CLEAN = clean.Rule(threshold=0.2, positive=0.6)


BY_POSTERIOR = clean.Rule(
    threshold=0.1, posterior=clean.Posterior(offset=0.0, slope=1.0, clean=0.01)
)


def group_cascade(*stages: tuple[Any, ...], **settings: Any) -> Cascade:
    """A cascade of stages that are given as shape, rule and provider; what is left out has its
    default."""
    fields = [dict(zip(("shape", "rule", "provider"), stage, strict=False)) for stage in stages]
    return Cascade(stages=[Stage(**stage) for stage in fields], **settings)


def test_a_cascade_knows_its_group_stages() -> None:
    """A cascade that clears photos in groups names the stages at which it does, and the score that
    counts as positive."""
    cascade = group_cascade(
        ("1x1", onward.Rule(), "free"), ("3x3", CLEAN), ("2x2", CLEAN), ("1x1",)
    )
    assert (cascade.groups, cascade.positive) == ((1, 2), 0.6)
    assert (cascade_of("2x2", "1x1").groups, cascade_of("2x2", "1x1").positive) == ((), None)


@pytest.mark.parametrize(
    ("stages", "settings", "message"),
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
        ([("3x3", BY_POSTERIOR), ("1x1",)], {}, r"stages\[0\].rule.posterior needs the rule risk"),
        (
            [("1x1", onward.Rule(), "free"), ("3x3", BY_POSTERIOR), ("1x1",)],
            {},
            r"stages\[1\].rule.posterior needs the rule risk",
        ),
        (
            [("4x4", onward.Rule()), ("2x2", CLEAN), ("1x1",)],
            {},
            "one stage at most, a companion's",
        ),
    ],
)
def test_impossible_group_stages_are_refused(
    stages: list[tuple[Any, ...]], settings: dict[str, str], message: str
) -> None:
    """Rules `clean` must stand together, before a last stage that asks the same provider about each
    photo alone."""
    with pytest.raises(ValidationError, match=message):
        group_cascade(*stages, **settings)
