"""A cascade of two classifiers of one's own, asked by the clients of every dialect that serves
labels: a photo of which the small one is sure never reaches the large one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from azure.ai.vision.imageanalysis.models import VisualFeatures
from google.cloud import vision
from PIL import Image
from tritonclient.http import InferenceServerClient, InferInput

from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import encoded
from gateway.wiring.parts import Parts
from tests.support.colour_classifier import write_colour_classifier

Answer = tuple[str, Parts]
NETWORK = {
    "kind": "onnx",
    "layout": "classifier",
    "normalise": "unit",
    "activation": "softmax",
    "canvas": "96x96",
    "vocabulary": "coco",
}
RED, BLUE = (encoded(Image.new("RGB", (120, 90), rgb), "PNG") for rgb in ((255, 0, 0), (0, 0, 255)))
"""The small network knows red, and not blue: of that it is unsure, and says red or green."""


def config_of(folder: Path, **small: Any) -> Mapping[str, Any]:
    """The config of a route of a small network, which is enough from a score of 0.9 on, and a large
    one."""
    providers = {}
    for name, classes in (("small", 2), ("large", 3)):
        (folder / name).mkdir()
        write_colour_classifier(folder / name / "net.onnx", classes=classes)
        files = {"model": f"{name}/net.onnx", "labels": f"{name}/labels.txt"}
        providers[name] = {**NETWORK, **files, **(small if name == "small" else {})}
    stages = [
        {"shape": "1x1", "provider": "small", "rule": {"kind": "confidence", "threshold": 0.9}},
        {"shape": "1x1"},
    ]
    route = {"task": "labels", "provider": "large", "stages": stages, "max_wait_ms": 5}
    return {"providers": providers, "routes": [route], "grpc": {"listen": "127.0.0.1:0"}}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answer]:
    """The address and the parts of a gateway with that route."""
    folder = tmp_path_factory.mktemp("models")
    parts = parts_of(folder, config_of(folder))
    with serving(parts) as address:
        yield address, parts


def test_native_clients_see_which_model_answered(started: Answer, http: httpx.Client) -> None:
    """The trail of a photo has one stage where the small network is sure, and two where it is not;
    the answer is the last one's."""
    trails = {}
    for name, photo in (("red", RED), ("blue", BLUE)):
        reply = http.post(f"{started[0]}/v1/detect?task=labels", content=photo)
        (answer,) = reply.json()["photos"]
        best = max(answer["detections"], key=lambda row: row["score"])
        assert best["label"] == name
        trails[name] = [(step["provider"], step["reason"]) for step in answer["trail"]]
    assert trails["red"] == [("small", "accepted")]
    (first, second) = trails["blue"]
    assert first[0] == "small"
    assert "is unsure" in first[1]
    assert second == ("large", "last stage")


def test_rekognitions_clients_get_the_last_answer(
    started: Answer, rekognition: Callable[..., Any]
) -> None:
    """DetectLabels answers with the classes of the model that was sure."""
    client = rekognition(started[0])
    for name, photo in (("Red", RED), ("Blue", BLUE)):
        reply = client.detect_labels(Image={"Bytes": photo}, MinConfidence=90)
        assert [label["Name"] for label in reply["Labels"]] == [name]


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_googles_clients_get_the_last_answer(
    started: Answer, google_client: Callable[..., Any], transport: str
) -> None:
    """LABEL_DETECTION answers with the classes of the model that was sure."""
    client = google_client(transport, started)
    for name, photo in (("red", RED), ("blue", BLUE)):
        reply = client.label_detection(image=vision.Image(content=photo))
        best = max(reply.label_annotations, key=lambda label: label.score)
        assert best.description.casefold() == name


def test_azures_clients_get_the_last_answer(started: Answer, azure: Callable[..., Any]) -> None:
    """Tags are the classes of the model that was sure."""
    client = azure(started[0])
    for name, photo in (("red", RED), ("blue", BLUE)):
        reply = client.analyze(image_data=photo, visual_features=[VisualFeatures.TAGS])
        assert max(reply.tags.list, key=lambda tag: tag.confidence).name == name


def test_tritons_clients_get_the_last_answer(
    started: Answer, triton: Callable[[str], InferenceServerClient]
) -> None:
    """The outputs of the model `labels` are the classes of the model that was sure."""
    array = np.array([[RED], [BLUE]], dtype=object)
    tensor = InferInput("image", list(array.shape), "BYTES").set_data_from_numpy(array)
    result = triton(started[0]).infer("labels", [tensor])
    labels, scores = result.as_numpy("detection_labels"), result.as_numpy("detection_scores")
    best = [row[score.argmax()].decode() for row, score in zip(labels, scores, strict=True)]
    assert best == ["red", "blue"]


def test_clients_photos_share_the_runs_of_a_network(tmp_path: Path, http: httpx.Client) -> None:
    """With mini-batches the photos of one call go through both networks together, and each is
    answered by the model that was sure of it."""
    parts = parts_of(tmp_path, config_of(tmp_path, mini_batch=4))
    files = [("photos", (f"{index}.png", (RED, BLUE)[index % 2])) for index in range(8)]
    with serving(parts) as address:
        reply = http.post(f"{address}/v1/detect?task=labels", files=files)
    photos = reply.json()["photos"]
    best = [max(photo["detections"], key=lambda row: row["score"])["label"] for photo in photos]
    assert best == ["red", "blue"] * 4
    assert [len(photo["trail"]) for photo in photos] == [1, 2] * 4
