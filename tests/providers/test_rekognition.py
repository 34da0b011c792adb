"""The provider `rekognition`: what it asks, what it makes of the answers, and of everything that is none."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import boto3
import pytest

from gateway.testing import drawn, encoded
from providers._remote import UNREADY_S
from providers.base import (
    Box,
    Misconfigured,
    NoAnswer,
    Picture,
    PictureRefused,
    ProviderError,
    Task,
    Throttled,
    Unavailable,
)
from providers.rekognition import Options, Rekognition

PICTURE = Picture(100, 100, data=encoded(drawn((100, 100)), "JPEG"))

LABELS = {
    "Labels": [
        {"Name": "Wedding", "Confidence": 99.0, "Instances": [], "Parents": [], "Aliases": [], "Categories": []},
        {
            "Name": "Dog",
            "Confidence": 91.0,
            "Instances": [
                {"BoundingBox": {"Left": 0.1, "Top": 0.2, "Width": 0.3, "Height": 0.4}, "Confidence": 91.0},
                {"BoundingBox": {"Left": -0.1, "Top": 0.5, "Width": 0.2, "Height": 0.6}, "Confidence": 7.5},
            ],
            "Parents": [{"Name": "Animal"}],
            "Aliases": [{"Name": "Hound"}],
            "Categories": [{"Name": "Animals and Pets"}],
        },
    ],
    "LabelModelVersion": "3.0",
}
SQUARE = {"Left": 0.0, "Top": 0.0, "Width": 0.5, "Height": 0.5}
TEXT = {
    "TextDetections": [
        {"DetectedText": "OPEN LATE", "Type": "LINE", "Id": 0, "Confidence": 98.0,
         "Geometry": {"BoundingBox": SQUARE, "Polygon": [{"X": 0.0, "Y": 0.0}, {"X": 0.5, "Y": 0.5}]}},
        {"DetectedText": "OPEN", "Type": "WORD", "Id": 1, "ParentId": 0, "Confidence": 97.0,
         "Geometry": {"BoundingBox": SQUARE, "Polygon": []}},
    ]
}  # fmt: skip


@pytest.fixture
def cloud():
    """A server that answers with `cloud.reply` (status, headers, body) once `cloud.wait` is set, and keeps requests."""
    state = SimpleNamespace(reply=(200, {}, LABELS), requests=[], wait=threading.Event())
    state.wait.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests.append((self.headers["X-Amz-Target"], json.loads(body)))
            state.wait.wait(5)
            status, headers, answer = state.reply
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        yield state
        state.wait.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def ask(cloud, make, tmp_path):
    """`ask(task, **options)`: the answer to one picture."""

    def asking(task=Task.OBJECTS, **options):
        keys = {"access_key": "any", "secret_key": "any"}
        provider = make("rekognition", tmp_path, endpoint=cloud.url, **keys, **options)

        async def once():
            try:
                return await provider.detect(PICTURE, task)
            finally:
                await provider.close()

        return asyncio.run(once())

    return asking


def refusal(kind, status=400, **headers):
    return status, headers, {"__type": kind, "Message": f"said {kind}"}


def test_it_asks_for_faint_detections(cloud, ask):
    """It asks for all there is at a low confidence, whatever Rekognition's default: rules need something to judge."""
    ask()
    ((target, asked),) = cloud.requests
    assert target == "RekognitionService.DetectLabels"
    assert (asked["MinConfidence"], asked["MaxLabels"]) == (1.0, 1000)


def test_labels_become_detections(ask):
    """Each instance is a detection; a label without a place is left out; what else was said of it is kept."""
    strong, faint = ask()
    assert (strong.label, strong.score) == ("Dog", 0.91)
    assert strong.box == pytest.approx(Box(0.1, 0.2, 0.4, 0.6))
    assert faint.score == pytest.approx(0.075)
    assert faint.box.x0 == pytest.approx(-0.1)
    assert strong.details == {"parents": ("Animal",), "aliases": ("Hound",), "categories": ("Animals and Pets",)}


def test_text_becomes_lines_and_words(cloud, ask):
    """A word names its line by key; polygons are kept."""
    cloud.reply = (200, {}, TEXT)
    line, word = ask(Task.TEXT)
    assert (line.label, line.kind, line.key, line.parent) == ("OPEN LATE", "LINE", 0, None)
    assert (word.label, word.kind, word.key, word.parent) == ("OPEN", "WORD", None, 0)
    assert line.polygon == ((0.0, 0.0), (0.5, 0.5))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refusal("InvalidImageFormatException"), PictureRefused),
        (refusal("ImageTooLargeException"), PictureRefused),
        (refusal("InvalidParameterException"), PictureRefused),
        (refusal("ThrottlingException"), Throttled),
        (refusal("ThrottlingException", 500), Throttled),
        (refusal("ProvisionedThroughputExceededException"), Throttled),
        (refusal("LimitExceededException"), Throttled),
        (refusal("InternalServerError", 500), Unavailable),
        (refusal("AccessDeniedException"), Misconfigured),
        (refusal("UnrecognizedClientException"), Misconfigured),
        (refusal("InvalidSignatureException"), Misconfigured),
        ((429, {}, b""), Throttled),
        ((502, {}, b"<html>bad gateway</html>"), Unavailable),
        ((503, {}, b""), Unavailable),
        ((200, {}, b""), NoAnswer),
        ((200, {}, b"{not json"), NoAnswer),
        ((200, {}, {"Labels": [{"Name": "Dog", "Instances": [{}]}]}), NoAnswer),
    ],
)
def test_what_is_no_answer(cloud, ask, reply, error):
    """Every error becomes the one in the common tree that says what to do about it, after one call."""
    cloud.reply = reply
    with pytest.raises(error):
        ask()
    assert len(cloud.requests) == 1


def test_it_says_how_long_to_wait(cloud, ask):
    """A throttling answer's own pause is passed on, in seconds."""
    cloud.reply = refusal("ThrottlingException", **{"x-amz-retry-after": "1500"})
    with pytest.raises(Throttled) as raised:
        ask()
    assert raised.value.retry_after_s == 1.5


def test_silence_may_have_been_billed(cloud, ask):
    """A call that was sent and not answered in time is told apart from one that failed."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        ask(timeout_ms=60)


def test_nobody_there(make, tmp_path):
    """An address that takes no connection is unavailable, and not ready."""
    provider = make("rekognition", tmp_path, endpoint="http://127.0.0.1:9", access_key="any", secret_key="any")
    with pytest.raises(Unavailable):
        asyncio.run(provider.ready())
    with pytest.raises(Unavailable):
        asyncio.run(provider.detect(PICTURE, Task.OBJECTS))


class TestReady:
    """Whether it says that it could be asked."""

    @pytest.fixture
    def watched(self, cloud):
        """`watched(steps)`: runs such steps with a provider and a clock that is turned by hand (`clock.now`)."""
        clock = SimpleNamespace(now=1000.0)
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
        client = boto3.client("rekognition", endpoint_url=cloud.url, **keys)
        provider = Rekognition("aws", Options(kind="rekognition"), client, None, clock=lambda: clock.now)

        async def walked(steps):
            try:
                await steps(provider, clock)
            finally:
                await provider.close()

        return lambda steps: asyncio.run(walked(steps))

    async def fail(self, provider):
        with pytest.raises(ProviderError):
            await provider.detect(PICTURE, Task.OBJECTS)

    def test_wrong_credentials_are_not_ready(self, cloud, watched):
        """After a call that was refused as misconfigured it says why, for a while, and then may be tried again."""
        cloud.reply = refusal("UnrecognizedClientException")

        async def steps(provider, clock):
            await provider.ready()
            await self.fail(provider)
            clock.now += UNREADY_S - 1
            with pytest.raises(Misconfigured, match="said UnrecognizedClientException"):
                await provider.ready()
            clock.now += 1
            await provider.ready()

        watched(steps)

    def test_each_refusal_counts_anew(self, cloud, watched):
        """The while begins with the last call that was refused, not with the first."""
        cloud.reply = refusal("AccessDeniedException")

        async def steps(provider, clock):
            await self.fail(provider)
            clock.now += UNREADY_S
            await self.fail(provider)
            with pytest.raises(Misconfigured):
                await provider.ready()

        watched(steps)

    def test_a_later_success_makes_it_ready(self, cloud, watched):
        """A call that is answered shows that what was wrong was put right."""
        cloud.reply = refusal("AccessDeniedException")

        async def steps(provider, clock):
            await self.fail(provider)
            cloud.reply = (200, {}, LABELS)
            await provider.detect(PICTURE, Task.OBJECTS)
            await provider.ready()

        watched(steps)

    @pytest.mark.parametrize("kind", ["ThrottlingException", "InvalidImageFormatException"])
    def test_other_failures_leave_it_ready(self, cloud, watched, kind):
        """What may pass, or is the picture's own fault, is no reason to send nobody here."""
        cloud.reply = refusal(kind)

        async def steps(provider, clock):
            await self.fail(provider)
            await provider.ready()

        watched(steps)

    def test_a_task_it_does_not_serve_leaves_it_ready(self, watched):
        """A question that never went out says nothing of credentials."""

        async def steps(provider, clock):
            with pytest.raises(Misconfigured):
                await provider.detect(PICTURE, Task.FACES)
            await provider.ready()

        watched(steps)
