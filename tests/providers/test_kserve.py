"""Kind `kserve`: a server's answers by the Open Inference Protocol are read as if the network ran
here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from providers.base import Picture, Provider
from providers.detection import Detection, Task
from providers.errors import Misconfigured, NoAnswer, Throttled, Unavailable
from providers.kserve import protocol
from tests.support.colour_network import write_colour_network
from tests.support.inference_server import HEADER_LENGTH, InferenceServer
from tests.support.paths import MODELS, VOC
from tests.support.services import Reply

DETR = {
    "logits": [[[9.0, 0.0, 0.0], [0.0, 2.0, 1.0]]],
    "pred_boxes": [[[0.5, 0.5, 0.4, 0.2], [0.3, 0.3, 0.1, 0.1]]],
}


@pytest.fixture
async def provider_of(
    make: Callable[..., Provider], tmp_path: Path
) -> AsyncIterator[Callable[..., Provider]]:
    """`provider_of(url, **settings)`: a provider of the kind for the model "net" and small inputs,
    closed at the end."""
    providers: list[Provider] = []
    usual = {"model": "net", "labels": "names.txt", "input_size": "96x96"}
    (tmp_path / "names.txt").write_text("cat\ndog\n")

    def start(url: str, **settings: Any) -> Provider:
        providers.append(make("kserve", tmp_path, **{"endpoint": url, **usual, **settings}))
        return providers[-1]

    yield start
    for each in providers:
        await each.close()


@pytest.fixture
def serve(
    inference: Callable[..., tuple[str, InferenceServer]],
    network: Callable[..., Path],
    tmp_path: Path,
) -> Callable[..., tuple[str, InferenceServer]]:
    """`serve(outputs, sides, inputs, **settings)`: address and server of a network that always
    gives these outputs."""

    def start(
        outputs: Mapping[str, Any] = DETR,
        sides: tuple[int | str, ...] = ("h", "w"),
        inputs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> tuple[str, InferenceServer]:
        return inference(network(tmp_path / "net.onnx", outputs, sides, inputs), **settings)

    return start


async def ask(
    provider: Provider, picture: Callable[..., Picture], size: tuple[int, int] = (200, 100)
) -> Sequence[Detection]:
    """The answer about a black image."""
    return await provider.detect(picture(Image.new("RGB", size)), Task.OBJECTS)


class TestAnswers:
    """Questions to a server and their answers."""

    @pytest.mark.parametrize(("binary", "listed"), [(True, True), (True, False), (False, False)])
    async def test_a_served_network_answers_as_a_local_one(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        make: Callable[..., Provider],
        picture: Callable[..., Picture],
        tmp_path: Path,
        binary: bool,
        listed: bool,
    ) -> None:
        """A network on a server gives the answer that kind `onnx` gives with it. It is asked in
        binary if the server takes that, listed among its extensions or not, and in JSON else."""
        url, server = serve(binary=binary, lists_binary=listed)
        detections = await ask(provider_of(url), picture)
        assert detections == await ask(
            make("onnx", tmp_path, model="net.onnx", labels="names.txt", input_size="96x96"),
            picture,
        )
        assert [each.label for each in detections] == ["cat", "dog"]
        request = server.requests[-1]
        assert (HEADER_LENGTH in request.headers) == binary
        assert (
            len(request.body) == int(request.headers.get(HEADER_LENGTH, 0)) + 96 * 96 * 3 * 4
        ) == binary

    async def test_the_model_is_described_once(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """The model is described once, by its metadata, the server's and a grey picture; then each
        picture is one call."""
        url, server = serve()
        provider = provider_of(url)
        for _ in range(2):
            await ask(provider, picture)
        paths = [request.path for request in server.requests]
        assert paths == ["/v2/models/net", "/v2", *["/v2/models/net/infer"] * 3]

    async def test_a_network_that_takes_a_mask_gets_one(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """A network that takes a mask of the picture gets one, as with kind `onnx`."""
        url, server = serve(inputs={"pixel_mask": [1, "h", "w"]})
        assert await ask(provider_of(url, input_size="96x128"), picture)
        head = json.loads(
            server.requests[-1].body[: int(server.requests[-1].headers[HEADER_LENGTH])]
        )
        assert [(each["name"], each["shape"]) for each in head["inputs"]] == [
            ("pixel_values", [1, 3, 128, 96]),
            ("pixel_mask", [1, 128, 96]),
        ]

    async def test_paths_have_the_version_and_requests_the_headers(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """A version is part of the path; a token and further headers go with every request."""
        url, server = serve()
        provider = provider_of(
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

    async def test_outputs_of_other_shapes_describe_the_model_anew(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
        inference: Callable[..., tuple[str, InferenceServer]],
        network: Callable[..., Path],
        tmp_path: Path,
    ) -> None:
        """Once the model's outputs have other shapes, one answer is lost and the model is described
        anew."""
        url, server = serve()
        provider = provider_of(url)
        assert len(await ask(provider, picture)) == 2
        one = {name: [rows[0][:1]] for name, rows in DETR.items()}
        server.session = inference(network(tmp_path / "other.onnx", one))[1].session
        with pytest.raises(NoAnswer, match="other shapes"):
            await ask(provider, picture)
        assert len(await ask(provider, picture)) == 1

    async def test_answers_may_have_any_number_of_rows(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """A network with its own NMS may give no rows for one picture and several for the next,
        and a server may say so in binary without the length of its JSON."""
        url, server = serve({"output0": np.zeros((1, 0, 6))})
        provider, head = provider_of(url), b'{"outputs": [{"name": "output0", "datatype": "FP32", '
        assert await ask(provider, picture) == []
        empty = head + b'"shape": [1, 0, 6], "parameters": {"binary_data_size": 0}}]}'
        server.instead["/infer"] = 200, {}, empty
        assert await ask(provider, picture) == []
        one = head + b'"shape": [1, 1, 6], "data": [24, 24, 72, 72, 0.9, 1]}]}'
        server.instead["/infer"] = 200, {}, one
        assert [each.label for each in await ask(provider, picture)] == ["dog"]
        assert {request.path for request in server.requests[2:]} == {"/v2/models/net/infer"}
        server.instead["/infer"] = 200, {}, one.replace(b"0.9, 1", b"0.9, 2")
        with pytest.raises(NoAnswer, match=r"names\.txt has 2 lines, .* detects class 2"):
            await ask(provider, picture)

    async def test_a_network_that_scales_its_boxes_is_told_the_inputs_size(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """D-FINE's own export, whose class ids are integers, is read as with kind `onnx`."""
        outputs = {
            "labels": np.array([[1]]),
            "boxes": [[[0.25, 0.25, 0.75, 0.75]]],
            "scores": [[0.9]],
        }
        url, _ = serve(outputs, inputs={"orig_target_sizes": [1, 2]})
        (detection,) = await ask(provider_of(url, input_size="96x128"), picture)
        assert detection.label == "dog"
        assert detection.box == pytest.approx((0.25, 0.25, 0.75, 0.75))

    @pytest.mark.skipif(
        not (MODELS.exists() and VOC.exists()), reason="needs ../shared with models and voc-dev"
    )
    @pytest.mark.parametrize(
        ("model", "size"), [("yolox_nano", "416x416"), ("nanodet_m_320", None)]
    )
    async def test_a_real_network_answers_as_it_does_here(
        self,
        inference: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        make: Callable[..., Provider],
        picture: Callable[..., Picture],
        model: str,
        size: str | None,
    ) -> None:
        """A real network on a server gives the answer about a real photo that it gives here, where
        neither resizes the photo or leaves its padding away."""
        url, _ = inference(MODELS / f"{model}.onnx")
        files = {"labels": MODELS / "coco80.txt", "input_size": size}
        with Image.open(min((VOC / "images").iterdir())) as photo:
            side_px = 416 if size else 320
            photo.thumbnail((side_px, side_px))
            voc_picture = picture(photo.convert("RGB"))
        remote = await provider_of(url, **files).detect(voc_picture, Task.OBJECTS)
        here = make("onnx", MODELS, model=f"{model}.onnx", rectangular=False, **files)
        local = await here.detect(voc_picture, Task.OBJECTS)
        assert remote
        assert [each.label for each in remote] == [each.label for each in local]
        for one, other in zip(remote, local, strict=True):
            assert (one.score, *one.box) == pytest.approx((other.score, *other.box), abs=1e-5)


class TestMiniBatches:
    """Pictures of several clients in one request."""

    async def test_pictures_that_come_together_share_a_request(
        self,
        inference: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
        tmp_path: Path,
    ) -> None:
        """Pictures that come while requests are under way go together, each with its own
        answer."""
        url, server = inference(write_colour_network(tmp_path / "net.onnx"))
        settings = {"labels": tmp_path / "labels.txt", "input_size": "96x96", "floor": 0.5}
        provider = provider_of(url, mini_batch=4, concurrency=16, **settings)
        colours = ["red", "lime", "blue"] * 8
        images = [picture(Image.new("RGB", (96, 96), colour)) for colour in colours]
        answers = await asyncio.gather(*(provider.detect(image, Task.OBJECTS) for image in images))
        expected = {"red": "red", "lime": "green", "blue": "blue"}
        for colour, detections in zip(colours, answers, strict=True):
            assert {each.label for each in detections} == {expected[colour]}
        sizes = [call for call in server.requests if call.path.endswith("/infer")]
        assert len(sizes) - 1 < len(images)

    async def test_a_model_of_one_picture_takes_no_mini_batch(
        self,
        inference: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
        tmp_path: Path,
    ) -> None:
        """A mini-batch that the model cannot take is an error that names the setting."""
        url, _ = inference(write_colour_network(tmp_path / "net.onnx", pictures=1))
        provider = provider_of(url, mini_batch=4, labels=tmp_path / "labels.txt")
        with pytest.raises(Misconfigured, match=r"mini_batch: 4, but .* takes one picture"):
            await provider.detect(picture(Image.new("RGB", (96, 96))), Task.OBJECTS)

    async def test_a_mini_batch_that_the_server_does_not_take_is_told_at_once(
        self,
        inference: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
        tmp_path: Path,
    ) -> None:
        """A server that takes fewer pictures a request than its model's axes say is tried before
        the first photo; its words and the setting are in the error."""
        url, server = inference(write_colour_network(tmp_path / "net.onnx"))
        server.most_pictures = 2
        provider = provider_of(url, mini_batch=4, labels=tmp_path / "labels.txt")
        with pytest.raises(Misconfigured, match=r"mini_batch: 4 is not what .* batch-size must be"):
            await provider.detect(picture(Image.new("RGB", (96, 96))), Task.OBJECTS)


class TestErrors:
    """Errors of a server or of the configuration."""

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (429, Throttled),
            (503, Unavailable),
            (500, Unavailable),
            (501, Misconfigured),
            (504, NoAnswer),
            (400, Misconfigured),
            (401, Misconfigured),
            (404, Misconfigured),
            (413, Misconfigured),
            (302, Misconfigured),
        ],
    )
    async def test_every_status_becomes_a_common_error(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
        status: int,
        kind: type,
    ) -> None:
        """Each status becomes the common error that says what to do, with the server's own
        words."""
        url, server = serve()
        provider = provider_of(url)
        await ask(provider, picture)
        server.instead["/infer"] = status, {"Retry-After": "7"}, {"error": "the server's own words"}
        with pytest.raises(kind, match="the server's own words") as raised:
            await ask(provider, picture)
        assert getattr(raised.value, "retry_after_s", 7) == 7

    async def test_labels_that_do_not_fit_are_counted(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """The error about labels that do not fit the model's classes has both numbers, though the
        file is there."""
        url, _ = serve({"logits": [[[0.0] * 9]], "pred_boxes": [[[0.0] * 4]]})
        with pytest.raises(
            Misconfigured, match=r"has 2 lines, but .*net have classes for 9 \(sigmoid\) or 8"
        ):
            await ask(provider_of(url), picture)

    @pytest.mark.parametrize(
        "outputs", [{"boxes": [[1.0]]}, {"logits": [[0.0, 1.0, 0.0]], "pred_boxes": [[0.0]]}]
    )
    async def test_outputs_of_no_known_layout_are_listed(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
        outputs: dict[str, Any],
    ) -> None:
        """The error about a network that cannot be read shows its outputs."""
        with pytest.raises(Misconfigured, match=r"layout: .*\(1, "):
            await ask(provider_of(serve(outputs)[0]), picture)

    @pytest.mark.parametrize(
        ("inputs", "problem"),
        [
            ([], "metadata of net names no inputs"),
            ([{"name": "x", "datatype": "UINT8", "shape": [1, 3, -1, -1]}], "is UINT8"),
            (
                [{"name": "x", "datatype": "FP32", "shape": [1, -1, -1, 4, 3]}],
                r"expected FP32 or FP16 \(n, 3, ",
            ),
            (
                [{"name": "x", "datatype": "FP32", "shape": [1, 3, 64, 64]}],
                "input_size: 96x96.*fixed at 64x64",
            ),
        ],
    )
    async def test_a_model_without_picture_input_is_misconfigured(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
        inputs: list[dict[str, Any]],
        problem: str,
    ) -> None:
        """A model whose input is not for pictures is an error of the configuration."""
        url, server = serve()
        outputs = [{"name": "x", "datatype": "FP32", "shape": []}]
        server.instead["/v2/models/net"] = 200, {}, {"inputs": inputs, "outputs": outputs}
        with pytest.raises(Misconfigured, match=problem):
            await ask(provider_of(url), picture)

    @pytest.mark.parametrize("body", [b"", b"{", {"inputs": 3}, b"[" * 60_000])
    async def test_a_server_of_another_protocol_is_misconfigured(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
        body: bytes | dict[str, int],
    ) -> None:
        """A server that speaks another protocol is an error of the configuration."""
        url, server = serve()
        server.instead["/v2/models/net"] = 200, {}, body
        with pytest.raises(Misconfigured, match="Open Inference Protocol"):
            await ask(provider_of(url), picture)

    async def test_a_server_lost_before_the_first_picture_bills_nothing(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """A server that goes away while the model is described has been asked about no picture:
        nothing is billed."""
        url, server = serve()
        server.instead["/infer"] = None
        with pytest.raises(Unavailable, match="hung up"):
            await ask(provider_of(url), picture)

    def test_missing_labels_stop_the_start(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """Missing labels stop the start; a missing server does not."""
        with pytest.raises(Misconfigured, match="my-kserve: labels: there is no file"):
            make("kserve", tmp_path, endpoint="http://127.0.0.1:9", model="net", labels="names.txt")


class TestReady:
    """Readiness by that of the server."""

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (401, Misconfigured),
            (404, Misconfigured),
            (501, Misconfigured),
            (400, Unavailable),
            (503, Unavailable),
        ],
    )
    async def test_it_is_ready_when_its_model_is(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        status: int,
        kind: type,
    ) -> None:
        """It is ready when the server is for its model, and asks nothing else for that. A version
        that no server of this kind has (501) is an error of the configuration."""
        url, server = serve()
        provider = provider_of(url)
        await provider.ready()
        assert {request.path for request in server.requests} == {"/v2/models/net/ready"}
        server.instead["/ready"] = status, {}, {"error": "not now"}
        with pytest.raises(kind):
            await provider.ready()

    @pytest.mark.parametrize(
        ("words", "kind"),
        [("is not found", Misconfigured), ("has no available versions", Unavailable)],
    )
    async def test_a_misspelt_model_at_triton_is_misconfigured(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
        words: str,
        kind: type,
    ) -> None:
        """Triton says of a model that it does not know only that it is not ready; its metadata
        tells whether there is none, or whether it is not loaded, which passes."""
        url, server = serve()
        server.instead["/ready"] = 400, {}, {"error": "Model version not ready"}
        server.instead["/net"] = 404, {}, {"error": f"Request for unknown model: 'net' {words}"}
        provider = provider_of(url)
        for attempt in (provider.ready(), ask(provider, picture)):
            with pytest.raises(kind, match=f"unknown model: 'net' {words}"):
                await attempt


def answer(
    outputs: Sequence[Mapping[str, Any]], tail: bytes = b"", head: bytes | None = None
) -> Reply:
    """The reply to an inference."""
    header = json.dumps({"outputs": outputs}).encode() if head is None else head
    return 200, {HEADER_LENGTH: str(len(header))}, header + tail


def row(
    name: str = "logits", shape: Sequence[int] = (1, 2, 3), datatype: str = "FP32", **members: Any
) -> dict[str, Any]:
    """The description of an output tensor in that reply."""
    return {"name": name, "shape": list(shape), "datatype": datatype, **members}


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
    "a header beyond the body": (200, {HEADER_LENGTH: "999999"}, b"{}"),
    "a header that is no number": (200, {HEADER_LENGTH: "-1"}, b"{}"),
    "a compressed body": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
}


async def outcome_of(
    provider: Provider, picture: Callable[..., Picture]
) -> Sequence[Detection] | type[Exception]:
    """The answer, or the type of the error."""
    try:
        return await ask(provider, picture)
    except Exception as error:
        return type(error)


class TestHostile:
    """Replies that no server ought to give."""

    async def test_every_hostile_reply_is_no_answer(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """Every hostile reply is no answer, and none is read to its end that is longer than such a
        network's can be."""
        url, server = serve()
        provider, outcomes = provider_of(url), {}
        for name, reply in HOSTILE.items():
            server.instead.clear()
            await ask(provider, picture)
            server.instead["/infer"] = reply
            outcomes[name] = [await outcome_of(provider, picture) for _ in range(2)]
        # by the second time the model is described again, and no picture is asked about
        assert outcomes == {name: [NoAnswer, Unavailable] for name in HOSTILE}

    async def test_boxes_that_lie_nowhere_are_left_out(
        self,
        serve: Callable[..., tuple[str, InferenceServer]],
        provider_of: Callable[..., Provider],
        picture: Callable[..., Picture],
    ) -> None:
        """Boxes that lie nowhere are no detections."""
        url, server = serve()
        provider = provider_of(url)
        await ask(provider, picture)
        tail = np.array([*[9.0, 0, 0] * 2, *[np.nan] * 4, *[0.5] * 4], "<f4").tobytes()
        sizes = [row(parameters={"binary_data_size": 24}), row("pred_boxes", (1, 2, 4))]
        sizes[1]["parameters"] = {"binary_data_size": 32}
        server.instead["/infer"] = answer(sizes, tail)
        (detection,) = await ask(provider, picture)
        assert detection.box == pytest.approx((0.25, 0.25, 0.75, 0.75))

    @given(
        body=st.binary(max_size=60) | st.just(b'{"outputs":[]}'),
        length=st.none() | st.integers(-5, 99).map(str) | st.text(max_size=5),
        max_numbers=st.integers(0, 50),
    )
    def test_any_bytes_are_read_or_refused(
        self, body: bytes, length: str | None, max_numbers: int
    ) -> None:
        """Any bytes are read, or are a ValueError that says why not."""
        headers = {} if length is None else {HEADER_LENGTH: length}
        try:
            arrays = protocol.outputs_of(body, headers, [], max_numbers)
        except ValueError:
            arrays = {}
        assert arrays == {}


class TestTensors:
    """Tensors on the wire."""

    @pytest.mark.parametrize("datatype", ["FP16", "FP32"])
    def test_numbers_are_little_endian_or_flat_json(self, datatype: str) -> None:
        """In binary, numbers follow the JSON as they lie in memory, little-endian, row by row; in
        JSON they are flat."""
        tensor, array = protocol.Tensor("x", datatype, [-1, 2]), np.array([[1.5, 2.0], [3.0, 4.0]])
        content, headers = protocol.infer_request([(tensor, array)], ["y"], binary=True)
        head, tail = content[: int(headers[HEADER_LENGTH])], content[int(headers[HEADER_LENGTH]) :]
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
        assert HEADER_LENGTH not in headers

    @pytest.mark.parametrize(
        ("datatype", "kind"), [("FP16", "<f2"), ("FP32", "<f4"), ("FP64", "<f8")]
    )
    def test_outputs_are_read_by_their_names(self, datatype: str, kind: str) -> None:
        """Outputs are read by their names, in any order, in any floating datatype, in binary or in
        JSON."""
        tail = np.arange(3, dtype=kind).tobytes()
        rows = [
            row("b", (1, 2), datatype, data=[[5.0, 6.0]]),
            row("a", (3,), datatype, parameters={"binary_data_size": len(tail)}),
        ]
        _, headers, body = answer(rows, tail)
        arrays = protocol.outputs_of(body, headers, ["a", "b"], 5)
        assert [(name, array.tolist()) for name, array in arrays.items()] == [
            ("a", [0, 1, 2]),
            ("b", [[5, 6]]),
        ]
