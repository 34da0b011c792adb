"""`imgrid profile` of moderation and labels, on drawn photos: its questions, its output, and its
cascades."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gateway.cli.profile_runs import run_group_profile
from gateway.config.errors import ConfigError
from gateway.quality.group_canvases import PhotoAnswers, group_canvases
from gateway.quality.profile import parse_shapes
from gateway.quality.profile_groups import GroupProfileOptions
from gateway.testing.gateway import parts_of, routing_of
from gateway.testing.pictures import Block, drawn, encoded, photo
from gateway.testing.provider import ScriptedProvider, about, image_of
from gateway.wiring.routes import Routing
from providers.base import Picture
from providers.detection import WHOLE, Detection, Task
from providers.errors import PictureRefused
from thresholds.cascade import Cascade, load
from thresholds.plan.certificate import Certificate

pytestmark = pytest.mark.slow

CONFIG = {
    "providers": {"eye": {"kind": "shapes", "canvas": "160x160"}},
    "routes": [{"task": "moderation", "provider": "eye", "stages": [{"shape": "1x1"}]}],
}


NET = about("net", task=Task.MODERATION, canvas_px=(160, 160))


def magenta_label(picture: Picture, task: Task) -> Sequence[Detection]:
    """The label magenta, of the whole picture: its score is the side of a square with as many such
    pixels, in 20ths."""
    red, green, blue = np.asarray(image_of(picture)).astype(int).transpose(2, 0, 1)
    side = float(np.sqrt(((red > 180) & (blue > 180) & (green < 80)).sum()))
    return [Detection("magenta", min(side / 20, 1.0), WHOLE)] if side >= 2 else []


def magenta_grade(picture: Picture, task: Task) -> Sequence[Detection]:
    """The score of the label magenta as a grade, in quarters."""
    best = max((detection.score for detection in magenta_label(picture, task)), default=0.0)
    return [Detection("adult", round(best * 4) / 4, WHOLE, details={"graded": True})]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 photos with a magenta block of 20 to 31 pixels, 24 without, of them four with one of 4."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(48):
        size = (160, 120) if number % 3 else (120, 160)
        side = 20 + number // 2 if number < 24 else 4 if number < 28 else 0
        blocks = [
            Block("blue", 40 + number, 60, 50 + number, 70),
            Block("magenta", 10, 10, 10 + side, 10 + side),
        ]
        (photos / f"{number:02d}.png").write_bytes(encoded(drawn(size, *blocks[: 1 + bool(side)])))
    return photos


@pytest.fixture
def eye() -> ScriptedProvider:
    """A provider that gives the label magenta."""
    return ScriptedProvider(
        magenta_label, about=about("eye", task=Task.MODERATION, canvas_px=(160, 160))
    )


class Bench:
    """A route whose groups are profiled, and the output of the command."""

    def __init__(self, folder: Path, eye: ScriptedProvider, **companions: ScriptedProvider) -> None:
        self.folder, self.printed, self.out = folder, StringIO(), folder.parent / "profile"
        names = {name: {"kind": "shapes"} for name in companions}
        config = {**CONFIG, "providers": {**CONFIG["providers"], **names}}
        self.routing: Routing = routing_of(folder.parent, config, {"eye": eye, **companions})
        self.defaults = {
            "shapes": parse_shapes("3x3,2x2,2x1"),
            "groupings": 2,
            "recall": 0.95,
            "rate": 0.02,
        }

    def profile(self, task: str = "moderation", **changes: object) -> str:
        """The output of the command."""
        console = Console(file=self.printed, width=100)
        options = GroupProfileOptions(**{**self.defaults, **changes})
        route = replace(self.routing.routes["moderation"], name=task, task=Task(task))
        run_group_profile(
            self.routing,
            route,
            [self.folder],
            options,
            folder=self.out,
            console=console,
            confirmed=True,
        )
        return self.printed.getvalue()

    @property
    def cascade(self) -> Cascade:
        (file,) = self.out.glob("cascade-*.json")
        return load(file)


def test_it_asks_alone_then_in_groups(folder: Path, eye: ScriptedProvider) -> None:
    """The command asks about each photo alone, then in groups, and writes a cascade that a route
    can use."""
    bench = Bench(folder, eye)
    output = bench.profile()
    assert "24 of 48 photos are flagged alone" in output
    assert "48 images to ask eye about, each photo alone" in output
    assert "images a photo at 2.0% flagged photos" in output
    cascade = bench.cascade
    assert [str(stage.shape) for stage in cascade.stages][-1] == "1x1"
    assert [stage.rule.kind for stage in cascade.stages][:-1] == ["clean"] * (
        len(cascade.stages) - 1
    )
    assert 0 < cascade.stages[0].rule.threshold < 0.5
    route = {"task": "moderation", "provider": "eye", "cascade": str(next(bench.out.glob("c*")))}
    assert (
        parts_of(folder.parent, {**CONFIG, "routes": [route]}, {"eye": eye})
        .routes["moderation"]
        .positive
        == 0.5
    )


def test_a_companion_gives_the_priors(folder: Path, eye: ScriptedProvider) -> None:
    """A companion is asked about each photo alone, in the same quote; the cascade begins with its
    stage and judges groups by posteriors, and a route with that companion can use it."""
    bench = Bench(folder, eye, net=ScriptedProvider(magenta_label, about=NET))
    output = bench.profile(companion="net")
    assert "48 images to ask net about as companion" in output
    first, *groups, _ = bench.cascade.stages
    assert (first.provider, first.rule.kind) == ("net", "risk")
    assert first.rule.weights["magenta"] > 0
    assert all(stage.rule.posterior is not None for stage in groups)
    (file,) = bench.out.glob("cascade-*")
    route = {"task": "moderation", "provider": "eye", "companion": "net", "cascade": str(file)}
    config = {
        "providers": {**CONFIG["providers"], "net": {"kind": "shapes"}},
        "routes": [route],
    }
    providers = {"eye": eye, "net": ScriptedProvider(magenta_label, about=NET)}
    assert parts_of(folder.parent, config, providers).routes["moderation"].companion == "net"


def test_an_unknown_companion_is_refused_before_paying(folder: Path, eye: ScriptedProvider) -> None:
    """A companion that there is no provider for is refused before anything is paid."""
    with pytest.raises(ConfigError, match="--companion: there is no provider 'net'"):
        Bench(folder, eye).profile(companion="net")
    assert eye.calls == 0


def test_it_says_the_recall_that_is_certified(folder: Path, eye: ScriptedProvider) -> None:
    """The command says how many flagged photos are found by plans made without them, the recall
    that they certify, and how many more would certify the target."""
    words = " ".join(Bench(folder, eye).profile(recall=0.9, shapes=parse_shapes("2x1")).split())
    found, recall, more = re.search(
        r"(\d+) of 24 flagged photos are found by plans made without them: a recall of ([\d.]+) is "
        r"certified, with 95% confidence; (\d+) more flagged photos would certify 0.9",
        words,
    ).groups()
    certificate = Certificate(int(found), 24)
    assert f"{certificate.recall:.3f}" == recall
    assert certificate.photos_needed(0.9) == 24 + int(more)


def test_another_recall_asks_nothing_again(folder: Path, eye: ScriptedProvider) -> None:
    """Another recall is computed from stored answers: nothing is asked twice."""
    bench = Bench(folder, eye)
    bench.profile()
    calls = eye.calls
    assert "nothing to pay" in bench.profile(recall=0.9)
    assert eye.calls == calls


def test_each_positive_is_alone_among_clean_photos(folder: Path) -> None:
    """At each shape and grouping each positive is the only one on one full canvas of its
    orientation; clean photos share canvases with each other."""
    photos = {f"{n}": photo(drawn((32, 24) if n % 3 else (24, 32))) for n in range(40)}
    answers = PhotoAnswers(dict.fromkeys(list(photos)[:9], ("",)), list(photos)[9:])
    canvases = group_canvases(photos, answers, parse_shapes("1x1,2x2,2x1"), 2)
    positive_counts = Counter(
        (str(canvas.question.shape), canvas.grouping, canvas.positive)
        for canvas in canvases
        if canvas.positive
    )
    assert positive_counts == {
        (shape, grouping, key): 1
        for shape in ("2x2", "2x1")
        for grouping in range(2)
        for key in answers.positives
    }
    for canvas in canvases:
        positives = [key for key in canvas.question.photos if key in answers.positives]
        assert positives == ([canvas.positive] if canvas.positive else [])
        assert len(canvas.question.photos) == canvas.question.shape.cells
        assert len({photos[key].size.portrait for key in canvas.question.photos}) == 1


def test_a_handful_of_positives_gives_no_conclusion(folder: Path, eye: ScriptedProvider) -> None:
    """A handful of flagged photos gives no conclusion; the command says how many a promise needs
    before it pays for groups."""
    for number in range(12):
        (folder / f"{number:02d}.png").unlink()
    with pytest.raises(
        ConfigError, match=r"12 of 36 photos.*fewer than 20.*0\.99 is promised from 99 on"
    ):
        Bench(folder, eye).profile(recall=0.99)
    assert eye.calls == 36


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        (
            "moderation",
            {"shapes": parse_shapes("1x1")},
            "--shapes: name a shape of more than one photo",
        ),
        (
            "moderation",
            {"labels": ("magenta",)},
            "--labels: .* route moderation is of task moderation",
        ),
        ("labels", {}, "--labels: name those that clients will ask about"),
        ("extras", {"labels": ("magenta",)}, "extras are asked about alone"),
    ],
)
def test_an_impossible_profile_is_refused_before_paying(
    folder: Path, eye: ScriptedProvider, task: str, changes: dict[str, Any], message: str
) -> None:
    """A profile that cannot be made is refused before anything is paid."""
    bench = Bench(folder, eye)
    with pytest.raises(ConfigError, match=message):
        bench.profile(task, **changes)
    assert eye.calls == 0


def test_it_says_the_recall_that_can_be_promised(folder: Path, eye: ScriptedProvider) -> None:
    """If positives are too few for the desired recall, the command says the recall that it promises
    instead."""
    output = Bench(folder, eye).profile(recall=0.99, shapes=parse_shapes("2x1"))
    assert "a recall of 0.960 is promised, for 24 photos are flagged alone" in output
    assert "75 more" in output


def test_useless_groups_give_no_cascade(folder: Path, eye: ScriptedProvider) -> None:
    """If groups hide a positive, or cost no less, no cascade is written."""

    def short_sighted(picture: Picture, task: Task) -> Sequence[Detection]:
        return [each for each in magenta_label(picture, task) if each.score >= 0.6]

    bench = Bench(folder, ScriptedProvider(short_sighted, about=eye.about))
    with pytest.raises(ConfigError, match="no shape shows all that photos alone do"):
        bench.profile(shapes=parse_shapes("3x3"))
    assert "not seen" in bench.printed.getvalue()
    with pytest.raises(ConfigError, match="groups would cost no less"):
        bench.profile(rate=0.9, shapes=parse_shapes("2x1"), recall=0.5)
    assert not list(bench.out.glob("cascade-*"))


def test_any_grade_above_the_lowest_flags_a_canvas(folder: Path) -> None:
    """Any grade above the lowest flags a canvas."""
    bench = Bench(
        folder,
        ScriptedProvider(
            magenta_grade, about=about("eye", task=Task.MODERATION, canvas_px=(160, 160))
        ),
    )
    bench.profile(recall=0.9)
    assert {stage.rule.threshold for stage in bench.cascade.stages[:-1]} == {1.0}


def test_refused_canvases_are_left_out(folder: Path) -> None:
    """A photo whose canvas is refused is left out, as is a refused canvas; the rest is measured."""
    calls = 0

    def touchy(picture: Picture, task: Task) -> Sequence[Detection]:
        nonlocal calls
        calls += 1
        if calls == 100:
            raise PictureRefused("no")
        return magenta_label(picture, task)

    bench = Bench(
        folder,
        ScriptedProvider(touchy, about=about("eye", task=Task.MODERATION, canvas_px=(160, 160))),
    )
    assert "1 canvases were refused" in bench.profile()
    assert bench.cascade.groups


def test_only_the_named_labels_count(folder: Path, eye: ScriptedProvider) -> None:
    """Only detections of the named labels count."""
    bench = Bench(folder, eye)
    output = bench.profile("labels", labels=("Magenta", "green"))
    assert "24 of 48 photos are flagged alone" in output
    with pytest.raises(ConfigError, match="0 of 48"):
        bench.profile("labels", labels=("green",))
