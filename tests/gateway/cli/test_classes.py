"""A cascade of models from the first command to the last: two networks are profiled on labelled
photos, planned, and the gateway asks the dear one about fewer photos."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from gateway.cli import main
from gateway.config.errors import ConfigError
from gateway.testing.gateway import parts_of
from gateway.testing.pictures import encoded
from tests.support.colour_classifier import write_colour_classifier
from thresholds import cascade as cascades
from thresholds.classification.sample import ClassificationSample
from thresholds.rules.confidence import Rule

pytestmark = pytest.mark.slow

Run = Callable[..., Result]
NETWORK = {
    "kind": "onnx",
    "layout": "classifier",
    "normalise": "unit",
    "activation": "softmax",
    "canvas": "96x96",
}
CONFIG = {
    "listen": "127.0.0.1:0",
    "providers": {
        "small": {
            **NETWORK,
            "model": "small/net.onnx",
            "labels": "small/labels.txt",
            "usd_per_image": 0.0001,
        },
        "large": {
            **NETWORK,
            "model": "large/net.onnx",
            "labels": "large/labels.txt",
            "usd_per_image": 0.001,
        },
        "eye": {"kind": "shapes"},
    },
    "routes": [
        {"task": "labels", "provider": "large", "stages": [{"shape": "1x1"}]},
        {"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]},
    ],
}
COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
PHOTOS = 60


def photo_of(label: str, number: int) -> bytes:
    """A photo of one colour, like no other."""
    red, green, blue = COLOURS[label]
    return encoded(
        Image.new("RGB", (64, 48), (red + number // 20, green + number % 20, blue)), "PNG"
    )


@pytest.fixture
def imgrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`imgrid(*words)`: the result of the command in a folder with a network that knows red and
    green, one that knows blue, too, and photos of all three in folders of these names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgrid.yaml").write_text(yaml.safe_dump(CONFIG))
    for name, classes in (("small", 2), ("large", 3)):
        (tmp_path / name).mkdir()
        write_colour_classifier(tmp_path / name / "net.onnx", classes=classes)
    for number in range(PHOTOS):
        label = ("red", "red", "green", "blue")[number % 4]
        file = tmp_path / f"photos/{label}/{number:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo_of(label, number))

    def run(*words: str) -> Result:
        return CliRunner().invoke(main.app, list(words), catch_exceptions=False)

    return run


@pytest.fixture
def profiled(imgrid: Run) -> Result:
    """The result of a profile with the folders' names as ground truth."""
    words = ("--route", "labels", "--photos", "photos", "--truth", "folders", "--yes")
    result = imgrid("profile", *words)
    assert result.exit_code == 0, result.output
    return result


def test_a_profile_says_what_each_model_answers_and_costs(profiled: Result, tmp_path: Path) -> None:
    """All local networks of the task are asked, and their accuracy, time and work are measured; the
    next command is named."""
    sample = ClassificationSample.load(tmp_path / "profile/classes.json")
    assert sample.names == ("small", "large")
    assert sample.reference == "large"
    assert len(sample.photos) == PHOTOS
    assert sample.answers.correct.mean(axis=1).tolist() == [0.75, 1.0]
    assert all(stage.seconds and stage.input_px == (32, 32) for stage in sample.stages)
    assert "imgrid plan profile --max-drop" in profiled.output


def test_a_profile_is_not_asked_twice(imgrid: Run, profiled: Result) -> None:
    """Answers that are there are used again."""
    result = imgrid("profile", "--route", "labels", "--photos", "photos", "--truth", "folders")
    assert "all 120 answers are here already" in result.output


def test_a_plan_makes_the_cascade_that_a_route_uses(
    imgrid: Run, profiled: Result, tmp_path: Path
) -> None:
    """The plan asks the small network first and the large one where it is unsure, says what that
    costs, and draws a page; the route that names it asks the large one about the blue photos
    only."""
    result = imgrid("plan", "profile", "--max-drop", "0.2", "--report", "plan.html")
    assert result.exit_code == 0, result.output
    assert "times less than large alone" in " ".join(result.output.split())
    page = (tmp_path / "plan.html").read_text()
    assert "What accuracy costs" in page
    assert "Every pair of thresholds" in page
    cascade = cascades.load(tmp_path / "cascade.json")
    assert [stage.provider for stage in cascade.stages] == ["small", None]
    assert cascade.promise is not None
    assert cascade.promise.metric == "accuracy"
    assert set(cascade.made_with_others) == {"small"}
    route = {"task": "labels", "provider": "large", "cascade": "cascade.json", "max_wait_ms": 1}
    parts = parts_of(tmp_path, {**CONFIG, "routes": [route]})
    stages = asyncio.run(stages_of_photos(parts))
    assert stages == {"red": 1, "green": 1, "blue": 2}


async def stages_of_photos(parts: object) -> dict[str, int]:
    """How many models saw a photo of each colour."""
    from gateway.core.limits import PhotoLimits
    from gateway.core.model import Tenant
    from gateway.intake.admission import admit
    from gateway.wiring.parts import Parts
    from providers.base import Limits

    assert isinstance(parts, Parts)
    (route,) = parts.routes.values()
    scheduler = asyncio.create_task(parts.pipeline.scheduler.run())
    counts: dict[str, int] = {}
    limits = Limits(formats=frozenset({"PNG"}))
    for label in COLOURS:
        photo = admit(label, photo_of(label, 7), limits, PhotoLimits())
        (outcome,) = await parts.pipeline.scheduler.answer([photo], route, Tenant("a", "a"))
        assert outcome.detections[0].label == label
        counts[label] = len(outcome.steps)
    scheduler.cancel()
    await asyncio.gather(scheduler, return_exceptions=True)
    await parts.stores.close()
    return counts


def test_a_row_of_the_front_can_be_taken(imgrid: Run, profiled: Result, tmp_path: Path) -> None:
    """With --take a row of the front becomes the cascade, whatever it loses."""
    result = imgrid("plan", "profile", "--take", "1", "--delta", "1")
    assert result.exit_code == 0, result.output
    assert [stage.provider for stage in cascades.load(tmp_path / "cascade.json").stages] == [
        "small"
    ]


def test_without_ground_truth_the_routes_own_model_is_right(imgrid: Run, tmp_path: Path) -> None:
    """A profile without a truth measures by the answers of the route's own provider."""
    result = imgrid("profile", "--route", "labels", "--photos", "photos", "--yes")
    assert "as large" in result.output
    sample = ClassificationSample.load(tmp_path / "profile/classes.json")
    assert sample.truths is None
    assert sample.answers.correct[1].all()


def test_a_table_of_labels_is_a_truth(imgrid: Run, tmp_path: Path) -> None:
    """A CSV file names the photos to ask about, and their labels; only the labels that clients ask
    about count, in the rule as well."""
    rows = [
        f"{file.relative_to(tmp_path / 'photos')},{file.parent.name}"
        for file in sorted((tmp_path / "photos").rglob("*.png"))[:50]
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    words = ("--route", "labels", "--photos", "photos", "--truth", "labels.csv", "--yes")
    assert imgrid("profile", *words, "--labels", "blue,green").exit_code == 0
    sample = ClassificationSample.load(tmp_path / "profile/classes.json")
    assert len(sample.photos) == 50
    assert sample.only_labels == ("blue", "green")
    assert imgrid("plan", "profile", "--save", "0", "--delta", "1").exit_code == 0
    stages = cascades.load(tmp_path / "cascade.json").stages
    assert all(
        rule.labels == ("blue", "green") for stage in stages if isinstance(rule := stage.rule, Rule)
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stage", "tiny"], "--stage: there is no provider 'tiny'; there are eye, large, small"),
        (["--stage", "eye"], "--stage: provider eye does not serve labels"),
        (["--stage", "large"], "--stage: route labels has no other provider of labels"),
        (["--shapes", "2x2"], "--shapes: of tasks with boxes or moderation and labels, in groups"),
        (["--truth", "none.csv"], "none.csv: cannot be read"),
    ],
)
def test_a_profile_names_what_is_wrong(imgrid: Run, words: list[str], message: str) -> None:
    """An option that cannot be used is named before any network is asked."""
    with pytest.raises(ConfigError, match=message):
        imgrid("profile", "--route", "labels", "--photos", "photos", "--yes", *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give one of --max-drop and --save"),
        (["--max-drop", "0.1", "--save", "0.1"], "give one of --max-drop and --save"),
        (["--max-drop", "0.1", "--take", "99"], "--take 99: the front has rows 1 to"),
        (["--max-drop", "0.1", "--out", "imgrid.yaml"], "--out imgrid.yaml: is there already"),
    ],
)
def test_a_plan_names_what_is_wrong(
    imgrid: Run, profiled: Result, words: list[str], message: str
) -> None:
    """A goal or a file that cannot be used is an error that says so."""
    with pytest.raises(ConfigError, match=message):
        imgrid("plan", "profile", *words)
