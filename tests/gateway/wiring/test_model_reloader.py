"""A provider takes a new model while photos are answered, or says why not."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from gateway.core.clock import steady
from gateway.observe.metrics import Metrics
from gateway.testing.gateway import parts_of, routing_of, serving
from gateway.testing.pictures import drawn, encoded
from gateway.wiring.model_reloader import ModelReloader
from gateway.wiring.parts import Parts
from providers.base import Picture
from providers.detection import Task
from providers.engine.worker import LocalProvider
from providers.options import Options, about_of
from tests.support.configs import ALONE, refusal
from tests.support.inference_server import write_network
from tests.support.waiting import block_until
from thresholds.made_with import Mismatch

ANIMALS = ("cat", "dog")
NET: dict[str, Any] = {"kind": "onnx", "model": "net.onnx", "labels": "names.txt"}
ROUTE: dict[str, Any] = {"task": "objects", "provider": "det", **ALONE}
PHOTO = encoded(drawn((64, 64)))


def put_network(folder: Path, animal: str, labels: tuple[str, ...] = ANIMALS) -> None:
    """Puts a network in place that always detects that animal."""
    logits = [9.0 * (each == animal) for each in (*labels, "nothing")]
    outputs = {"logits": [[logits]], "pred_boxes": [[[0.5, 0.5, 0.4, 0.2]]]}
    write_network(folder / "next.onnx", outputs)
    (folder / "next.onnx").rename(folder / "net.onnx")
    (folder / "names.txt").write_text("\n".join(labels))


def digest_of(file: Path) -> str:
    """The digest of a file, as cascades have it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def gateway(folder: Path, reload_s: float = 60.0, **route: Any) -> Parts:
    """A gateway whose provider `det` detects cats."""
    put_network(folder, "cat")
    providers = {"det": {**NET, "reload_s": reload_s}}
    return parts_of(folder, {"providers": providers, "routes": [{**ROUTE, **route}]})


async def look_twice(parts: Parts) -> bool:
    """Whether the provider takes other files, which it does once they rest."""
    await parts.reloader.reload("det")
    return await parts.reloader.reload("det")


async def label(parts: Parts) -> str:
    """What the provider detects."""
    picture = Picture(64, 64, pixels=Image.new("RGB", (64, 64)))
    (detection,) = await parts.providers["det"].detect(picture, Task.OBJECTS)
    return detection.label


async def test_a_new_file_is_taken_when_it_rests(tmp_path: Path) -> None:
    """A model that was replaced is in service from the second look on that finds it unchanged."""
    parts = gateway(tmp_path)
    assert not await look_twice(parts)
    put_network(tmp_path, "dog")
    assert not await parts.reloader.reload("det")
    assert await label(parts) == "cat"
    assert await parts.reloader.reload("det")
    assert await label(parts) == "dog"
    assert not await look_twice(parts)


@pytest.mark.parametrize(
    ("labels", "content", "reason"),
    [
        (ANIMALS, b"no network", r"net\.onnx cannot be loaded by ONNX Runtime"),
        (("cat", "cow"), None, r"labels \('cat', 'cow'\), not \('cat', 'dog'\).*restart"),
        (("cat", "dog", "cow"), None, r"labels \('cat', 'dog', 'cow'\), not \('cat', 'dog'\)"),
    ],
)
async def test_a_file_that_does_not_fit_is_logged_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    labels: tuple[str, ...],
    content: bytes | None,
    reason: str,
) -> None:
    """A file that cannot be loaded, or has other labels, leaves the model in service; the log says
    why, once, until a file that fits is taken."""
    parts = gateway(tmp_path)
    put_network(tmp_path, "cat", labels)
    if content:
        (tmp_path / "net.onnx").write_bytes(content)
    with caplog.at_level(logging.WARNING, logger="imgrid"):
        for _ in range(2):
            assert not await look_twice(parts)
    (line,) = caplog.messages
    assert line.startswith("provider det: its files have changed and cannot be used")
    assert re.search(reason, line)
    assert await label(parts) == "cat"
    assert "det" in parts.reloader.problems
    put_network(tmp_path, "dog")
    assert await look_twice(parts)
    assert await label(parts) == "dog"
    assert parts.reloader.problems == {}


async def test_a_swap_has_room_for_both_models(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A new model that finds no room beside the one in service in the account is not taken, and the
    log names the setting and what each takes."""
    put_network(tmp_path, "cat")
    config = {
        "providers": {"det": {**NET, "reload_s": 60.0}},
        "routes": [ROUTE],
        "engine": {"memory_mb": 1e6},
    }
    routing = routing_of(tmp_path, config)
    reloader = ModelReloader(routing, Metrics(), steady())
    routing.account.charge("other", local_of(10**12 - routing.account.total_bytes))
    put_network(tmp_path, "dog")
    await reloader.reload("det")
    with caplog.at_level(logging.WARNING, logger="imgrid"):
        assert not await reloader.reload("det")
    assert re.search(r"beside det \d+ MB, other \d+ MB: .* engine.memory_mb is 1e\+06", caplog.text)


def local_of(memory_bytes: int) -> LocalProvider:
    """A provider whose networks took so much memory."""
    about = about_of("other", Options(kind="test"), frozenset({Task.OBJECTS}))
    return LocalProvider(about, lambda image: [], 1000, memory_bytes=memory_bytes)


def test_networks_beyond_the_account_stop_the_start(tmp_path: Path) -> None:
    """Networks that take more than `engine.memory_mb` together are an error that names the setting,
    what each takes, and the way out."""
    put_network(tmp_path, "cat")
    content = {
        "providers": {"one": NET, "two": NET},
        "routes": [{**ROUTE, "provider": "one"}],
        "engine": {"memory_mb": 1e-4},
    }
    file = tmp_path / "imgrid.yaml"
    file.write_text(json.dumps(content))
    assert "providers.one: its networks take " in (text := refusal(file))
    assert "engine.memory_mb is 0.0001; raise it, or " in text


def test_no_answer_of_an_earlier_model_comes_from_the_cache(tmp_path: Path) -> None:
    """Once a model is replaced, a photo that was answered before gets the new model's answer, and
    when the first is back, its own again."""
    with serving(gateway(tmp_path, reload_s=0.01, cache={})) as url, httpx.Client() as client:

        def answer() -> tuple[str, str]:
            reply = client.post(f"{url}/v1/detect?task=objects", content=PHOTO).json()
            (photo,) = reply["photos"]
            return photo["detections"][0]["label"], photo["trail"][0]["reason"]

        first, second = answer(), answer()
        assert (first[0], second) == ("cat", ("cat", "repeat"))
        put_network(tmp_path, "dog")
        block_until(lambda: answer()[0] == "dog")
        assert block_until(lambda: answer()[1] == "repeat")
        put_network(tmp_path, "cat")
        assert block_until(lambda: answer() == ("cat", "repeat"))


async def test_a_route_says_that_its_cascade_is_of_another_model(tmp_path: Path) -> None:
    """A cascade that was made with the first model is a mismatch with the second, and none when the
    first is back."""
    put_network(tmp_path, "cat")
    digest, labels = digest_of(tmp_path / "net.onnx"), digest_of(tmp_path / "names.txt")
    made_with = {"task": "objects", "kind": "onnx", "canvas": "640x640"}
    made_with |= {"model": digest, "vocabulary": f"auto {labels}"}
    cascade = {"stages": [{"shape": "1x1"}], "made_with": made_with}
    (tmp_path / "cascade.json").write_text(json.dumps(cascade))
    route = {"task": "objects", "provider": "det", "cascade": "cascade.json"}
    parts = parts_of(tmp_path, {"providers": {"det": {**NET, "reload_s": 60}}, "routes": [route]})
    mismatches = parts.routes["objects"].mismatches
    assert mismatches == []
    put_network(tmp_path, "dog")
    assert await look_twice(parts)
    assert mismatches == [Mismatch("model", digest, digest_of(tmp_path / "net.onnx"))]
    put_network(tmp_path, "cat")
    assert await look_twice(parts)
    assert mismatches == []


async def test_a_refused_model_is_a_problem_of_a_ready_gateway(tmp_path: Path) -> None:
    """`/readyz` says why a new model is not in service, and that photos are answered."""
    with serving(gateway(tmp_path, reload_s=0.01)) as url:
        (tmp_path / "net.onnx").write_bytes(b"no network")
        state = block_until(
            lambda: (now := httpx.get(f"{url}/readyz").json())["problems"] and now, 60
        )
    assert state["ready"]
    assert "det" in state["problems"]


def test_a_route_that_learns_takes_one_model(tmp_path: Path) -> None:
    """`cascade: auto` and `reload_s` are refused together: what was learned holds for one model."""
    put_network(tmp_path, "cat")
    content = {
        "providers": {"det": {**NET, "reload_s": 1}},
        "routes": [{"task": "objects", "provider": "det", "cascade": "auto", "max_drop": 0.02}],
    }
    file = tmp_path / "imgrid.yaml"
    file.write_text(json.dumps(content))
    assert "providers.det.reload_s takes others while it runs" in refusal(file)


def test_a_model_that_fails_at_its_mini_batch_never_gets_ready(tmp_path: Path) -> None:
    """The start runs the mini-batch before there is a port that could say ready: a network that
    cannot take it ends the start."""
    put_network(tmp_path, "cat")
    content = {"providers": {"det": {**NET, "mini_batch": 4}}, "routes": [ROUTE]}
    file = tmp_path / "imgrid.yaml"
    file.write_text(json.dumps(content))
    assert "providers.det: provider det: mini_batch: 4, but net.onnx" in refusal(file)
