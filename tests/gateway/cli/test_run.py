"""`imgrid run` on the console: what it will cost, what it asks, and what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from gateway.batch.forecast import RunForecast
from gateway.cli import main
from gateway.cli.run import seconds_of
from gateway.cli.run_display import forecast_lines, time_text
from gateway.config.errors import ConfigError
from gateway.testing.pictures import Block, drawn, encoded

Run = Callable[..., Result]
PHOTOS = 12
CONFIG = {
    "listen": "127.0.0.1:0",
    "providers": {"eye": {"kind": "shapes", "canvas": "320x320", "usd_per_image": 0.001}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]}],
}


@pytest.fixture
def imgrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`imgrid(*words, input=...)`: the result of the command in a folder with photos."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgrid.yaml").write_text(yaml.safe_dump(CONFIG))
    (tmp_path / "photos").mkdir()
    for number in range(PHOTOS):
        image = drawn((100 + number, 90), Block("red", 10, 10, 60, 60))
        (tmp_path / f"photos/{number:02d}.png").write_bytes(encoded(image, "PNG"))

    def run(*words: str, answer: str = "") -> Result:
        return CliRunner().invoke(main.app, list(words), input=answer, catch_exceptions=False)

    return run


def test_the_price_is_said_before_it_is_paid(imgrid: Run, tmp_path: Path) -> None:
    """The price in full canvases stands beside that of asking alone; who declines pays nothing."""
    result = imgrid("run", "photos", answer="n\n")
    assert "12 photos: about 0.00 USD in full canvases, instead of 0.01" in result.output
    assert "Go on?" in result.output
    assert result.exit_code == 1
    assert not list(tmp_path.glob("results/part-*"))


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_run_writes_its_rows_and_its_summary(
    imgrid: Run, tmp_path: Path, file_format: str
) -> None:
    """With --yes it runs at once; the table and the summary have the same sums."""
    result = imgrid("run", "photos", "--yes", "--format", file_format, "--chunk", "5")
    assert result.exit_code == 0, result.output
    assert len(list(tmp_path.glob(f"results/part-*.{file_format}"))) == 3
    summary = json.loads((tmp_path / "results/summary.json").read_text())
    assert (summary["answered"], summary["end"]) == (PHOTOS, "done")
    assert summary["images"] == pytest.approx(PHOTOS / 4)
    assert "75 %" in result.output


def test_running_answers_are_printed(imgrid: Run) -> None:
    """The answers asked for stand under the table, with their intervals."""
    result = imgrid("run", "photos", "--yes", "--aggregate", "share(red), mean(red)")
    assert "share(red) 1 (1 to 1)" in result.output
    assert "mean(red) 1 (1 to 1)" in result.output


def test_a_page_is_open_while_the_run_goes_on(imgrid: Run) -> None:
    """With --live the page's address on this machine is said first."""
    result = imgrid("run", "photos", "--yes", "--live", "--until", "share(red) +- 0.01")
    assert re.search(r"live page: http://127\.0\.0\.1:\d+/", result.output)
    assert result.exit_code == 0


def test_photos_that_fail_are_listed(imgrid: Run, tmp_path: Path) -> None:
    """A photo that cannot be read is named, and the run goes on."""
    (tmp_path / "photos/03.png").write_bytes(b"oops")
    result = imgrid("run", "photos", "--yes")
    assert result.exit_code == 0
    assert "failed: 03.png: The photo is not a picture" in result.output


def test_a_limit_ends_the_run_with_its_own_status(imgrid: Run) -> None:
    """A run that ends at its limit says so, and how to go on."""
    result = imgrid("run", "photos", "--yes", "--limit-usd", "0.0021", "--in-flight", "1")
    assert result.exit_code == 4
    assert "the next photo might pass --limit-usd" in result.output
    assert "go on from here with the same command" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: there is no such folder or file"),
        (["photos", "--route", "text"], "there is no route 'text'; there are objects"),
        (["photos", "--deadline", "soon"], "--deadline soon: write a number and s, m, h or d"),
        (["photos", "--until", "share(red)"], "share"),
        (["photos", "--out", "imgrid.yaml"], "--out imgrid.yaml: cannot be written"),
    ],
)
def test_what_is_wrong_is_named(imgrid: Run, words: list[str], message: str) -> None:
    """An option or a source that cannot be used is an error that says so."""
    with pytest.raises(ConfigError, match=message):
        imgrid("run", *words)


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("90s", 90), ("1.5h", 5400), ("2D", 172_800)]
)
def test_a_deadline_is_a_number_and_a_unit(text: str | None, seconds: float | None) -> None:
    """A deadline is read as its seconds."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "0s", "9999d", "1w", "nanh", "infs"])
def test_another_deadline_is_refused(text: str) -> None:
    """Anything else is an error."""
    with pytest.raises(ConfigError, match="--deadline"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("forecast", "lasts_s", "lines"),
    [
        (RunForecast(10, 0, 0, 0), None, ["nothing is billed", "once the first photos"]),
        (RunForecast(10, 1, 3, 4), None, ["1.00 to 3.00 USD[/] in full canvases, instead of 4.00"]),
        (RunForecast(10, 1, 3, 4, 2.5), None, ["about [bold]2.50 USD[/] by the plan"]),
        (RunForecast(10, 0, 0, 0, None, 11_400), None, ["about 3 h 10 min on this machine"]),
        (
            RunForecast(1000, 0, 0, 0, None, 200),
            100.0,
            ["longer than --deadline: about 500 photos"],
        ),
    ],
)
def test_the_forecast_is_in_words(
    forecast: RunForecast, lasts_s: float | None, lines: list[str]
) -> None:
    """Price and time are told in words that fit what is known."""
    text = "\n".join(forecast_lines(forecast, lasts_s))
    assert all(line in text for line in lines)


def test_times_are_for_people() -> None:
    """Seconds, minutes, hours and minutes."""
    assert [time_text(each) for each in (5, 119, 3600, 11_400)] == [
        "5 s",
        "2 min",
        "1 h 00 min",
        "3 h 10 min",
    ]
