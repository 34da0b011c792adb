"""`imgrid demo` from end to end: a real gateway, the real boto3, the real OCR and a detector."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from gateway.cli.demo import run_demo
from gateway.cli.main import app
from gateway.demo.plans import DemoPlan, Shot, scenes_plan, text_plan
from gateway.testing.pictures import Block, drawn, encoded

pytestmark = [pytest.mark.sdk, pytest.mark.slow]


@pytest.fixture
def shapes_plan() -> DemoPlan:
    """A demo of six drawn photos for three clients."""
    shots = [
        Shot(f"{n}.png", encoded(drawn((160, 120), Block("red", 20, 20, 60 + n, 80))))
        for n in range(6)
    ]
    rule = {"kind": "imgrid", "area": {"mean": 0.16}, "floor": 0.1}
    return DemoPlan(
        "objects",
        shots,
        {"kind": "shapes", "canvas": "320x320"},
        [{"shape": "3x1", "rule": rule}, {"shape": "1x1"}],
        clients=3,
    )


def test_it_shows_each_clients_result_and_writes_the_page(
    tmp_path: Path, shapes_plan: DemoPlan
) -> None:
    """The demo prints each client's picture, shapes and share, and the bill; it writes pictures and
    a page."""
    console = Console(record=True, width=120, file=io.StringIO())
    page = run_demo(shapes_plan, tmp_path / "out", console)
    output = console.export_text()
    assert output.count("client-0") == 6
    assert "images billed for 6 pictures" in output
    assert "red" in output
    assert len(list((tmp_path / "out").glob("canvas-*.png"))) >= 2
    assert "client-01" in page.read_text()


def test_the_config_it_leaves_behind_is_usable(tmp_path: Path, shapes_plan: DemoPlan) -> None:
    """The config file of the run can be shown and used again."""
    run_demo(shapes_plan, tmp_path / "out", Console(quiet=True))
    result = CliRunner().invoke(
        app, ["config", "show", "--config", str(tmp_path / "out/imgrid.yaml")]
    )
    assert result.exit_code == 0
    assert "client-03" in result.output
    assert "secret-of" not in result.output


def test_signs_of_several_clients_are_read_on_one_canvas(tmp_path: Path) -> None:
    """Signs of several clients on one canvas are read as written, at least nine words in ten."""
    console = Console(record=True, width=120, file=io.StringIO())
    plan = replace(text_plan(clients=4, count=4), provider={"kind": "text", "threads": 1})
    run_demo(plan, tmp_path / "out", console)
    words = sum(len(shot.words) for shot in plan.shots)
    output = console.export_text()
    line = next(line for line in output.splitlines() if f"of the {words} words" in line)
    assert int(line.split()[0]) >= 0.9 * words
    assert "1 images billed for 4 pictures" in output


def test_drawn_things_are_found_and_small_ones_asked_about_again(tmp_path: Path) -> None:
    """The demo of objects needs no photos and no network: all things are found, and of six pictures
    only the one whose things are far away is asked about again."""
    console = Console(record=True, width=80, file=io.StringIO())
    plan = scenes_plan(clients=6, count=6)
    run_demo(plan, tmp_path / "out", console)
    output = console.export_text()
    things = sum(len(shot.things) for shot in plan.shots)
    assert f"{things} of the {things} things on the pictures were found" in output
    assert "1 asked again" in output
    assert max(map(len, output.splitlines())) <= 80 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--photos", "."], "--photos and --model go together"),
        (["--photos", "EMPTY", "--model", "x.onnx"], "there are no .jpg or .png files"),
    ],
)
def test_the_error_for_bad_options_names_them(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    """The error for options that do not fit together, or lead nowhere, names them."""
    words = [str(tmp_path) if argument == "EMPTY" else argument for argument in arguments]
    result = CliRunner().invoke(app, ["demo", *words, "--out", str(tmp_path / "out")])
    assert message in str(result.exception)
