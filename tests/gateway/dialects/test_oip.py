"""The Open Inference Protocol, as Triton's own client speaks it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient.http import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
)
from tritonclient.utils import InferenceServerException

from gateway.dialects.oip.models import outputs_of
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider
from gateway.wiring.parts import Parts
from providers.base import Picture
from providers.detection import Detection, Task
from providers.errors import Misconfigured, PictureRefused

IMAGE = drawn((400, 200), Block("green", 300, 20, 320, 40), Block("red", 40, 20, 120, 180))
PHOTO = encoded(IMAGE, "PNG")
"""Scores in it: red 1.0, green (20 px) 0.5."""
RED_BOX = (0.1, 0.1, 0.3, 0.9)
OTHER = encoded(drawn((200, 200), Block("blue", 20, 20, 180, 180)), "PNG")
BROKEN = b"no picture"
ALONE = {"stages": [{"shape": "1x1"}]}
KEY = {"Authorization": "Bearer key-shop"}

Triton = Callable[[str], InferenceServerClient]
StartGateway = Callable[..., tuple[str, Parts]]


def photos_input(*photos: bytes, shape: Sequence[int] = ()) -> InferInput:
    """The input of these encoded photos, in binary."""
    array = np.array(photos, dtype=object).reshape(shape or (len(photos), 1))
    tensor = InferInput("image", list(array.shape), "BYTES")
    return tensor.set_data_from_numpy(array)


def labels_of(result: InferResult, index: int = 0) -> list[str]:
    """The labels of one photo, without the padding."""
    count = result.as_numpy("num_detections")[index, 0]
    return [label.decode() for label in result.as_numpy("detection_labels")[index, :count]]


@pytest.fixture(scope="module")
def client(gateway: str, triton: Triton) -> InferenceServerClient:
    """A client of a gateway without tenants that finds coloured shapes."""
    return triton(gateway)


class TestServer:
    def test_it_is_live_and_ready(self, client: InferenceServerClient) -> None:
        """The server is live, and ready where /readyz says so."""
        assert client.is_server_live()
        assert client.is_server_ready()

    def test_it_lists_binary_tensors(self, client: InferenceServerClient) -> None:
        """The server's metadata lists the extension for binary tensors."""
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]

    def test_it_is_not_ready_without_a_ready_provider(
        self, start_gateway: StartGateway, triton: Triton
    ) -> None:
        """Neither server nor model is ready while no provider is; the server is live."""
        provider = ScriptedProvider(problem=Misconfigured("the secret is wrong"))
        client = triton(start_gateway(provider)[0])
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready("objects")

    def test_a_path_that_is_not_served_is_refused_in_its_form(
        self, client: InferenceServerClient
    ) -> None:
        """A part of Triton's API that is not served is refused in the protocol's form."""
        with pytest.raises(InferenceServerException, match="nothing at /v2/models/objects/stats"):
            client.get_inference_statistics("objects")


class TestModels:
    def test_metadata_names_the_tensors(self, client: InferenceServerClient) -> None:
        """A model's metadata has its input and outputs, with or without its version."""
        metadata = client.get_model_metadata("objects")
        assert metadata == client.get_model_metadata("objects", "1")
        assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1, 1]}]
        assert [output["name"] for output in metadata["outputs"]] == [
            "num_detections",
            "detection_boxes",
            "detection_scores",
            "detection_labels",
        ]

    def test_a_model_without_boxes_has_no_output_for_them(
        self, client: InferenceServerClient
    ) -> None:
        """A model for labels of whole photos has no output for boxes."""
        outputs = client.get_model_metadata("labels")["outputs"]
        assert [output["name"] for output in outputs] == [
            "num_detections",
            "detection_scores",
            "detection_labels",
        ]

    def test_the_configuration_agrees_with_the_metadata(
        self, client: InferenceServerClient
    ) -> None:
        """Triton's form of the configuration says how many photos a call may have, and leaves that
        side out of the shapes."""
        config = client.get_model_config("objects")
        assert config["max_batch_size"] == 100
        assert config["input"] == [{"name": "image", "data_type": "TYPE_STRING", "dims": [1]}]
        assert config["output"][1]["dims"] == [-1, 4]

    def test_a_served_model_is_ready(self, client: InferenceServerClient) -> None:
        """A model is ready where its task is served and its provider is ready."""
        assert client.is_model_ready("objects")
        assert client.is_model_ready("objects", "1")

    @pytest.mark.parametrize(
        ("model", "version", "reason"),
        [
            ("yolo", "", "no model 'yolo'"),
            ("extras", "", "no model 'extras'"),
            ("objects", "2", "no version '2'"),
            ("text", "", "No route serves the task text"),
        ],
    )
    def test_another_model_is_not_found(
        self, client: InferenceServerClient, model: str, version: str, reason: str
    ) -> None:
        """A model that is unknown or not served is a 404 that says so, wherever it is named."""
        calls: list[Callable[..., Any]] = [
            client.get_model_metadata,
            client.get_model_config,
            lambda name, version: client.infer(name, [photos_input(PHOTO)], version),
        ]
        assert not client.is_model_ready(model, version)
        for call in calls:
            with pytest.raises(InferenceServerException, match=reason) as error:
                call(model, version)
            assert error.value.status() == "404"


class TestInfer:
    def test_a_photo_in_binary(self, client: InferenceServerClient) -> None:
        """An encoded photo in binary gets its boxes, best first, with corners as fractions."""
        result = client.infer("objects", [photos_input(PHOTO)], request_id="7")
        assert labels_of(result) == ["red", "green"]
        assert result.as_numpy("detection_scores")[0] == pytest.approx([1.0, 0.5], abs=0.05)
        boxes = result.as_numpy("detection_boxes")
        assert boxes.shape == (1, 2, 4)
        assert boxes[0, 0] == pytest.approx(RED_BOX, abs=0.02)
        response = result.get_response()
        assert (response["id"], response["model_name"], response["model_version"]) == (
            "7",
            "objects",
            "1",
        )

    def test_a_photo_in_json(self, client: InferenceServerClient) -> None:
        """A photo in base64 needs no binary part, and neither do the outputs."""
        tensor = InferInput("image", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([base64.b64encode(PHOTO)], object), binary_data=False)
        outputs = [
            InferRequestedOutput(output.name, binary_data=False)
            for output in outputs_of(Task.OBJECTS)
        ]
        result = client.infer("objects", [tensor], outputs=outputs)
        assert result.get_output("detection_labels")["data"] == ["red", "green"]
        assert result.as_numpy("detection_boxes")[0, 0] == pytest.approx(RED_BOX, abs=0.02)

    def test_json_may_have_rows(self, gateway: str, http: httpx.Client) -> None:
        """Elements in JSON may be in rows of one, as the shape is."""
        row = [base64.b64encode(PHOTO).decode()]
        tensor = {"name": "image", "datatype": "BYTES", "shape": [2, 1], "data": [row, row]}
        reply = http.post(f"{gateway}/v2/models/objects/infer", json={"inputs": [tensor]})
        assert reply.json()["outputs"][0]["data"] == [2, 2]

    @pytest.mark.parametrize("shape", [(3,), (3, 1)])
    def test_several_photos_are_padded_to_the_fullest(
        self, client: InferenceServerClient, shape: Sequence[int]
    ) -> None:
        """Photos are answered in order, with zeros and empty labels up to the number of detections
        of the photo that has most."""
        result = client.infer("objects", [photos_input(OTHER, PHOTO, OTHER, shape=shape)])
        assert [labels_of(result, index) for index in range(3)] == [
            ["blue"],
            ["red", "green"],
            ["blue"],
        ]
        assert result.as_numpy("detection_labels")[0, 1] == b""
        assert not result.as_numpy("detection_boxes")[0, 1].any()

    def test_photos_of_one_call_share_canvases(
        self, start_gateway: StartGateway, triton: Triton
    ) -> None:
        """Four photos of one call are one call upstream."""
        provider = ScriptedProvider()
        client = triton(start_gateway(provider)[0])
        client.infer("objects", [photos_input(PHOTO, OTHER, PHOTO, OTHER)])
        assert provider.calls == 1

    def test_pixels_are_photos_without_a_file(self, client: InferenceServerClient) -> None:
        """RGB pixels are answered like the photo that they come from."""
        pixels = np.stack([np.asarray(IMAGE), np.asarray(IMAGE.transpose(0))])
        tensor = InferInput("image", list(pixels.shape), "UINT8").set_data_from_numpy(pixels)
        result = client.infer("objects", [tensor])
        assert labels_of(result, 0) == labels_of(result, 1) == ["red", "green"]
        left, mirrored = result.as_numpy("detection_boxes")[:, 0, 0]
        assert (left, mirrored) == pytest.approx((0.1, 0.7), abs=0.02)

    def test_a_compressed_request(self, client: InferenceServerClient) -> None:
        """A compressed request is read as if it were not; its header gives the length of the JSON
        before compression."""
        result = client.infer(
            "objects", [photos_input(PHOTO)], request_compression_algorithm="gzip"
        )
        assert labels_of(result) == ["red", "green"]

    def test_nothing_on_any_photo(self, client: InferenceServerClient) -> None:
        """Where nothing is detected on any photo, the outputs have a side of 0."""
        result = client.infer("objects", [photos_input(encoded(drawn((90, 90)), "PNG"))])
        assert result.as_numpy("num_detections").tolist() == [[0]]
        assert result.as_numpy("detection_boxes").shape == (1, 0, 4)
        assert result.as_numpy("detection_labels").shape == (1, 0)

    def test_only_requested_outputs_each_in_its_form(self, client: InferenceServerClient) -> None:
        """Only the requested outputs are returned, in their order, each in JSON or in binary."""
        outputs = [
            InferRequestedOutput("detection_scores", binary_data=False),
            InferRequestedOutput("detection_labels", binary_data=True),
        ]
        response = client.infer("objects", [photos_input(PHOTO)], outputs=outputs).get_response()
        scores, labels = response["outputs"]
        assert (scores["name"], len(scores["data"])) == ("detection_scores", 2)
        assert (labels["name"], labels["parameters"]) == (
            "detection_labels",
            {"binary_data_size": len("red") + len("green") + 8},
        )


class TestLabels:
    def test_labels_have_no_boxes(self, client: InferenceServerClient) -> None:
        """The model for labels answers with those of the photo's boxes, each once, where no route
        serves labels."""
        two = encoded(
            drawn((400, 200), Block("red", 40, 20, 120, 180), Block("red", 200, 20, 280, 180))
        )
        result = client.infer("labels", [photos_input(two)])
        assert labels_of(result) == ["red"]
        assert result.as_numpy("detection_boxes") is None


class TestParameters:
    @pytest.mark.parametrize(
        ("parameters", "labels"),
        [
            ({"labels": "GREEN,blue"}, ["green"]),
            ({"max_results": 1}, ["red"]),
            ({"min_score": 0.9}, ["red"]),
            ({"max_results": 0}, []),
        ],
    )
    def test_options_of_the_native_api(
        self, client: InferenceServerClient, parameters: dict[str, Any], labels: list[str]
    ) -> None:
        """Filters have the native API's names, and are parameters."""
        result = client.infer("objects", [photos_input(PHOTO)], parameters=parameters)
        assert labels_of(result) == labels

    def test_a_time_limit_in_microseconds(
        self, start_gateway: StartGateway, triton: Triton
    ) -> None:
        """A photo that cannot be answered within the client's time-out is refused in time."""
        client = triton(start_gateway(route={"max_wait_ms": 60_000, "deadline_ms": 90_000})[0])
        with pytest.raises(InferenceServerException) as error:
            client.infer("objects", [photos_input(PHOTO)], timeout=1)
        assert error.value.status() in ("429", "504")

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"parameters": {"conf": 0.5}}, "conf"),
            ({"parameters": {"task": "text"}}, "task"),
            ({"parameters": {"min_score": 2}}, "min_score"),
            ({"parameters": {"max_results": "many"}}, "max_results"),
            ({"priority": 1}, "priority"),
            ({"sequence_id": 3}, "sequence_id"),
            ({"timeout": -1}, "timeout"),
            ({"outputs": [InferRequestedOutput("output0")]}, "output0"),
            (
                {"outputs": [InferRequestedOutput("num_detections", class_count=3)]},
                "classification",
            ),
        ],
    )
    def test_others_are_refused_by_name(
        self, client: InferenceServerClient, change: dict[str, Any], name: str
    ) -> None:
        """An unknown parameter or output is a 400 that names it, as is a wrong value."""
        with pytest.raises(InferenceServerException, match=name) as error:
            client.infer("objects", [photos_input(PHOTO)], **change)
        assert error.value.status() == "400"

    @pytest.mark.parametrize(
        ("name", "datatype", "array", "reason"),
        [
            ("images", "BYTES", np.array([PHOTO], object), "images"),
            ("image", "FP32", np.zeros((1, 4, 4, 3), np.float32), "FP32"),
            ("image", "UINT8", np.zeros((1, 3, 4, 4), np.uint8), r"\[1, 3, 4, 4\]"),
            ("image", "UINT8", np.zeros((1, 0, 4, 3), np.uint8), r"\[1, 0, 4, 3\]"),
            ("image", "BYTES", np.array([[PHOTO, PHOTO]], object), r"\[1, 2\]"),
            ("image", "BYTES", np.array([b"x"] * 101, object), "101 photos"),
            ("image", "BYTES", np.array([], object), "0 photos"),
        ],
    )
    def test_other_inputs_are_refused_by_name(
        self,
        client: InferenceServerClient,
        name: str,
        datatype: str,
        array: Any,
        reason: str,
    ) -> None:
        """Another input, datatype, shape or number of photos is a 400 that names it."""
        tensor = InferInput(name, list(array.shape), datatype).set_data_from_numpy(array)
        with pytest.raises(InferenceServerException, match=reason) as error:
            client.infer("objects", [tensor])
        assert error.value.status() == "400"

    def test_shared_memory_is_refused(self, client: InferenceServerClient) -> None:
        """An input in shared memory is refused, and not read as an empty one."""
        tensor = InferInput("image", [1, 1], "BYTES")
        tensor.set_shared_memory("region", 10)
        with pytest.raises(InferenceServerException, match="shared_memory_region"):
            client.infer("objects", [tensor])


class TestErrors:
    def test_a_bad_photo_refuses_the_call_before_it_costs(
        self, start_gateway: StartGateway, triton: Triton
    ) -> None:
        """Where one photo is refused, the error has its index, and nobody is asked about the
        others, for there is no place for their answers."""
        provider = ScriptedProvider()
        client = triton(start_gateway(provider)[0])
        with pytest.raises(
            InferenceServerException, match=r"image\[1\]: .* not a picture"
        ) as error:
            client.infer("objects", [photos_input(PHOTO, BROKEN, PHOTO)])
        assert error.value.status() == "400"
        assert provider.calls == 0

    def test_a_photo_that_fails_upstream_fails_the_call(
        self, start_gateway: StartGateway, triton: Triton
    ) -> None:
        """Where the provider refuses one photo, the error has its index."""

        def refuse_small(picture: Picture, _task: Task) -> list[Detection]:
            if b"refuse" in picture.data:
                raise PictureRefused("too strange")
            return []

        strange = encoded(IMAGE, "JPEG") + b"refuse"
        client = triton(start_gateway(refuse_small, route=ALONE)[0])
        with pytest.raises(InferenceServerException, match=r"image\[1\]: "):
            client.infer("objects", [photos_input(encoded(IMAGE, "JPEG"), strange)])

    def test_a_busy_gateway_says_when_to_come_back(
        self, serve: Callable[..., str], http: httpx.Client
    ) -> None:
        """A full buffer is a 429 with Retry-After, in the protocol's form."""
        address = serve(buffer={"max_photos": 1})
        row = base64.b64encode(PHOTO).decode()
        tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "data": [row, row]}
        reply = http.post(f"{address}/v2/models/objects/infer", json={"inputs": [tensor]})
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) >= 1
        assert isinstance(reply.json()["error"], str)

    def test_a_tried_call_is_billed_once(self, start_gateway: StartGateway, triton: Triton) -> None:
        """Tries with one Idempotency-Key are one call."""
        provider = ScriptedProvider()
        client = triton(start_gateway(provider)[0])
        for _ in range(2):
            headers = {"Idempotency-Key": "one"}
            result = client.infer("objects", [photos_input(PHOTO)], headers=headers)
            assert labels_of(result) == ["red", "green"]
        assert provider.calls == 1


class TestKeys:
    def test_a_native_key_opens(self, closed: str, triton: Triton) -> None:
        """A tenant's native key opens server, models and inference, sent as a bearer token."""
        client = triton(closed)
        assert client.get_server_metadata(headers=KEY)["name"] == "imgrid-gateway"
        assert client.is_model_ready("objects", headers=KEY)
        result = client.infer("objects", [photos_input(PHOTO)], headers=dict(KEY))
        assert labels_of(result) == ["red", "green"]

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
    def test_without_one_everything_but_health_is_closed(
        self, closed: str, triton: Triton, headers: dict[str, str]
    ) -> None:
        """Without a key, or with a wrong one, only the server's health is told."""
        client = triton(closed)
        calls: list[Callable[[], object]] = [
            lambda: client.get_server_metadata(headers=headers),
            lambda: client.get_model_metadata("objects", headers=headers),
            lambda: client.infer("objects", [photos_input(PHOTO)], headers=dict(headers)),
        ]
        assert client.is_server_ready(headers=headers)
        assert not client.is_model_ready("objects", headers=headers)
        for call in calls:
            with pytest.raises(InferenceServerException) as error:
                call()
            assert error.value.status() == "401"
