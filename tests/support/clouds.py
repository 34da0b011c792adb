"""Services in place of the clouds: they answer as Rekognition, Google and Azure do."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from google.cloud.vision import Feature
from PIL import Image

from providers.detection import Detection
from providers.shapes import shapes_on
from tests.support.paths import ROOT

ANSWERS = ROOT / "tests" / "providers" / "answers"

VendorAnswers = Mapping[str, Mapping[str, Any]]
"""By vendor and operation or feature, what the vendor answers."""

VENDOR_ANSWERS: VendorAnswers = {
    vendor: json.loads((ANSWERS / f"{vendor}.json").read_text())
    for vendor in ("rekognition", "google", "azure")
}
"""The answers of each vendor about a picture of 200 x 100 pixels, in the shapes of its API."""


class Request(NamedTuple):
    """A request as a service received it."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


Reply = tuple[int, Mapping[str, str], Any] | None
"""Status, headers, and a body: JSON unless it is bytes. None closes the connection."""


@contextmanager
def http_service(answer: Callable[[Request], Reply]) -> Iterator[str]:
    """The address of a service that replies to requests as `answer` does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if (reply := answer(Request(self.path, self.headers, body, self.command))) is None:
                return
            status, headers, body = reply
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": len(content),
                **headers,
            }.items():
                self.send_header(name, str(value))
            with suppress(ConnectionError):  # the client may have gone
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@dataclass
class Cloud:
    """A service whose replies a test sets. Holds the requests it received; while `wait` is not set,
    it does not reply."""

    reply: Reply = (200, {}, {})
    url: str = ""
    requests: list[Any] = field(default_factory=list)
    wait: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running_cloud(cloud: Cloud, record: Callable[[Request], Any]) -> Iterator[Cloud]:
    """The cloud while it runs. It keeps what `record` makes of each request."""
    cloud.wait.set()

    def answer(request: Request) -> Reply:
        cloud.requests.append(record(request))
        cloud.wait.wait(5)
        return cloud.reply

    with http_service(answer) as cloud.url:
        yield cloud
        cloud.wait.set()


@dataclass
class Relay:
    """A service that passes requests on to `target`. Holds the number of hops of each."""

    url: str = ""
    target: str = ""
    hops: list[int] = field(default_factory=list)


def shapes_in(data: bytes) -> tuple[Image.Image, Sequence[Detection]]:
    """The picture, and the shapes on it. Raises OSError if the data is no picture."""
    image = Image.open(BytesIO(data)).convert("RGB")
    return image, shapes_on(image)


def as_rekognition(request: Request) -> Reply:
    """The answer of Rekognition.

    https://docs.aws.amazon.com/rekognition/latest/APIReference/Welcome.html
    """
    operation, question = (
        request.headers["X-Amz-Target"].removeprefix("RekognitionService."),
        json.loads(request.body),
    )
    try:
        shapes_in(base64.b64decode(question["Image"]["Bytes"]))
    except OSError:
        message = "Request has invalid image format"
        return 400, {}, {"__type": "InvalidImageFormatException", "Message": message}
    name = ":".join((operation, *question.get("Features", ())))
    return 200, {}, VENDOR_ANSWERS["rekognition"][name]


def as_google(request: Request) -> Reply:
    """The answer of Google.

    https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse
    """
    (question,) = json.loads(request.body)["requests"]
    try:
        _, detections = shapes_in(base64.b64decode(question["image"]["content"]))
    except OSError:
        return 200, {}, {"responses": [{"error": {"code": 3, "message": "Bad image data."}}]}
    response: dict[str, Any] = {}
    for name in (Feature.Type(feature["type"]).name for feature in question["features"]):
        response |= VENDOR_ANSWERS["google"][name]
    if detections and "localizedObjectAnnotations" in response:
        response["localizedObjectAnnotations"] = response["localizedObjectAnnotations"] + list(
            map(google_object, detections)
        )
    return 200, {}, {"responses": [response]}


def google_object(detection: Detection) -> Mapping[str, Any]:
    x0, y0, x1, y1 = detection.box
    corners = [{"x": x, "y": y} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    return {
        "name": detection.label,
        "score": detection.score,
        "boundingPoly": {"normalizedVertices": corners},
    }


def as_azure(request: Request) -> Reply:
    """The answer of Azure.

    https://learn.microsoft.com/rest/api/computervision/image-analysis/analyze
    """
    try:
        image, detections = shapes_in(request.body)
    except OSError:
        inner = {"code": "InvalidImageFormat", "message": "Image format is not valid."}
        error = {"code": "InvalidRequest", "message": inner["message"], "innererror": inner}
        return 400, {}, {"error": error}
    metadata = dict(zip(("width", "height"), image.size, strict=True))
    features = parse_qs(urlsplit(request.path).query)["features"][0].split(",")
    results = {f"{feature}Result": VENDOR_ANSWERS["azure"][feature] for feature in features}
    if features == ["objects"]:
        values = [azure_object(detection, *image.size) for detection in detections]
        results = {"objectsResult": {"values": values}}
    return 200, {}, {"modelVersion": "2023-10-01", "metadata": metadata, **results}


def azure_object(detection: Detection, width: int, height: int) -> Mapping[str, Any]:
    x0, y0, x1, y1 = detection.box
    pixels = x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height
    box = dict(zip("xywh", map(round, pixels), strict=True))
    return {"boundingBox": box, "tags": [{"name": detection.label, "confidence": detection.score}]}


def as_cloud(request: Request) -> Reply:
    """The answer of the cloud that the request is meant for."""
    if "X-Amz-Target" in request.headers:
        return as_rekognition(request)
    return (as_google if "images:annotate" in request.path else as_azure)(request)
