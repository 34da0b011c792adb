"""Kind `kserve`: what a server answers by the Open Inference Protocol is read as if the network ran
here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from providers.detection import Task
from providers.errors import Misconfigured, NoAnswer, Throttled, Unavailable
from providers.kserve import protocol
from tests.support.paths import MODELS, VOC

DETR = {
    "logits": [[[9.0, 0.0, 0.0], [0.0, 2.0, 1.0]]],
    "pred_boxes": [[[0.5, 0.5, 0.4, 0.2], [0.3, 0.3, 0.1, 0.1]]],
}
LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
async def asking(make: Callable[..., Any], tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """`asking(url, **settings)`: a provider of the kind for the model "net" and small inputs,
    closed at the end."""
    made = []
    usual = {"model": "net", "labels": "names.txt", "input_size": "96x96"}
    (tmp_path / "names.txt").write_text("cat\ndog\n")

    def start(url, **settings):
        made.append(make("kserve", tmp_path, **{"endpoint": url, **usual, **settings}))
        return made[-1]

    yield start
    for each in made:
        await each.close()


@pytest.fixture
def served(
    inference: Callable[..., Any], network: Callable[..., Any], tmp_path: Path
) -> Callable[..., Any]:
    """`served(outputs, sides, inputs, **settings)`: address and server of a network that answers
    always that."""

    def start(outputs=DETR, sides=("h", "w"), inputs=None, **settings):
        return inference(network(tmp_path / "net.onnx", outputs, sides, inputs), **settings)

    return start


async def ask(provider, picture, size=(200, 100)):
    return await provider.detect(picture(Image.new("RGB", size)), Task.OBJECTS)


class TestAnswers:
    @pytest.mark.parametrize("binary", [True, False])
    async def test_same_as_here(
        self,
        served: Callable[..., Any],
        asking: Callable[..., Any],
        make: Callable[..., Any],
        picture: Callable[..., Any],
        tmp_path: Path,
        binary: bool,
    ) -> None:
        """In binary or in JSON, it sees what the kind `onnx` sees with the same network."""
        url, server = served(binary=binary)
        found = await ask(asking(url), picture)
        assert found == await ask(
            make("onnx", tmp_path, model="net.onnx", labels="names.txt", input_size="96x96"),
            picture,
        )
        assert [each.label for each in found] == ["cat", "dog"]
        asked = server.requests[-1]
        assert (LENGTH in asked.headers) == binary
        assert (len(asked.body) == int(asked.headers.get(LENGTH, 0)) + 96 * 96 * 3 * 4) == binary

    async def test_looked_for_once(
        self, served: Callable[..., Any], asking: Callable[..., Any], picture: Callable[..., Any]
    ) -> None:
        """What the model is like is asked once: its metadata, the server's, a grey picture; then
        one call a picture."""
        url, server = served()
        provider = asking(url)
        for _ in range(2):
            await ask(provider, picture)
        paths = [asked.path for asked in server.requests]
        assert paths == ["/v2/models/net", "/v2", *["/v2/models/net/infer"] * 3]

    async def test_mask(
        self, served: Callable[..., Any], asking: Callable[..., Any], picture: Callable[..., Any]
    ) -> None:
        """A network that wants a mask of the picture gets one, as with kind `onnx`."""
        url, server = served(inputs={"pixel_mask": [1, "h", "w"]})
        assert await ask(asking(url, input_size="96x128"), picture)
        head = json.loads(server.requests[-1].body[: int(server.requests[-1].headers[LENGTH])])
        assert [(each["name"], each["shape"]) for each in head["inputs"]] == [
            ("pixel_values", [1, 3, 128, 96]),
            ("pixel_mask", [1, 128, 96]),
        ]

    async def test_version_and_headers(
        self, served: Callable[..., Any], asking: Callable[..., Any], picture: Callable[..., Any]
    ) -> None:
        """A version is part of the path; a token and further headers go with every request."""
        url, server = served()
        provider = asking(url, model="a/b", version="3", token="secret", headers={"X-Team": "eyes"})
        await provider.ready()
        await ask(provider, picture)
        paths = {asked.path for asked in server.requests}
        assert paths == {
            "/v2",
            *(f"/v2/models/a%2Fb/versions/3{end}" for end in ("", "/ready", "/infer")),
        }
        assert {asked.headers["Authorization"] for asked in server.requests} == {"Bearer secret"}
        assert {asked.headers["X-Team"] for asked in server.requests} == {"eyes"}

    async def test_another_version(
        self,
        served: Callable[..., Any],
        asking: Callable[..., Any],
        picture: Callable[..., Any],
        inference: Callable[..., Any],
        network: Callable[..., Any],
        tmp_path: Path,
    ) -> None:
        """Once the model's outputs are of other shapes, that answer is lost and the model is looked
        for again."""
        url, server = served()
        provider = asking(url)
        assert len(await ask(provider, picture)) == 2
        one = {name: [rows[0][:1]] for name, rows in DETR.items()}
        server.session = inference(network(tmp_path / "other.onnx", one))[1].session
        with pytest.raises(NoAnswer, match="other shapes"):
            await ask(provider, picture)
        assert len(await ask(provider, picture)) == 1

    @pytest.mark.skipif(
        not (MODELS.exists() and VOC.exists()), reason="needs ../shared with models and voc-dev"
    )
    @pytest.mark.parametrize(
        ("model", "size"), [("yolox_nano", "416x416"), ("nanodet_m_320", None)]
    )
    async def test_real_photo(
        self,
        inference: Callable[..., Any],
        asking: Callable[..., Any],
        make: Callable[..., Any],
        picture: Callable[..., Any],
        model: str,
        size: str | None,
    ) -> None:
        """A real network on a server sees on a real photo what it sees here."""
        url, _ = inference(MODELS / f"{model}.onnx")
        files = {"labels": MODELS / "coco80.txt", "input_size": size}
        with Image.open(min((VOC / "images").iterdir())) as photo:
            shown = picture(photo.convert("RGB"))
        there = await asking(url, **files).detect(shown, Task.OBJECTS)
        here = await make("onnx", MODELS, model=f"{model}.onnx", **files).detect(
            shown, Task.OBJECTS
        )
        assert there
        assert [each.label for each in there] == [each.label for each in here]
        for one, other in zip(there, here, strict=True):
            assert (one.score, *one.box) == pytest.approx((other.score, *other.box), abs=1e-5)


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (429, Throttled),
            (503, Unavailable),
            (500, Unavailable),
            (504, NoAnswer),
            (400, Misconfigured),
            (401, Misconfigured),
            (404, Misconfigured),
            (413, Misconfigured),
            (302, Misconfigured),
        ],
    )
    async def test_translated(
        self,
        served: Callable[..., Any],
        asking: Callable[..., Any],
        picture: Callable[..., Any],
        status: int,
        kind: type,
    ) -> None:
        """Each status is the common error that says what to do, with the server's own words."""
        url, server = served()
        provider = asking(url)
        await ask(provider, picture)
        server.instead["/infer"] = status, {"Retry-After": "7"}, {"error": "the server's own words"}
        with pytest.raises(kind, match="the server's own words") as raised:
            await ask(provider, picture)
        assert getattr(raised.value, "retry_after_s", 7) == 7

    async def test_labels(
        self, served: Callable[..., Any], asking: Callable[..., Any], picture: Callable[..., Any]
    ) -> None:
        """Labels that do not fit the model's classes are an error with both numbers, though the
        file is there."""
        url, _ = served({"logits": [[[0.0] * 9]], "pred_boxes": [[[0.0] * 4]]})
        with pytest.raises(
            Misconfigured, match=r"has 2 lines, but .*net have classes for 9 \(sigmoid\) or 8"
        ):
            await ask(asking(url), picture)

    @pytest.mark.parametrize(
        "outputs", [{"boxes": [[1.0]]}, {"logits": [[0.0, 1.0, 0.0]], "pred_boxes": [[0.0]]}]
    )
    async def test_strange_outputs(
        self,
        served: Callable[..., Any],
        asking: Callable[..., Any],
        picture: Callable[..., Any],
        outputs: dict[str, list[list[float]]],
    ) -> None:
        """A network that cannot be read is an error that shows its outputs."""
        with pytest.raises(Misconfigured, match=r"layout: .*\(1, "):
            await ask(asking(served(outputs)[0]), picture)

    @pytest.mark.parametrize(
        ("inputs", "says"),
        [
            ([], r"input of net is  \[\]"),
            ([{"name": "x", "datatype": "UINT8", "shape": [1, 3, -1, -1]}], "is UINT8"),
            (
                [{"name": "x", "datatype": "FP32", "shape": [1, -1, -1, 4, 3]}],
                r"expected FP32 or FP16 \[n, 3, ",
            ),
            (
                [{"name": "x", "datatype": "FP32", "shape": [1, 3, 64, 64]}],
                "input_size: 96x96.*fixed at 64x64",
            ),
        ],
    )
    async def test_inputs(
        self,
        served: Callable[..., Any],
        asking: Callable[..., Any],
        picture: Callable[..., Any],
        inputs: list[Any] | list[dict[str, list[int] | str]],
        says: str,
    ) -> None:
        """So is a model whose input is none for pictures."""
        url, server = served()
        outputs = [{"name": "x", "datatype": "FP32", "shape": []}]
        server.instead["/v2/models/net"] = 200, {}, {"inputs": inputs, "outputs": outputs}
        with pytest.raises(Misconfigured, match=says):
            await ask(asking(url), picture)

    @pytest.mark.parametrize("body", [b"", b"{", {"inputs": 3}, b"[" * 60_000])
    async def test_no_metadata(
        self,
        served: Callable[..., Any],
        asking: Callable[..., Any],
        picture: Callable[..., Any],
        body: bytes | dict[str, int],
    ) -> None:
        """And so is a server that speaks something else."""
        url, server = served()
        server.instead["/v2/models/net"] = 200, {}, body
        with pytest.raises(Misconfigured, match="Open Inference Protocol"):
            await ask(asking(url), picture)

    async def test_not_found_yet(
        self, served: Callable[..., Any], asking: Callable[..., Any], picture: Callable[..., Any]
    ) -> None:
        """A server that goes away while it is asked about the model has been asked about no
        picture: nothing is billed."""
        url, server = served()
        server.instead["/infer"] = None
        with pytest.raises(Unavailable, match="hung up"):
            await ask(asking(url), picture)

    def test_missing_labels(self, make: Callable[..., Any], tmp_path: Path) -> None:
        """Labels that are not there stop the start; a server that is not does not."""
        with pytest.raises(Misconfigured, match="my-kserve: labels: there is no file"):
            make("kserve", tmp_path, endpoint="http://127.0.0.1:9", model="net", labels="names.txt")


class TestReady:
    @pytest.mark.parametrize(
        ("status", "kind"), [(404, Misconfigured), (400, Unavailable), (503, Unavailable)]
    )
    async def test_ready(
        self, served: Callable[..., Any], asking: Callable[..., Any], status: int, kind: type
    ) -> None:
        """It is ready when the server is for its model, and asks nothing else for that."""
        url, server = served()
        provider = asking(url)
        await provider.ready()
        server.instead["/ready"] = status, {}, {"error": "not now"}
        with pytest.raises(kind):
            await provider.ready()
        assert {asked.path for asked in server.requests} == {"/v2/models/net/ready"}


def answer(outputs, tail=b"", head=None):
    """An inference's answer."""
    said = json.dumps({"outputs": outputs}).encode() if head is None else head
    return 200, {LENGTH: str(len(said))}, said + tail


def row(name="logits", shape=(1, 2, 3), datatype="FP32", **more):
    return {"name": name, "shape": list(shape), "datatype": datatype, **more}


BOXES = row("pred_boxes", (1, 2, 4), data=[0.0] * 8)
HOSTILE = {
    "more bytes than there can be": (200, {}, b" " * 1_000_000),
    "more numbers than there can be": answer([row(data=[0] * 10_000)]),
    "a shape without its numbers": answer([row(shape=(1, 1 << 30, 3), data=[0.0]), BOXES]),
    "a shape without its bytes": answer(
        [row(parameters={"binary_data_size": 24}), BOXES], b"\0" * 20
    ),
    "bytes of another size": answer([row(parameters={"binary_data_size": 20}), BOXES], b"\0" * 20),
    "bytes that are no size": answer(
        [row(parameters={"binary_data_size": "much"}), BOXES], b"\0" * 24
    ),
    "neither numbers nor bytes": answer([row(), BOXES]),
    "too few numbers": answer([row(data=[0.0] * 5), BOXES]),
    "numbers that are none": answer([row(data=[0.0, 0, 0, 0, 0, {}]), BOXES]),
    "numbers that are words": answer([row(data=["x"] * 6), BOXES]),
    "numbers beyond all": answer(
        [],
        head=b'{"outputs": [{"name": "logits", "shape": [1, 1, 1], "datatype": "FP32", '
        b'"data": [1' + b"0" * 400 + b"]}]}",
    ),
    "lists of unequal length": answer([row(data=[[0.0], [0.0, 0.0]]), BOXES]),
    "negative sides": answer([row(shape=(-1, -2, 3), data=[0.0] * 6), BOXES]),
    "sides whose product is large": answer([row(shape=[1 << 31] * 8, data=[0.0]), BOXES]),
    "a datatype that is none": answer([row(datatype="FP99", data=[0.0] * 6), BOXES]),
    "an output too few": answer([BOXES]),
    "no JSON": (200, {}, b"\xff"),
    "deep JSON": (200, {}, b'{"outputs":' * 2_000),
    "JSON of nothing but lists": (
        200,
        {},
        b'{"outputs": [{"name": "logits", "shape": [], "datatype": "FP32", "data": ' + b"[" * 5_000,
    ),
    "a header beyond the body": (200, {LENGTH: "999999"}, b"{}"),
    "a header that is no number": (200, {LENGTH: "-1"}, b"{}"),
    "a compressed body": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
}


async def raised(provider, picture):
    try:
        return await ask(provider, picture)
    except Exception as error:
        return type(error)


class TestHostile:
    async def test_answers(
        self, served: Callable[..., Any], asking: Callable[..., Any], picture: Callable[..., Any]
    ) -> None:
        """Whatever a server answers, it is an answer that cannot be read, and it is never taken in
        whole where it is larger than such a network's can be."""
        url, server = served()
        provider, outcomes = asking(url), {}
        for name, reply in HOSTILE.items():
            server.instead.clear()
            await ask(provider, picture)
            server.instead["/infer"] = reply
            outcomes[name] = [await raised(provider, picture) for _ in range(2)]
        # by the second time the model is looked for again, and no picture is asked about
        assert outcomes == {name: [NoAnswer, Unavailable] for name in HOSTILE}

    async def test_no_places(
        self, served: Callable[..., Any], asking: Callable[..., Any], picture: Callable[..., Any]
    ) -> None:
        """Boxes that lie nowhere are no detections."""
        url, server = served()
        provider = asking(url)
        await ask(provider, picture)
        tail = np.array([*[9.0, 0, 0] * 2, *[np.nan] * 4, *[0.5] * 4], "<f4").tobytes()
        sizes = [row(parameters={"binary_data_size": 24}), row("pred_boxes", (1, 2, 4))]
        sizes[1]["parameters"] = {"binary_data_size": 32}
        server.instead["/infer"] = answer(sizes, tail)
        (found,) = await ask(provider, picture)
        assert found.box == pytest.approx((0.25, 0.25, 0.75, 0.75))

    @given(
        body=st.binary(max_size=60) | st.just(b'{"outputs":[]}'),
        length=st.none() | st.integers(-5, 99).map(str) | st.text(max_size=5),
        most=st.integers(0, 50),
    )
    def test_any_bytes(self, body, length, most) -> None:
        """Any bytes are read, or are a ValueError that says why not."""
        headers = {} if length is None else {LENGTH: length}
        try:
            found = protocol.outputs_of(body, headers, [], most)
        except ValueError:
            found = {}
        assert found == {}


class TestTensors:
    @pytest.mark.parametrize("datatype", ["FP16", "FP32"])
    def test_question(self, datatype: str) -> None:
        """In binary numbers follow the JSON as they lie in memory, little-endian, row by row; in
        JSON they are flat."""
        tensor, array = protocol.Tensor("x", datatype, [-1, 2]), np.array([[1.5, 2.0], [3.0, 4.0]])
        content, headers = protocol.infer_request([(tensor, array)], ["y"], binary=True)
        head, tail = content[: int(headers[LENGTH])], content[int(headers[LENGTH]) :]
        kind = "<f2" if datatype == "FP16" else "<f4"
        assert json.loads(head) == {
            "inputs": [
                {
                    "name": "x",
                    "datatype": datatype,
                    "shape": [2, 2],
                    "parameters": {"binary_data_size": len(tail)},
                }
            ],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        }
        assert np.frombuffer(tail, kind).tolist() == [1.5, 2, 3, 4]
        content, headers = protocol.infer_request([(tensor, array)], ["y"], binary=False)
        assert json.loads(content)["inputs"][0]["data"] == [1.5, 2, 3, 4]
        assert LENGTH not in headers

    @pytest.mark.parametrize(
        ("datatype", "kind"), [("FP16", "<f2"), ("FP32", "<f4"), ("FP64", "<f8")]
    )
    def test_answer(self, datatype: str, kind: str) -> None:
        """Outputs are found by their names, whatever their order, in any floating datatype, in
        binary or in JSON."""
        tail = np.arange(3, dtype=kind).tobytes()
        rows = [
            row("b", (1, 2), datatype, data=[[5.0, 6.0]]),
            row("a", (3,), datatype, parameters={"binary_data_size": len(tail)}),
        ]
        _, headers, body = answer(rows, tail)
        found = protocol.outputs_of(body, headers, ["a", "b"], 5)
        assert [(name, array.tolist()) for name, array in found.items()] == [
            ("a", [0, 1, 2]),
            ("b", [[5, 6]]),
        ]
