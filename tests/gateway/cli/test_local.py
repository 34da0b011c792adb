"""The commands of the local engine: a machine is measured, and a network and its size planned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from gateway.cli import main
from gateway.config.errors import ConfigError
from gateway.testing.pictures import Block, drawn, encoded
from providers.engine.machine import MachineProfile
from tests.support.colour_network import write_colour_network

Run = Callable[..., Result]
CONFIG = """
listen: 127.0.0.1:0
providers:
  det: {kind: onnx, model: net.onnx, labels: labels.txt, floor: 0.5}
  eye: {kind: shapes}
routes:
  - {task: objects, provider: det, stages: [{shape: 1x1}]}
"""
PHOTO_PX = (160, 96)
BLOCK_PX = (32, 32, 64, 64)


@pytest.fixture
def imgrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`imgrid(*words)`: the result of the command in a folder with a network of colours, and with
    four photos and their ground truth."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgrid.yaml").write_text(CONFIG)
    write_colour_network(tmp_path / "net.onnx")
    (tmp_path / "photos").mkdir()
    images, boxes = [], []
    for number in range(4):
        image = drawn(PHOTO_PX, Block("blue", *BLOCK_PX))
        image.putpixel((number, 0), (255, 255, 255))  # no photo is another
        (tmp_path / f"photos/{number}.jpg").write_bytes(encoded(image, "JPEG"))
        x0, y0, x1, y1 = BLOCK_PX
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 160, "height": 96})
        box = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
        boxes.append({**box, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": 1024})
    truth = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "blue"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))

    def run(*words: str, catch: bool = False) -> Result:
        return CliRunner().invoke(main.app, list(words), catch_exceptions=catch)

    return run


def test_calibrate_measures_networks_and_photos(imgrid: Run, tmp_path: Path) -> None:
    """The machine profile has every input size and mini-batch, of one thread a worker and of one
    worker, and photos of two sizes; a provider that names it can be built."""
    result = imgrid(
        *("calibrate", "--sizes", "64,96x64", "--mini-batches", "1,2", "--seconds", "0.05"),
        *("--chart", "machine.png"),
    )
    assert result.exit_code == 0, result.output
    profile = MachineProfile.load(tmp_path / "machine.json")
    assert {speed.model for speed in profile.networks} == {"det"}
    assert {speed.input_px for speed in profile.networks} == {(64, 64), (96, 64)}
    widest = max(profile.networks, key=lambda speed: (len(speed.runs), speed.workers))
    assert [run.mini_batch for run in widest.runs] == [1, 2]
    assert {each.source_px for each in profile.preparations} == {(500, 375), (4000, 3000)}
    assert (tmp_path / "machine.png").read_bytes().startswith(b"\x89PNG")
    assert "machine: machine.json" in result.output
    config = yaml.safe_load(CONFIG)
    config["providers"]["det"]["machine"] = "machine.json"
    (tmp_path / "imgrid.yaml").write_text(yaml.safe_dump(config))
    assert imgrid("config", "check").exit_code == 0


def test_calibrate_takes_photos_of_ones_own(imgrid: Run, tmp_path: Path) -> None:
    """With --photos their decoding is measured, by format and size."""
    words = ("--sizes", "64", "--mini-batches", "1", "--seconds", "0.05", "--photos", "photos")
    assert imgrid("calibrate", *words).exit_code == 0
    profile = MachineProfile.load(tmp_path / "machine.json")
    assert [(each.format, each.source_px) for each in profile.preparations] == [("JPEG", PHOTO_PX)]


def test_networks_of_different_inputs_are_calibrated_together(imgrid: Run, tmp_path: Path) -> None:
    """Each input size is prepared as the network that has it does."""
    (tmp_path / "fixed").mkdir()
    write_colour_network(tmp_path / "fixed/net.onnx", sides=(96, 96), pictures=1)
    config = yaml.safe_load(CONFIG)
    first = {"kind": "onnx", "model": "fixed/net.onnx", "labels": "labels.txt"}
    config["providers"] = {"fixed": first, **config["providers"]}
    (tmp_path / "imgrid.yaml").write_text(yaml.safe_dump(config))
    words = ("--sizes", "64", "--mini-batches", "1,2", "--seconds", "0.05", "--photos", "photos")
    assert imgrid("calibrate", *words).exit_code == 0
    profile = MachineProfile.load(tmp_path / "machine.json")
    inputs = {(speed.model, speed.input_px) for speed in profile.networks}
    assert inputs == {("fixed", (96, 96)), ("det", (64, 64))}
    assert {each.input_px for each in profile.preparations} == {(96, 96), (64, 64)}


@pytest.mark.parametrize("words", [("calibrate",), ("plan", "--local", "--max-drop", "0")])
def test_a_photo_that_is_cut_short_is_left_out(
    imgrid: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A photo that cannot be decoded is left out, by its name."""
    whole = encoded(Image.effect_noise(PHOTO_PX, 90).convert("RGB"), "JPEG")
    (tmp_path / "photos/cut.jpg").write_bytes(whole[: len(whole) // 3])
    further = ("--seconds", "0.05", "--mini-batches", "1") if words == ("calibrate",) else ()
    result = imgrid(*words, "--photos", "photos", "--sizes", "64", *further)
    assert result.exit_code == 0, result.output
    assert "cut.jpg: left out" in result.output.replace("\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sizes", "100"], "--sizes: 100: sides of inputs are multiples of 32"),
        (["--sizes", "wide"], "--sizes: 'widexwide' is no size"),
        (["--mini-batches", "0,1"], "--mini-batches: '0,1' is no list of numbers from 1 on"),
        (["--provider", "eye"], "--provider eye: imgrid.yaml has no such provider of kind onnx"),
        (["--out", "truth.json"], "--out truth.json: is there already"),
    ],
)
def test_calibrate_names_what_is_wrong(imgrid: Run, words: list[str], message: str) -> None:
    """An option that cannot be used is named before anything is measured."""
    with pytest.raises(ConfigError, match=message):
        imgrid("calibrate", *words)


def test_plan_local_takes_the_fastest_that_is_good_enough(imgrid: Run, tmp_path: Path) -> None:
    """Of all sizes, padded and not, the plan has AP50 and photos a second; the settings of the one
    that is taken are written, and a page with the front."""
    result = imgrid(
        *("plan", "--local", "--photos", "photos", "--truth", "truth.json"),
        *("--sizes", "96,160", "--max-drop", "0", "--report", "page.html"),
    )
    assert result.exit_code == 0, result.output
    for row in ("96x96 rect", "96x96 padded", "160x160 rect", "160x160 padded"):
        assert row in " ".join(result.output.split())
    assert "by ground truth" in result.output
    assert "measured in a provider" in result.output
    settings = yaml.safe_load((tmp_path / "engine.yaml").read_text())["det"]
    assert settings["input_size"] == "160x160"  # the block fills a cell of 32 px only there
    page = (tmp_path / "page.html").read_text()
    assert "Take det at 160x160" in page
    assert (tmp_path / "engine-front.png").exists()


def test_plan_local_needs_no_ground_truth(imgrid: Run, tmp_path: Path) -> None:
    """Without ground truth the dearest variant's look at the mirrored photo stands for it, and
    another machine's profile for this one's time."""
    calibrated = imgrid(
        *("calibrate", "--sizes", "96,160", "--mini-batches", "1,2", "--seconds", "0.05")
    )
    assert calibrated.exit_code == 0
    result = imgrid(
        *("plan", "--local", "--photos", "photos", "--sizes", "160"),
        *("--min-photos-per-s", "0.001", "--machine", "machine.json"),
    )
    assert result.exit_code == 0, result.output
    assert "by the reference look" in result.output
    assert "measured" not in result.output
    assert "det" in yaml.safe_load((tmp_path / "engine.yaml").read_text())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-drop", "0"], "--photos: name a folder"),
        (["--photos", "photos"], "give one of --max-drop, --min-quality, --min-photos-per-s"),
        (
            ["--photos", "photos", "--max-drop", "0", "--deadline-ms", "9"],
            "give one of --max-drop",
        ),
        (
            ["--photos", "photos", "--max-drop", "0", "--out", "truth.json"],
            "--out truth.json: is there already",
        ),
        (
            ["--photos", "photos", "--min-photos-per-s", "1e9", "--sizes", "64"],
            "no row reaches the goal",
        ),
        (
            ["--photos", "photos", "--max-drop", "0", "--machine", "none.json"],
            "none.json: cannot be read",
        ),
    ],
)
def test_plan_local_names_what_is_wrong(imgrid: Run, words: list[str], message: str) -> None:
    """A goal or a file that cannot be used is an error that says so."""
    with pytest.raises(ConfigError, match=message):
        imgrid("plan", "--local", *words)


def test_plan_without_local_is_the_plan_of_a_profile(imgrid: Run) -> None:
    """Both commands are `plan`, each with its own options, and the help of one names the other."""
    assert "--local" in imgrid("plan", "--help").output
    assert "--deadline-ms" in imgrid("plan", "--local", "--help").output
    assert "--deadline-ms" not in imgrid("plan", "--help").output
