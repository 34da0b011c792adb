"""Kind `kserve`: a server's answer by the Open Inference Protocol is read as if the network ran
here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from providers.base import Picture, Provider
from providers.detection import Detection, Task
from providers.errors import Misconfigured, NoAnswer, ProviderError, Throttled, Unavailable
from providers.kserve import protocol
from tests.support.inference import InferenceServer
from tests.support.paths import MODELS, VOC

StartServer = Callable[..., tuple[str, InferenceServer]]

DETR = {
    "logits": [[[9.0, 0.0, 0.0], [0.0, 2.0, 1.0]]],
    "pred_boxes": [[[0.5, 0.5, 0.4, 0.2], [0.3, 0.3, 0.1, 0.1]]],
}
LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
async def provider_at(
    make: Callable[..., Provider], tmp_path: Path
) -> AsyncIterator[Callable[..., Provider]]:
    """`provider_at(url, **settings)`: a provider of the kind for the model "net" and small inputs,
    closed at the end."""
    providers = []
    usual = {"model": "net", "labels": "names.txt", "input_size": "96x96"}
    (tmp_path / "names.txt").write_text("cat\ndog\n")

    def start(url: str, **settings: Any) -> Provider:
        providers.append(make("kserve", tmp_path, **{"endpoint": url, **usual, **settings}))
        return providers[-1]

    yield start
    for each in providers:
        await each.close()


@pytest.fixture
def model_server(
    inference: Callable[..., tuple[str, InferenceServer]],
    network: Callable[..., Path],
    tmp_path: Path,
) -> StartServer:
    """`model_server(outputs, sides, inputs, **settings)`: address and server of a network that
    always answers with these outputs."""

    def start(
        outputs: dict[str, Any] = DETR,
        sides: tuple[Any, Any] = ("h", "w"),
        inputs: dict[str, Any] | None = None,
        **settings: Any,
    ) -> tuple[str, InferenceServer]:
        return inference(network(tmp_path / "net.onnx", outputs, sides, inputs), **settings)

    return start


async def ask(
    provider: Provider, picture: Callable[..., Picture], size: tuple[int, int] = (200, 100)
) -> Sequence[Detection]:
    return await provider.detect(picture(Image.new("RGB", size)), Task.OBJECTS)


class TestAnswers:
    @pytest.mark.parametrize("binary", [True, False])
    async def test_detections_are_the_same_as_those_of_onnx(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        make: Callable[..., Provider],
        picture: Callable[..., Picture],
        tmp_path: Path,
        binary: bool,
    ) -> None:
        """The provider detects the same as the kind `onnx` with the same network, in binary and in
        JSON."""
        url, server = model_server(binary=binary)
        detections = await ask(provider_at(url), picture)
        assert detections == await ask(
            make("onnx", tmp_path, model="net.onnx", labels="names.txt", input_size="96x96"),
            picture,
        )
        assert [each.label for each in detections] == ["cat", "dog"]
        request = server.requests[-1]
        assert (LENGTH in request.headers) == binary
        assert (
            len(request.body) == int(request.headers.get(LENGTH, 0)) + 96 * 96 * 3 * 4
        ) == binary

    async def test_the_model_is_described_once(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """The provider requests the model's metadata, the server's, and a grey picture once; then
        it sends one call a picture."""
        url, server = model_server()
        provider = provider_at(url)
        for _ in range(2):
            await ask(provider, picture)
        paths = [request.path for request in server.requests]
        assert paths == ["/v2/models/net", "/v2", *["/v2/models/net/infer"] * 3]

    async def test_a_network_that_wants_a_mask_gets_one(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """A network that wants a mask of the picture gets one, as with kind `onnx`."""
        url, server = model_server(inputs={"pixel_mask": [1, "h", "w"]})
        assert await ask(provider_at(url, input_size="96x128"), picture)
        head = json.loads(server.requests[-1].body[: int(server.requests[-1].headers[LENGTH])])
        assert [(each["name"], each["shape"]) for each in head["inputs"]] == [
            ("pixel_values", [1, 3, 128, 96]),
            ("pixel_mask", [1, 128, 96]),
        ]

    async def test_version_token_and_headers_go_with_every_request(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """A version is part of the path; a token and further headers go with every request."""
        url, server = model_server()
        provider = provider_at(
            url, model="a/b", version="3", token="secret", headers={"X-Team": "eyes"}
        )
        await provider.ready()
        await ask(provider, picture)
        paths = {request.path for request in server.requests}
        assert paths == {
            "/v2",
            *(f"/v2/models/a%2Fb/versions/3{end}" for end in ("", "/ready", "/infer")),
        }
        assert {request.headers["Authorization"] for request in server.requests} == {
            "Bearer secret"
        }
        assert {request.headers["X-Team"] for request in server.requests} == {"eyes"}

    async def test_outputs_of_other_shapes_renew_the_description(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
        inference: Callable[..., tuple[str, InferenceServer]],
        network: Callable[..., Path],
        tmp_path: Path,
    ) -> None:
        """If the model's outputs have other shapes, that answer is lost and the model is described
        again."""
        url, server = model_server()
        provider = provider_at(url)
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
    async def test_a_real_network_on_a_server_agrees_with_one_here(
        self,
        inference: Callable[..., tuple[str, InferenceServer]],
        provider_at: Callable[..., Provider],
        make: Callable[..., Provider],
        picture: Callable[..., Picture],
        model: str,
        size: str | None,
    ) -> None:
        """A real network on a server detects on a real photo the same as it does here."""
        url, _ = inference(MODELS / f"{model}.onnx")
        files = {"labels": MODELS / "coco80.txt", "input_size": size}
        with Image.open(min((VOC / "images").iterdir())) as photo:
            shown = picture(photo.convert("RGB"))
        there = await provider_at(url, **files).detect(shown, Task.OBJECTS)
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
    async def test_each_status_is_a_common_error(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
        status: int,
        kind: type[ProviderError],
    ) -> None:
        """Each status is the common error that names the remedy, with the server's own words."""
        url, server = model_server()
        provider = provider_at(url)
        await ask(provider, picture)
        server.instead["/infer"] = status, {"Retry-After": "7"}, {"error": "the server's own words"}
        with pytest.raises(kind, match="the server's own words") as outcome_of:
            await ask(provider, picture)
        assert getattr(outcome_of.value, "retry_after_s", 7) == 7

    async def test_labels_must_fit_the_models_classes(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """Labels that do not fit the model's classes are an error with both numbers."""
        url, _ = model_server({"logits": [[[0.0] * 9]], "pred_boxes": [[[0.0] * 4]]})
        with pytest.raises(
            Misconfigured, match=r"has 2 lines, but .*net have classes for 9 \(sigmoid\) or 8"
        ):
            await ask(provider_at(url), picture)

    @pytest.mark.parametrize(
        "outputs", [{"boxes": [[1.0]]}, {"logits": [[0.0, 1.0, 0.0]], "pred_boxes": [[0.0]]}]
    )
    async def test_outputs_of_no_known_layout_are_shown(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
        outputs: dict[str, Any],
    ) -> None:
        """A network of no known layout is an error that shows its outputs."""
        with pytest.raises(Misconfigured, match=r"layout: .*\(1, "):
            await ask(provider_at(model_server(outputs)[0]), picture)

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
    async def test_an_input_that_takes_no_pictures_is_refused(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
        inputs: list[dict[str, Any]],
        says: str,
    ) -> None:
        """A model whose input takes no pictures is an error."""
        url, server = model_server()
        outputs = [{"name": "x", "datatype": "FP32", "shape": []}]
        server.instead["/v2/models/net"] = 200, {}, {"inputs": inputs, "outputs": outputs}
        with pytest.raises(Misconfigured, match=says):
            await ask(provider_at(url), picture)

    @pytest.mark.parametrize("body", [b"", b"{", {"inputs": 3}, b"[" * 60_000])
    async def test_another_protocol_is_refused(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
        body: bytes | dict[str, int],
    ) -> None:
        """A server that speaks another protocol is an error."""
        url, server = model_server()
        server.instead["/v2/models/net"] = 200, {}, body
        with pytest.raises(Misconfigured, match="Open Inference Protocol"):
            await ask(provider_at(url), picture)

    async def test_a_server_that_leaves_before_the_picture_bills_nothing(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """A server that goes away during the description of the model has got no picture, so
        nothing is billed."""
        url, server = model_server()
        server.instead["/infer"] = None
        with pytest.raises(Unavailable, match="hung up"):
            await ask(provider_at(url), picture)

    def test_missing_labels_stop_the_start(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """A missing file of labels stops the start; a missing server does not."""
        with pytest.raises(Misconfigured, match="my-kserve: labels: there is no file"):
            make("kserve", tmp_path, endpoint="http://127.0.0.1:9", model="net", labels="names.txt")


class TestReady:
    @pytest.mark.parametrize(
        ("status", "kind"), [(404, Misconfigured), (400, Unavailable), (503, Unavailable)]
    )
    async def test_it_is_ready_when_its_model_is(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        status: int,
        kind: type[ProviderError],
    ) -> None:
        """The provider is ready when the server is for its model, and sends no other request for
        that."""
        url, server = model_server()
        provider = provider_at(url)
        await provider.ready()
        server.instead["/ready"] = status, {}, {"error": "not now"}
        with pytest.raises(kind):
            await provider.ready()
        assert {request.path for request in server.requests} == {"/v2/models/net/ready"}


def answer(
    outputs: list[dict[str, Any]], tail: bytes = b"", head: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """An inference's answer."""
    text = json.dumps({"outputs": outputs}).encode() if head is None else head
    return 200, {LENGTH: str(len(text))}, text + tail


def row(
    name: str = "logits", shape: Sequence[int] = (1, 2, 3), datatype: str = "FP32", **more: Any
) -> dict[str, Any]:
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


async def outcome_of(
    provider: Provider, picture: Callable[..., Picture]
) -> Sequence[Detection] | type[Exception]:
    try:
        return await ask(provider, picture)
    except Exception as error:
        return type(error)


class TestHostile:
    async def test_hostile_answers_are_not_read(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """A hostile answer is no answer, and one larger than the network's can be is never read
        whole."""
        url, server = model_server()
        provider, outcomes = provider_at(url), {}
        for name, reply in HOSTILE.items():
            server.instead.clear()
            await ask(provider, picture)
            server.instead["/infer"] = reply
            outcomes[name] = [await outcome_of(provider, picture) for _ in range(2)]
        # by the second time the model is looked for again, and no picture is asked about
        assert outcomes == {name: [NoAnswer, Unavailable] for name in HOSTILE}

    async def test_boxes_of_no_number_are_no_detections(
        self,
        model_server: StartServer,
        provider_at: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """Boxes whose coordinates are no numbers are no detections."""
        url, server = model_server()
        provider = provider_at(url)
        await ask(provider, picture)
        tail = np.array([*[9.0, 0, 0] * 2, *[np.nan] * 4, *[0.5] * 4], "<f4").tobytes()
        sizes = [row(parameters={"binary_data_size": 24}), row("pred_boxes", (1, 2, 4))]
        sizes[1]["parameters"] = {"binary_data_size": 32}
        server.instead["/infer"] = answer(sizes, tail)
        (detections,) = await ask(provider, picture)
        assert detections.box == pytest.approx((0.25, 0.25, 0.75, 0.75))

    @given(
        body=st.binary(max_size=60) | st.just(b'{"outputs":[]}'),
        length=st.none() | st.integers(-5, 99).map(str) | st.text(max_size=5),
        most=st.integers(0, 50),
    )
    def test_any_bytes_are_read_or_a_value_error(
        self, body: bytes, length: str | None, most: int
    ) -> None:
        """Any bytes are read, or are a ValueError that gives the reason."""
        headers = {} if length is None else {LENGTH: length}
        try:
            detections = protocol.outputs_of(body, headers, [], most)
        except ValueError:
            detections = {}
        assert detections == {}


class TestTensors:
    @pytest.mark.parametrize("datatype", ["FP16", "FP32"])
    def test_numbers_of_a_request_are_little_endian_or_flat_json(self, datatype: str) -> None:
        """In binary, numbers follow the JSON as in memory, little-endian and row by row; in JSON
        they are flat."""
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
    def test_outputs_are_found_by_name(self, datatype: str, kind: str) -> None:
        """Outputs are found by their names, whatever their order, in any floating datatype, in
        binary or in JSON."""
        tail = np.arange(3, dtype=kind).tobytes()
        rows = [
            row("b", (1, 2), datatype, data=[[5.0, 6.0]]),
            row("a", (3,), datatype, parameters={"binary_data_size": len(tail)}),
        ]
        _, headers, body = answer(rows, tail)
        detections = protocol.outputs_of(body, headers, ["a", "b"], 5)
        assert [(name, array.tolist()) for name, array in detections.items()] == [
            ("a", [0, 1, 2]),
            ("b", [[5, 6]]),
        ]
