"""`imgrid evaluate --profile`: cascades over stored answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
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
from thresholds.samples.sample import FILE
from thresholds.shape import Shape

PHOTOS = [f"photo-{number}" for number in range(8)]
TWO = LookKind(Shape(2, 2))
FREE = LookKind(Shape(1, 1), "det")
SURE = {"kind": "imgrid", "area": {"mean": 0.1}}
"""Content with a photo whose boxes cover a tenth of it."""


def cat(score=0.9, side=0.5):
    return Detection("cat", score, Box(0.0, 0.0, side, side))


def profile(folder, *, truth=True, **changes):
    """A profile of eight photos of a cat each. In a 2x2 grid it is found whole on six photos in
    both groupings, and small on two; the companion misses it."""
    found = {photo: [[cat()], [cat()]] for photo in PHOTOS[:6]} | {
        photo: [[cat(side=0.1)]] * 2 for photo in PHOTOS[6:]
    }
    answers = {
        ITSELF: {photo: [[cat()]] for photo in PHOTOS},
        TWO: found,
        FREE: {photo: [[]] for photo in PHOTOS},
    }
    known = {photo: Known([cat(1.0)], frozenset({"cat"})) for photo in PHOTOS} if truth else None
    about = {"prices": {"": Price(0.5)}, "provider": "eye", "companions": ("det",), **changes}
    folder.mkdir()
    made = sample_from_answers(
        {photo: PhotoFacts(640, 480, 1000) for photo in PHOTOS}, answers, known, **about
    )
    made.save(folder / FILE)
    (folder / "made-with.json").write_text(json.dumps({"border": "none"}))
    return made


@pytest.fixture
def cascade(tmp_path: Path) -> Callable[..., Any]:
    """`cascade(*stages, **more)`: a cascade file."""

    def write(*stages, **more):
        file = tmp_path / "some.json"
        file.write_text(json.dumps({"stages": stages, **more}))
        return file

    return write


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., Any]:
    """`evaluate(*options)`: the command over that profile, and what it printed."""

    def run(*options, **how):
        profile(tmp_path / "profile", **how)
        words = ["evaluate", "--profile", str(tmp_path / "profile"), *map(str, options)]
        return CliRunner().invoke(main.app, words, env={"COLUMNS": "200"})

    return run


def rows(result):
    """The strategies' rows: what follows the name of each."""
    assert result.exit_code == 0, result.exception
    lines = map(str.split, click.unstyle(result.output).splitlines())
    return {
        words[0]: words[1:]
        for words in lines
        if len(words) > 3 and re.fullmatch(r"\d\.\d{3}", words[1])
    }


TWICE = ({"shape": "2x2", "rule": SURE}, {"shape": "1x1"})


def test_table(evaluate: Callable[..., Any], cascade: Callable[..., Any]) -> None:
    """A cascade is a row next to 1x1: what it costs in full canvases, its precision and its
    agreement; no config is read, nobody is asked."""
    told = rows(evaluate("--cascade", cascade(*TWICE)))
    assert told["1x1"][:4] == ["1.000", "0.0%", "1.000", "+0.000"]
    assert told["some"][:4] == ["0.500", "50.0%", "1.000", "+0.000"]
    assert "2x2" not in told


def test_says_so(evaluate: Callable[..., Any], cascade: Callable[..., Any]) -> None:
    """It says over how many groupings figures are means, and that they favour what was made from
    these photos."""
    output = " ".join(click.unstyle(evaluate("--cascade", cascade(*TWICE)).output).split())
    assert (
        "mean over 2 groupings, in full canvases; a cascade made from these photos looks "
        "better here" in output
    )


def test_paths(evaluate: Callable[..., Any], cascade: Callable[..., Any]) -> None:
    """Of each cascade it tells which share of the photos was asked at which shapes."""
    output = click.unstyle(evaluate("--cascade", cascade(*TWICE)).output)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "some 2x2 75.0%" in lines
    assert "2x2, 1x1 25.0%" in lines


def test_flat(evaluate: Callable[..., Any], cascade: Callable[..., Any]) -> None:
    """Each shape for all photos is told where no cascade is named, or with --flat; companions'
    looks are none."""
    assert rows(evaluate())["2x2"][:2] == ["0.250", "75.0%"]


def test_flat_beside_cascades(evaluate: Callable[..., Any], cascade: Callable[..., Any]) -> None:
    """With --flat, cascades and shapes stand in one table."""
    told = rows(evaluate("--flat", "--cascade", cascade(*TWICE)))
    assert {"1x1", "2x2", "some"} <= told.keys()
    assert not any("det" in name for name in told)


def test_groupings(tmp_path: Path) -> None:
    """Figures are the means over all groupings: what is found in one of two counts half."""
    folder = tmp_path / "profile"
    made = profile(folder)
    half = {photo: [[cat()], []] for photo in PHOTOS}
    answers = {ITSELF: {photo: [[cat()]] for photo in PHOTOS}, TWO: half}
    known = {photo: Known([cat(1.0)], frozenset({"cat"})) for photo in PHOTOS}
    made = sample_from_answers(dict(zip(PHOTOS, made.facts, strict=True)), answers, known)
    done = stored.replay_all(Cascade.model_validate({"stages": [{"shape": "2x2"}]}), made)
    base = {photo: [cat()] for photo in PHOTOS}
    row = score_row("2x2", done.images, done.detections, base=base, known=stored.known(made))
    assert (row.precision, row.agrees, row.images) == ((0.5, 0.5), 0.5, 0.25)


def test_no_truth(evaluate: Callable[..., Any], cascade: Callable[..., Any]) -> None:
    """A profile without ground truth has agreement alone."""
    result = evaluate("--cascade", cascade(*TWICE), truth=False)
    assert "no ground truth" in result.output
    assert "AP50" not in result.output
    assert rows(result)["some"] == ["0.500", "50.0%", "1.000"]


def test_companion(evaluate: Callable[..., Any], cascade: Callable[..., Any]) -> None:
    """A companion's stage costs nothing."""
    stages = [{"shape": "1x1", "provider": "det", "rule": {"kind": "onward"}}, *TWICE]
    told = rows(evaluate("--cascade", cascade(*stages)))
    assert told["some"][0] == "0.500"


def test_own_provider_by_name(evaluate: Callable[..., Any], cascade: Callable[..., Any]) -> None:
    """A stage may name the provider that the profile is of."""
    told = rows(evaluate("--cascade", cascade({"shape": "2x2", "provider": "eye"})))
    assert told["some"][0] == "0.250"


def test_another_provider(tmp_path: Path, cascade: Callable[..., Any]) -> None:
    """Profiles of two providers are one, and what the second is asked counts by its price."""
    profile(tmp_path / "own")
    profile(tmp_path / "other", provider="far", prices={"": Price(0.1)})
    places = ["--profile", str(tmp_path / "own"), "--profile", str(tmp_path / "other")]
    file = cascade({"shape": "2x2", "provider": "far", "rule": SURE}, {"shape": "1x1"})
    result = CliRunner().invoke(main.app, ["evaluate", *places, "--cascade", str(file)])
    assert rows(result)["some"][0] == "0.300"


@pytest.mark.parametrize(
    ("stages", "more", "message"),
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
def test_not_profiled(
    evaluate: Callable[..., Any],
    cascade: Callable[..., Any],
    stages: list[dict[str, dict[str, dict[Any, Any] | str] | str] | dict[str, str]]
    | tuple[dict[str, dict[str, dict[Any, Any] | str] | str] | dict[str, str], ...],
    more: dict[Any, Any] | dict[str, str],
    message: str,
) -> None:
    """A cascade that asks what was not profiled, or in another way, is named, and what is wrong
    with it."""
    result = evaluate("--cascade", cascade(*stages, **more))
    with pytest.raises(ConfigError, match=message):
        raise result.exception


def test_border_alone(evaluate: Callable[..., Any], cascade: Callable[..., Any]) -> None:
    """A photo alone has no border, so a cascade of it fits every profile."""
    assert evaluate("--cascade", cascade({"shape": "1x1"}, border="black")).exit_code == 0


def test_unfinished(tmp_path: Path) -> None:
    """Photos without an answer at every shape are left out; a profile of nothing else says so."""
    made = profile(tmp_path / "profile")
    some = {
        ITSELF: {photo: [[cat()]] for photo in PHOTOS},
        TWO: {photo: [[cat()]] for photo in PHOTOS[:5]},
    }
    sample_from_answers(dict(zip(PHOTOS, made.facts, strict=True)), some).save(
        tmp_path / "profile" / FILE
    )
    assert stored.read([tmp_path / "profile"]).photos == tuple(PHOTOS[:5])
    made.of_photos(np.zeros(0, np.int64)).save(tmp_path / "profile" / FILE)
    with pytest.raises(ConfigError, match="no photo has an answer at every shape"):
        stored.read([tmp_path / "profile"])


def test_no_profile(tmp_path: Path) -> None:
    """A folder that holds none is named."""
    result = CliRunner().invoke(main.app, ["evaluate", "--profile", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert str(tmp_path) in str(result.exception)


@pytest.mark.parametrize(
    "words", [("--photos", "."), ("--truth", "a.json"), ("--url", "http://127.0.0.1:1")]
)
def test_apart(evaluate: Callable[..., Any], words: tuple[str, ...]) -> None:
    """A profile has photos and answers of its own: it goes with no others, and with no gateway."""
    with pytest.raises(ConfigError, match="--profile has photos and answers of its own"):
        raise evaluate(*words).exception
