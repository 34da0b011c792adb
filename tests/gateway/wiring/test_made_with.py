"""A cascade knows what it was made with, and a route says where it differs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import generate_latest

from gateway.config.errors import ConfigError
from gateway.observe.log import write_mismatches
from gateway.testing.gateway import parts_of, serving
from gateway.wiring.parts import Parts
from thresholds import cascade as cascades
from thresholds.cascade import Cascade
from thresholds.made_with import MadeWith, made_with_in, made_with_of

EYE = {"kind": "shapes", "canvas": "640x640"}
MADE_WITH = {"task": "objects", "kind": "shapes", "canvas": "640x640"}


def parts(folder: Path, made_with: Mapping[str, Any] | None) -> Parts:
    """A gateway with a route for objects whose cascade was made with that."""
    content: dict[str, Any] = {"stages": [{"shape": "2x2"}]}
    if made_with is not None:
        content["made_with"] = made_with
    (folder / "cascade.json").write_text(json.dumps(content))
    route = {"task": "objects", "provider": "eye", "cascade": "cascade.json"}
    return parts_of(folder, {"providers": {"eye": EYE}, "routes": [route]})


def test_the_same_provider_is_no_mismatch(tmp_path: Path) -> None:
    """A route whose provider is the measured one says nothing."""
    gateway = parts(tmp_path, MADE_WITH)
    assert gateway.routes["objects"].mismatches == []
    assert b"imgrid_cascade_mismatch{" not in generate_latest(gateway.metrics.registry)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kind": "rekognition"}, "kind"),
        ({"canvas": "1280x1280"}, "canvas"),
        ({"model": "0123456789abcdef"}, "model"),
        ({"vocabulary": "coco"}, "vocabulary"),
    ],
)
def test_another_provider_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Mapping[str, str], what: str
) -> None:
    """Another kind, canvas, model or vocabulary is told in the log and the metrics, and the gateway
    starts."""
    gateway = parts(tmp_path, {**MADE_WITH, **change})
    (mismatch,) = gateway.routes["objects"].mismatches
    assert (mismatch.what, mismatch.made_with) == (what, change[what])
    exposed = generate_latest(gateway.metrics.registry).decode()
    assert f'imgrid_cascade_mismatch{{route="objects",what="{what}"}} 1.0' in exposed
    with caplog.at_level(logging.WARNING, logger="imgrid"):
        write_mismatches(gateway.routes.values())
    assert f"route objects: its cascade was made with {what} {change[what]}, not " in caplog.text


def test_routes_shows_the_mismatch(tmp_path: Path) -> None:
    """`GET /v1/routes` has what differs, with both values."""
    gateway = parts(tmp_path, {**MADE_WITH, "canvas": "1280x1280"})
    with serving(gateway) as url:
        (route,) = httpx.get(f"{url}/v1/routes").json()["routes"]
    assert route["mismatches"] == [{"what": "canvas", "made_with": "1280x1280", "route": "640x640"}]


@pytest.mark.parametrize("canvas", ["640x640", "320x320"])
def test_another_provider_of_a_stage_is_a_warning_that_names_it(
    tmp_path: Path, canvas: str
) -> None:
    """What the cascade was made with is compared for the providers of its stages, too, each by its
    name: the thresholds hold for their scores."""
    rule = {"kind": "onward"}
    stages = [{"shape": "1x1", "provider": "small", "rule": rule}, {"shape": "1x1"}]
    others = {"small": {**MADE_WITH, "canvas": canvas}}
    content = {"stages": stages, "made_with": MADE_WITH, "made_with_others": others}
    (tmp_path / "cascade.json").write_text(json.dumps(content))
    route = {"task": "objects", "provider": "eye", "cascade": "cascade.json"}
    config = {"providers": {"eye": EYE, "small": EYE}, "routes": [route]}
    mismatches = parts_of(tmp_path, config).routes["objects"].mismatches
    assert [str(each) for each in mismatches] == (
        [] if canvas == "640x640" else ["small's canvas 320x320, not 640x640"]
    )


def test_another_task_stops_the_start(tmp_path: Path) -> None:
    """A cascade for another task is an error that names both, and the way out."""
    with pytest.raises(ConfigError, match=r"cascade\.json was made for text.*profile this route"):
        parts(tmp_path, {**MADE_WITH, "task": "text"})


@pytest.mark.parametrize("made_with", [None, {**MADE_WITH, "later": "field"}])
def test_files_of_other_releases_are_read(
    tmp_path: Path, made_with: Mapping[str, Any] | None
) -> None:
    """A cascade of an older release does not say what it was made with, and one of a later release
    may say more: both are used."""
    assert parts(tmp_path, made_with).routes["objects"].mismatches == []


def test_it_is_kept_in_the_cascades_file(tmp_path: Path) -> None:
    """What a cascade was made with is written and read with it."""
    made_with = MadeWith(**MADE_WITH, model="0123456789abcdef", vocabulary="coco")
    cascade = Cascade.model_validate({"stages": [{"shape": "2x2"}], "made_with": made_with})
    cascades.save(cascade, tmp_path / "cascade.json")
    assert cascades.load(tmp_path / "cascade.json").made_with == made_with


def test_a_profiles_note_says_it_in_full(tmp_path: Path) -> None:
    """The note beside a profile's answers gives kind, canvas, digest of the model, and vocabulary
    with the digest of the labels; a profile without one gives nothing."""
    origin = {
        "task": "objects",
        "border": "none",
        "provider": {"kind": "onnx", "canvas": "640x640", "model": "m.onnx", "vocabulary": "auto"},
        "sha256": {"model": "aa", "labels": "bb"},
    }
    (tmp_path / "made-with.json").write_text(json.dumps(origin))
    expected = {"kind": "onnx", "canvas": "640x640", "model": "aa", "vocabulary": "auto bb"}
    assert made_with_in(tmp_path) == made_with_of(origin) == MadeWith(task="objects", **expected)
    assert made_with_in(tmp_path / "none") is None


def test_a_profile_writes_it_into_its_cascade(tmp_path: Path) -> None:
    """The cascade that `imgrid profile` writes fits the route it was made for, and says so when the
    canvas is changed."""
    from typer.testing import CliRunner

    from gateway.cli import main
    from gateway.testing.pictures import Block, drawn, encoded

    (tmp_path / "photos").mkdir()
    for number in range(4):
        photo = drawn((120, 90), Block("red", 10, 10, 60 + 5 * number, 60))
        (tmp_path / f"photos/{number}.png").write_bytes(encoded(photo))
    route = {"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]}
    config = tmp_path / "imgrid.yaml"
    config.write_text(yaml.safe_dump({"providers": {"eye": EYE}, "routes": [route]}))
    words = ["profile", "-c", config, "--photos", tmp_path / "photos", "--out", tmp_path / "out"]
    words += ["--shapes", "1x1,2x2", "--groupings", "1", "--cascade", "2x2,1x1", "--yes"]
    result = CliRunner().invoke(main.app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    file = tmp_path / "out/cascade-2x2-1x1.json"
    assert cascades.load(file).made_with == MadeWith(**MADE_WITH)
    changed = {"task": "objects", "provider": "eye", "cascade": str(file)}
    eye = {**EYE, "canvas": "320x320"}
    gateway = parts_of(tmp_path, {"providers": {"eye": eye}, "routes": [changed]})
    assert [mismatch.what for mismatch in gateway.routes["objects"].mismatches] == ["canvas"]
