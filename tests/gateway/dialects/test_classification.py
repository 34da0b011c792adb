"""A classifier of one's own answers the vendors' clients about labels and moderation: a real
network in ONNX, its class names in the vendors' words by a file of names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.cloud import vision
from PIL import Image

from gateway.testing.pictures import encoded
from gateway.wiring.parts import Parts
from providers import onnx
from providers.base import Provider
from tests.support.colour_classifier import write_colour_classifier

Start = Callable[..., tuple[str, Parts]]
SdkClient = Callable[..., Any]
RED = encoded(Image.new("RGB", (120, 90), (255, 0, 0)), "JPEG")
ORANGE = encoded(Image.new("RGB", (120, 90), (255, 128, 0)), "JPEG")
NAMES = """
between: [coco, {vendor}]
names:
  - [red, {name}]
"""
ALONE = {"stages": [{"shape": "1x1"}]}


def classifier(folder: Path, **settings: Any) -> Provider:
    """A provider that classifies photos by their colour, as a sigmoid head unless it is set, and
    takes the channels last."""
    write_colour_classifier(folder / "net.onnx", channels_last=True)
    options = onnx.Options.model_validate(
        {
            "kind": "onnx",
            "model": "net.onnx",
            "labels": "labels.txt",
            "layout": "classifier",
            "normalise": "unit",
            "activation": "sigmoid",
            "vocabulary": "coco",
            "canvas": "96x96",
            **settings,
        }
    )
    return onnx.create("labels", options, folder)


def names_file(folder: Path, vendor: str, name: str) -> str:
    """The path of a file that gives red another name in the words of a vendor."""
    file = folder / f"{vendor}.yaml"
    file.write_text(NAMES.format(vendor=vendor, name=name))
    return str(file)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_native_clients_get_classes_by_the_networks_own_names(
    start_gateway: Start, http: httpx.Client, tmp_path: Path, activation: str
) -> None:
    """The native API answers with classes and scores of either head, under the names in the file of
    labels."""
    provider = classifier(tmp_path, activation=activation)
    address, _ = start_gateway(labels=provider, route=ALONE)
    reply = http.post(f"{address}/v1/detect?task=labels", content=RED)
    assert reply.status_code == 200, reply.text
    assert "X-Imgrid-Labels" not in reply.headers
    (photo,) = reply.json()["photos"]
    scores = {row["label"]: row["score"] for row in photo["detections"]}
    assert scores["red"] == pytest.approx(0.993 if activation == "sigmoid" else 1.0, abs=0.001)
    assert "green" not in scores


def test_only_the_likeliest_classes_are_reported(
    start_gateway: Start, http: httpx.Client, tmp_path: Path
) -> None:
    """With `top_k` a photo gets so many classes, whatever the others score."""
    provider = classifier(tmp_path, floor=0.0, top_k=2)
    address, _ = start_gateway(labels=provider, route=ALONE)
    reply = http.post(f"{address}/v1/detect?task=labels", content=ORANGE)
    (photo,) = reply.json()["photos"]
    assert [row["label"] for row in photo["detections"]] == ["red", "green"]


def test_rekognitions_clients_get_them_as_labels_without_instances(
    start_gateway: Start, rekognition: SdkClient, tmp_path: Path
) -> None:
    """DetectLabels answers with the classes of a photo in Rekognition's words: those of the file of
    names, and else in its spelling. Nothing is said of where they are."""
    names = [names_file(tmp_path, "rekognition", "Ripe Tomato")]
    address, _ = start_gateway(labels=classifier(tmp_path), route=ALONE, names=names)
    reply = rekognition(address).detect_labels(Image={"Bytes": ORANGE}, MinConfidence=10)
    assert [label["Name"] for label in reply["Labels"]] == ["Ripe Tomato", "Green"]
    assert not any(label["Instances"] for label in reply["Labels"])


def test_rekognitions_clients_may_ask_by_their_own_names(
    start_gateway: Start, rekognition: SdkClient, tmp_path: Path
) -> None:
    """A filter of DetectLabels may have a name that only the file of names knows."""
    names = [names_file(tmp_path, "rekognition", "Ripe Tomato")]
    address, _ = start_gateway(labels=classifier(tmp_path), route=ALONE, names=names)
    reply = rekognition(address).detect_labels(
        Image={"Bytes": ORANGE},
        MinConfidence=10,
        Features=["GENERAL_LABELS"],
        Settings={"GeneralLabels": {"LabelInclusionFilters": ["Ripe Tomato"]}},
    )
    assert [label["Name"] for label in reply["Labels"]] == ["Ripe Tomato"]


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_googles_clients_get_them_as_label_annotations(
    start_gateway: Start,
    google_client: SdkClient,
    tmp_path: Path,
    transport: str,
) -> None:
    """LABEL_DETECTION answers with the classes of a photo in Google's words."""
    names = [names_file(tmp_path, "google", "Ripe tomato")]
    gateway = start_gateway(
        labels=classifier(tmp_path), route=ALONE, names=names, grpc={"listen": "127.0.0.1:0"}
    )
    reply = google_client(transport, gateway).label_detection(image=vision.Image(content=ORANGE))
    (label,) = [each for each in reply.label_annotations if each.score > 0.9]
    assert (label.description, label.score) == ("Ripe tomato", pytest.approx(0.993, abs=0.002))


def test_a_classifier_moderates_in_rekognitions_words(
    start_gateway: Start,
    rekognition: SdkClient,
    google_client: SdkClient,
    tmp_path: Path,
) -> None:
    """A class that the labels name as Rekognition's category is a moderation label for
    Rekognition's clients and a likelihood for Google's; a class that is N/A is never reported."""
    (tmp_path / "categories.txt").write_text("Explicit\nN/A\nN/A")
    provider = classifier(tmp_path, vocabulary="rekognition", labels="categories.txt")
    gateway = start_gateway(moderation=provider, route=ALONE)
    reply = rekognition(gateway[0]).detect_moderation_labels(Image={"Bytes": ORANGE})
    (label,) = reply["ModerationLabels"]
    assert (label["Name"], label["Confidence"]) == ("Explicit", pytest.approx(99.3, abs=0.2))
    image = vision.Image(content=ORANGE)
    annotation = google_client("rest", gateway).safe_search_detection(image=image)
    assert annotation.safe_search_annotation.adult == vision.Likelihood.VERY_LIKELY
    assert annotation.safe_search_annotation.racy == vision.Likelihood.VERY_UNLIKELY
