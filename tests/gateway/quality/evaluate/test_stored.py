"""`imgrid evaluate --profile`: cascades over stored answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import main
from gateway.config.errors import ConfigError
from gateway.quality.evaluate import stored
from gateway.quality.evaluate.scores import score_row
from providers.detection import Box, Detection
from providers.prices import Price
from thresholds.cascade import Cascade
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import FILE, Sample
from thresholds.shape import Shape

PHOTOS = [f"photo-{number}" for number in range(8)]
TWO = LookKind(Shape(2, 2))
FREE = LookKind(Shape(1, 1), "det")
SURE = {"kind": "imgrid", "area": {"mean": 0.1}}
"""Accepts a photo whose boxes cover a tenth of it."""


def cat(score: float = 0.9, side: float = 0.5) -> Detection:
    """A detection of a cat in the upper left corner."""
    return Detection("cat", score, Box(0.0, 0.0, side, side))


def write_profile(folder: Path, *, truth: bool = True, **changes: Any) -> Sample:
    """A profile of eight photos of a cat each. A 2x2 grid detects it whole on six photos in both
    groupings, and small on two; the companion misses it."""
    grid_answers = {photo: [[cat()], [cat()]] for photo in PHOTOS[:6]} | {
        photo: [[cat(side=0.1)]] * 2 for photo in PHOTOS[6:]
    }
    answers = {
        ITSELF: {photo: [[cat()]] for photo in PHOTOS},
        TWO: grid_answers,
        FREE: {photo: [[]] for photo in PHOTOS},
    }
    ground_truth = (
        {photo: Known([cat(1.0)], frozenset({"cat"})) for photo in PHOTOS} if truth else None
    )
    fields = {"prices": {"": Price(0.5)}, "provider": "eye", "companions": ("det",), **changes}
    folder.mkdir()
    sample = sample_from_answers(
        {photo: PhotoFacts(640, 480, 1000) for photo in PHOTOS}, answers, ground_truth, **fields
    )
    sample.save(folder / FILE)
    (folder / "made-with.json").write_text(json.dumps({"border": "none"}))
    return sample


@pytest.fixture
def cascade(tmp_path: Path) -> Callable[..., Path]:
    """`cascade(*stages, **settings)`: a cascade file."""

    def write(*stages: dict[str, Any], **settings: Any) -> Path:
        file = tmp_path / "some.json"
        file.write_text(json.dumps({"stages": stages, **settings}))
        return file

    return write


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., Result]:
    """`evaluate(*options)`: the result of the command over that profile."""

    def run_evaluate(*options: object, **changes: Any) -> Result:
        write_profile(tmp_path / "profile", **changes)
        words = ["evaluate", "--profile", str(tmp_path / "profile"), *map(str, options)]
        return CliRunner().invoke(main.app, words, env={"COLUMNS": "200"})

    return run_evaluate


def rows_by_name(result: Result) -> dict[str, list[str]]:
    """The strategies' rows: the words after the name of each."""
    assert result.exit_code == 0, result.exception
    lines = map(str.split, click.unstyle(result.output).splitlines())
    return {
        words[0]: words[1:]
        for words in lines
        if len(words) > 3 and re.fullmatch(r"\d\.\d{3}", words[1])
    }


TWICE = ({"shape": "2x2", "rule": SURE}, {"shape": "1x1"})


def test_a_cascade_is_a_row_next_to_1x1(
    evaluate: Callable[..., Result], cascade: Callable[..., Path]
) -> None:
    """A cascade is a row next to 1x1, with its cost in full canvases, its precision and its
    agreement; no config is read and no provider is asked."""
    rows = rows_by_name(evaluate("--cascade", cascade(*TWICE)))
    assert rows["1x1"][:4] == ["1.000", "0.0%", "1.000", "+0.000"]
    assert rows["some"][:4] == ["0.500", "50.0%", "1.000", "+0.000"]
    assert "2x2" not in rows


def test_the_output_names_the_means_and_their_bias(
    evaluate: Callable[..., Result], cascade: Callable[..., Path]
) -> None:
    """The output says that figures are means over the groupings, and that they favour a cascade
    made from these photos."""
    output = " ".join(click.unstyle(evaluate("--cascade", cascade(*TWICE)).output).split())
    assert (
        "mean over 2 groupings, in full canvases; a cascade made from these photos looks "
        "better here" in output
    )


def test_the_output_lists_each_path_with_its_share(
    evaluate: Callable[..., Result], cascade: Callable[..., Path]
) -> None:
    """The output lists for each cascade the shapes that photos were asked at, with their share."""
    output = click.unstyle(evaluate("--cascade", cascade(*TWICE)).output)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "some 2x2 75.0%" in lines
    assert "2x2, 1x1 25.0%" in lines


def test_each_shape_is_a_row_without_cascades(
    evaluate: Callable[..., Result], cascade: Callable[..., Path]
) -> None:
    """Without a cascade each shape for all photos is a row, but no look of a companion."""
    assert rows_by_name(evaluate())["2x2"][:2] == ["0.250", "75.0%"]


def test_flat_shapes_and_cascades_share_a_table(
    evaluate: Callable[..., Result], cascade: Callable[..., Path]
) -> None:
    """With --flat cascades and shapes are in one table, without the companion's look."""
    rows = rows_by_name(evaluate("--flat", "--cascade", cascade(*TWICE)))
    assert {"1x1", "2x2", "some"} <= rows.keys()
    assert not any("det" in name for name in rows)


def test_figures_are_means_over_all_groupings(tmp_path: Path) -> None:
    """Figures are the means over all groupings: a detection in one of two counts half."""
    folder = tmp_path / "profile"
    sample = write_profile(folder)
    half = {photo: [[cat()], []] for photo in PHOTOS}
    answers = {ITSELF: {photo: [[cat()]] for photo in PHOTOS}, TWO: half}
    ground_truth = {photo: Known([cat(1.0)], frozenset({"cat"})) for photo in PHOTOS}
    sample = sample_from_answers(
        dict(zip(PHOTOS, sample.facts, strict=True)), answers, ground_truth
    )
    replays = stored.replay_all(Cascade.model_validate({"stages": [{"shape": "2x2"}]}), sample)
    base = {photo: [cat()] for photo in PHOTOS}
    row = score_row(
        "2x2", replays.images, replays.detections, base=base, known=stored.known(sample)
    )
    assert (row.precision, row.agrees, row.images) == ((0.5, 0.5), 0.5, 0.25)


def test_without_ground_truth_there_is_only_agreement(
    evaluate: Callable[..., Result], cascade: Callable[..., Path]
) -> None:
    """A profile without ground truth has only agreement."""
    result = evaluate("--cascade", cascade(*TWICE), truth=False)
    assert "no ground truth" in result.output
    assert "AP50" not in result.output
    assert rows_by_name(result)["some"] == ["0.500", "50.0%", "1.000"]


def test_agreement_is_with_the_reference_look_where_there_is_one(
    evaluate: Callable[..., Result],
) -> None:
    """Where the profile has a reference look all answers agree with it to a degree, that about the
    photo alone as well, and the caption says so."""
    looks = {photo: [[cat()]] for photo in PHOTOS[:4]} | {photo: [[]] for photo in PHOTOS[4:]}
    result = evaluate(truth=False, reference=looks)
    assert rows_by_name(result)["1x1"] == ["1.000", "0.0%", "0.500"]
    assert rows_by_name(result)["2x2"] == ["0.250", "75.0%", "0.500"]
    assert "agrees: with a second look alone, mirrored" in re.sub(r"\s+", " ", result.output)


def test_a_companions_stage_costs_nothing(
    evaluate: Callable[..., Result], cascade: Callable[..., Path]
) -> None:
    """A companion's stage costs nothing."""
    stages = [{"shape": "1x1", "provider": "det", "rule": {"kind": "onward"}}, *TWICE]
    rows = rows_by_name(evaluate("--cascade", cascade(*stages)))
    assert rows["some"][0] == "0.500"


def test_a_stage_may_name_the_profiles_provider(
    evaluate: Callable[..., Result], cascade: Callable[..., Path]
) -> None:
    """A stage may name the provider of the profile."""
    rows = rows_by_name(evaluate("--cascade", cascade({"shape": "2x2", "provider": "eye"})))
    assert rows["some"][0] == "0.250"


def test_a_second_provider_counts_by_its_price(
    tmp_path: Path, cascade: Callable[..., Path]
) -> None:
    """Profiles of two providers are joined, and the second provider's images count by their
    price."""
    write_profile(tmp_path / "own")
    write_profile(tmp_path / "other", provider="far", prices={"": Price(0.1)})
    profiles = ["--profile", str(tmp_path / "own"), "--profile", str(tmp_path / "other")]
    file = cascade({"shape": "2x2", "provider": "far", "rule": SURE}, {"shape": "1x1"})
    result = CliRunner().invoke(main.app, ["evaluate", *profiles, "--cascade", str(file)])
    assert rows_by_name(result)["some"][0] == "0.300"


@pytest.mark.parametrize(
    ("stages", "settings", "message"),
    [
        (
            [{"shape": "4x4", "rule": SURE}, {"shape": "1x1"}],
            {},
            r"some\.json: stages\[0\]: 4x4 was not profiled; there are 1x1, 2x2, det:1x1",
        ),
        (
            [{"shape": "2x2", "rule": SURE}, {"shape": "1x1", "provider": "far"}],
            {},
            r"some\.json: stages\[1\]: far:1x1 was not profiled",
        ),
        (TWICE, {"crossing": "discard"}, r"some\.json: crossing"),
        (
            TWICE,
            {"border": "black"},
            r"some\.json: border: black: the profile was asked with border none",
        ),
    ],
)
def test_an_unprofiled_cascade_is_refused(
    evaluate: Callable[..., Result],
    cascade: Callable[..., Path],
    stages: Sequence[dict[str, Any]],
    settings: dict[str, str],
    message: str,
) -> None:
    """The error for a cascade that asks otherwise than the profile names the cascade and the
    difference."""
    result = evaluate("--cascade", cascade(*stages, **settings))
    with pytest.raises(ConfigError, match=message):
        raise result.exception


def test_a_border_does_not_matter_to_photos_alone(
    evaluate: Callable[..., Result], cascade: Callable[..., Path]
) -> None:
    """A photo alone has no border, so a cascade of 1x1 fits every profile."""
    assert evaluate("--cascade", cascade({"shape": "1x1"}, border="black")).exit_code == 0


def test_incomplete_photos_are_left_out(tmp_path: Path) -> None:
    """Photos without an answer at every shape are left out, and the error for a profile without
    others says so."""
    sample = write_profile(tmp_path / "profile")
    answers = {
        ITSELF: {photo: [[cat()]] for photo in PHOTOS},
        TWO: {photo: [[cat()]] for photo in PHOTOS[:5]},
    }
    sample_from_answers(dict(zip(PHOTOS, sample.facts, strict=True)), answers).save(
        tmp_path / "profile" / FILE
    )
    assert stored.read([tmp_path / "profile"]).photos == tuple(PHOTOS[:5])
    sample.of_photos(np.zeros(0, np.int64)).save(tmp_path / "profile" / FILE)
    with pytest.raises(ConfigError, match="no photo has an answer at every shape"):
        stored.read([tmp_path / "profile"])


def test_a_folder_without_a_profile_is_named(tmp_path: Path) -> None:
    """The error for a folder without a profile names it."""
    result = CliRunner().invoke(main.app, ["evaluate", "--profile", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert str(tmp_path) in str(result.exception)


@pytest.mark.parametrize(
    "words", [("--photos", "."), ("--truth", "a.json"), ("--url", "http://127.0.0.1:1")]
)
def test_a_profile_goes_with_no_other_source(
    evaluate: Callable[..., Result], words: tuple[str, ...]
) -> None:
    """A profile has its own photos and answers, so other photos, other ground truth and a gateway
    are refused."""
    with pytest.raises(ConfigError, match="--profile has photos and answers of its own"):
        raise evaluate(*words).exception
