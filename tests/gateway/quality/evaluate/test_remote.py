"""`imgrid evaluate --url`: photos through a running gateway."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import Result
from fastapi import FastAPI
from httpx import Response
from typer.testing import CliRunner

from gateway.api import server
from gateway.cli import main
from gateway.config.errors import ConfigError
from gateway.quality.evaluate import remote
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.errors import Misconfigured

COUNT = 8
KEYS = [{"name": "shop", "keys": [{"dialect": "native", "key": "sesame"}]}]
ROUTE = {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}], "max_wait_ms": 2000}


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Options that name eight photos of one red block each, and their ground truth."""
    folder = tmp_path / "photos"
    folder.mkdir()
    images, boxes = [], []
    for number in range(COUNT):
        side = 50 + 4 * number
        (folder / f"{number}.png").write_bytes(
            encoded(drawn((120, 90), Block("red", 10, 10, 10 + side, 40)))
        )
        images.append({"id": number, "file_name": f"{number}.png", "width": 120, "height": 90})
        boxes.append(
            {"id": number + 1, "image_id": number, "category_id": 1, "bbox": [10, 10, side, 30]}
        )
    truth = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "red"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    return ["--photos", str(folder), "--truth", str(tmp_path / "truth.json")]


def evaluate(*words: str, answer: str = "y\n", **environment: str) -> Result:
    """The result of the command with these words, after this answer to its question."""
    return CliRunner().invoke(
        main.app, ["evaluate", *words], input=answer, env={"COLUMNS": "200", **environment}
    )


def gateway(
    folder: Path, eye: ScriptedProvider | None = None, **changes: Any
) -> AbstractContextManager[str]:
    """The address of a gateway that runs while the block lasts."""
    config = {"providers": {"eye": {"kind": "shapes"}}, "routes": [ROUTE], **changes}
    return serving(parts_of(folder, config, {"eye": eye or ScriptedProvider()}))


def words_by_line(result: Result) -> list[list[str]]:
    """The words of each line of the output; the command must have succeeded."""
    assert result.exit_code == 0, (result.output, result.exception)
    return [line.split() for line in click.unstyle(result.output).splitlines()]


def test_target_and_exact_are_compared_by_their_bills(tmp_path: Path, photos: list[str]) -> None:
    """The gateway is asked for target and exact, and one table compares them by their bills."""
    with gateway(tmp_path) as url:
        lines = words_by_line(evaluate("--url", url, *photos, "--clients", str(COUNT)))
    (exact,) = [row for row in lines if row[:2] == ["exact", "1.000"]]
    (target,) = [row for row in lines if row[:2] == ["target:", "2x2"]]
    assert exact[1:5] == ["1.000", "0.0%", "1.000", "+0.000"]
    assert target[2:6] == ["0.250", "75.0%", "1.000", "+0.000"]


def test_it_asks_nothing_before_the_user_agrees(tmp_path: Path, photos: list[str]) -> None:
    """The command names the number of images it may need, and asks nothing until the user
    agrees."""
    eye = ScriptedProvider()
    with gateway(tmp_path, eye) as url:
        result = evaluate("--url", url, *photos, answer="n\n")
    assert "8 photos by exact and target" in result.output
    assert "about 10 images" in result.output
    assert result.exit_code == 1
    assert eye.calls == 0


def test_each_quality_is_a_row(tmp_path: Path, photos: list[str]) -> None:
    """Each quality is a row; the companion's stage does not count in the price."""
    route = {
        **ROUTE,
        "companion": "det",
        "stages": [
            {"shape": "1x1", "provider": "det", "rule": {"kind": "onward"}},
            {"shape": "2x2", "rule": {"kind": "imgrid", "area": {"mean": 0.9}}},
            {"shape": "1x1"},
        ],
    }
    providers = {"eye": {"kind": "shapes"}, "det": {"kind": "shapes"}}
    with gateway(tmp_path, routes=[route], providers=providers) as url:
        words = ["--quality", "target", "--quality", "cheapest", "--clients", str(COUNT)]
        result = evaluate("--url", url, *photos, *words)
    assert "about 20 images" in result.output  # exact 8, target 2 + 8, cheapest 2
    lines = words_by_line(result)
    assert ["target:", "2x2,", "1x1", "1.250", "-25.0%"] in [row[:5] for row in lines]
    assert ["cheapest", "0.250", "75.0%"] in [row[:3] for row in lines]


def test_an_unknown_quality_is_named_before_asking(photos: list[str]) -> None:
    """An unknown quality is named before anything is asked."""
    result = evaluate("--url", "http://127.0.0.1:1", "--quality", "best", *photos)
    with pytest.raises(ConfigError, match="--quality best: there are exact, target, cheapest"):
        raise result.exception


def test_the_key_comes_from_an_option_or_the_environment(tmp_path: Path, photos: list[str]) -> None:
    """The key comes from the option or the environment; the error for a missing or wrong key says
    how to give it."""
    with gateway(tmp_path, tenants=KEYS) as url:
        words = ["--url", url, *photos, "--clients", str(COUNT), "--quality", "exact"]
        assert evaluate(*words, "--key", "sesame").exit_code == 0
        assert evaluate(*words, IMGRID_KEY="sesame").exit_code == 0
        for more in ([], ["--key", "open"]):
            with pytest.raises(ConfigError, match="Give a tenant's with --key or IMGRID_KEY"):
                raise evaluate(*words, *more).exception


def test_an_address_without_a_listener_is_reported(photos: list[str]) -> None:
    """An address without a listener is reported."""
    with pytest.raises(ConfigError, match=r"--url http://127\.0\.0\.1:1: nobody answers there"):
        raise evaluate("--url", "http://127.0.0.1:1", *photos).exception


def test_an_address_without_a_protocol_is_reported(photos: list[str]) -> None:
    """An address without its protocol is reported as such."""
    with pytest.raises(ConfigError, match="missing an 'http://'"):
        raise evaluate("--url", "127.0.0.1:1", *photos).exception


def test_another_server_is_not_taken_for_a_gateway(photos: list[str]) -> None:
    """Another server is not taken for a gateway."""
    with server.serving(FastAPI()) as url:
        result = evaluate("--url", url, *photos)
    with pytest.raises(
        ConfigError, match=r"does not answer as a gateway does \(GET /v1/routes: 404\)"
    ):
        raise result.exception


def test_an_unknown_route_is_refused_with_the_known_ones(tmp_path: Path, photos: list[str]) -> None:
    """The error for a route unknown to this client names the known ones."""
    with gateway(tmp_path) as url:
        result = evaluate("--url", url, "--route", "faces", *photos)
    with pytest.raises(
        ConfigError, match="there is no route 'faces' for this client; there are objects"
    ):
        raise result.exception


def test_cascade_files_do_not_go_with_a_running_gateway(photos: list[str]) -> None:
    """A running gateway uses its own cascades, so cascade files are refused."""
    with pytest.raises(ConfigError, match="leave out --cascade"):
        raise evaluate("--url", "http://127.0.0.1:1", "--cascade", "some.json", *photos).exception


def test_failed_photos_count_by_error_and_others_by_wait(tmp_path: Path, photos: list[str]) -> None:
    """Photos without an answer are counted by their error, and the others by their waiting time."""
    eye = ScriptedProvider(errors=[Misconfigured("no")] * 3, about=about("eye"))
    with gateway(tmp_path, eye) as url:
        lines = words_by_line(
            evaluate("--url", url, *photos, "--quality", "exact", "--clients", "1")
        )
    (row,) = [row for row in lines if row[:2] == ["exact", "5"]]
    assert row[4:] == ["3", "upstream_failed"]
    assert float(row[2]) <= float(row[3])


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (httpx.Response(429, json={"error": {"code": "busy", "message": "Later."}}), "busy"),
        (httpx.Response(502, text="<html>"), "status_502"),
        (httpx.Response(200, text="<html>"), "status_200"),
    ],
)
def test_a_refusal_counts_by_code_or_status(response: Response, code: str) -> None:
    """A refusal counts by its code; a foreign one, such as a proxy's, by its status."""
    assert remote.reply_of(response, 0.5) == remote.PhotoReply((), 0.0, 0.5, code)
