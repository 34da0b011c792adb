"""Every dialect's answer says its id, what it was billed and saved, and how long it took."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from gateway.api.bill import bill_of, bill_of_refusal, with_costs
from gateway.core.errors import Busy, DeadlineExceeded, GatewayError, NoPhoto
from gateway.core.exchange import Reply
from gateway.core.model import Outcome, Step
from gateway.core.question import ItemAnswer
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.base import Provider
from providers.detection import Task
from providers.errors import Unavailable
from thresholds.shape import Shape

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))
TEXT = base64.b64encode(PHOTO).decode()
ROUTE = {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}], "max_wait_ms": 2_000}
FOUR_HEADERS = {"x-request-id", "x-imgrid-billed", "x-imgrid-saved", "server-timing"}


class Call(NamedTuple):
    """One call in a dialect's form, with a photo or with none."""

    path: str
    headers: dict[str, str]
    body: Callable[[bytes], bytes]

    def send(self, client: httpx.Client, photo: bytes = PHOTO, **headers: str) -> httpx.Response:
        return client.post(self.path, content=self.body(photo), headers={**self.headers, **headers})


def _json(make: Callable[[str], Any]) -> Callable[[bytes], bytes]:
    return lambda photo: json.dumps(make(base64.b64encode(photo).decode())).encode()


CALLS = {
    "native": Call("/v1/detect", {}, lambda photo: photo),
    "rekognition": Call(
        "/",
        {"X-Amz-Target": "RekognitionService.DetectLabels"},
        _json(lambda text: {"Image": {"Bytes": text}}),
    ),
    "google": Call(
        "/v1/images:annotate",
        {},
        _json(
            lambda text: {
                "requests": [
                    {"image": {"content": text}, "features": [{"type": "OBJECT_LOCALIZATION"}]}
                ]
            }
        ),
    ),
    "azure": Call(
        "/computervision/imageanalysis:analyze?api-version=2023-10-01&features=objects",
        {"Content-Type": "application/octet-stream"},
        lambda photo: photo,
    ),
}
every_dialect = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., httpx.Client]]:
    """`serve(fake, **config)`: a client of a gateway that finds coloured shapes, or asks a fake."""
    with ExitStack() as stack:

        def start(fake: Provider | None = None, **config: Any) -> httpx.Client:
            content = {"providers": {"eye": {"kind": "shapes"}}, "routes": [ROUTE], **config}
            parts = parts_of(tmp_path, content, {"eye": fake} if fake else None)
            return stack.enter_context(
                httpx.Client(base_url=stack.enter_context(serving(parts)), timeout=30)
            )

        yield start


class TestAnswers:
    @every_dialect
    def test_an_answer_says_its_bill_its_id_and_its_times(
        self, serve: Callable[..., httpx.Client], call: Call
    ) -> None:
        """Four photos on one canvas are each billed a quarter of an image, and each saves the
        rest."""
        client = serve()
        with ThreadPoolExecutor(4) as threads:
            replies = list(threads.map(lambda _: call.send(client), range(4)))
        for reply in replies:
            assert reply.status_code == 200
            assert reply.headers["X-Imgrid-Billed"] == "0.25"
            assert reply.headers["X-Imgrid-Saved"] == "0.75"
            times = re.findall(r"(\w+);dur=([\d.]+)", reply.headers["Server-Timing"])
            assert [name for name, _ in times] == ["wait", "compose", "upstream", "total"]
            *parts, total = (float(text) for _, text in times)
            assert sum(parts) <= total + 1
        assert len({reply.headers["X-Request-Id"] for reply in replies}) == 4

    @every_dialect
    def test_a_refused_photo_costs_nothing(
        self, serve: Callable[..., httpx.Client], call: Call
    ) -> None:
        """A photo that cannot be asked about is billed nothing and saves nothing."""
        reply = call.send(serve(), b"no picture")
        assert reply.headers["X-Imgrid-Billed"] == reply.headers["X-Imgrid-Saved"] == "0"
        assert reply.headers["X-Request-Id"]
        assert "total;dur=" in reply.headers["Server-Timing"]

    @every_dialect
    def test_a_call_that_is_refused_as_a_whole_costs_nothing(
        self, serve: Callable[..., httpx.Client], call: Call
    ) -> None:
        """A request without a key is refused with an id, at no cost."""
        reply = call.send(
            serve(tenants=[{"name": "shop", "keys": [{"dialect": "native", "key": "key-shop"}]}])
        )
        assert reply.status_code in (400, 401, 403)
        assert reply.headers["X-Imgrid-Billed"] == reply.headers["X-Imgrid-Saved"] == "0"
        assert reply.headers["X-Request-Id"]

    @every_dialect
    def test_an_unknown_bill_is_not_said(
        self, serve: Callable[..., httpx.Client], call: Call
    ) -> None:
        """Where a call failed that may be billed, the answer has its id and no bill."""
        provider = ScriptedProvider(errors=[Unavailable("away")] * 100, about=about())
        reply = call.send(serve(provider, routes=[{**ROUTE, "deadline_ms": 300, "max_wait_ms": 0}]))
        assert reply.headers["X-Request-Id"]
        assert "X-Imgrid-Billed" not in reply.headers

    def test_resources_and_unknown_paths_have_ids_and_times_too(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """Every HTTP answer has an id and its time."""
        client = serve()
        for path in ("/v1/usage", "/v1/routes", "/v1/jobs", "/healthz", "/nothing/here"):
            reply = client.get(path)
            assert reply.headers["X-Request-Id"]
            assert reply.headers["Server-Timing"].startswith("total;dur=")


class TestIds:
    @every_dialect
    def test_the_id_that_a_client_or_proxy_gave_is_kept(
        self, serve: Callable[..., httpx.Client], call: Call
    ) -> None:
        """A sane id of the request is the answer's, under the vendor's own name too."""
        reply = call.send(serve(), **{"X-Request-Id": "edge-1.a_B"})
        assert reply.headers["X-Request-Id"] == "edge-1.a_B"
        for name in ("x-amzn-RequestId", "apim-request-id"):
            assert reply.headers.get(name, "edge-1.a_B") == "edge-1.a_B"

    @pytest.mark.parametrize("odd", ["", "two words", "x" * 65, "{a}", "a\tb"])
    def test_an_odd_id_is_replaced(self, serve: Callable[..., httpx.Client], odd: str) -> None:
        """An id that could not stand in a log or a key is replaced by a new one."""
        reply = serve().get("/healthz", headers={"X-Request-Id": odd})
        assert re.fullmatch("[0-9a-f]{32}", reply.headers["X-Request-Id"])

    def test_a_repeated_call_has_an_id_of_its_own_and_the_first_ones_bill(
        self, serve: Callable[..., httpx.Client]
    ) -> None:
        """A try that gets an earlier try's answer is told what the call was billed, once."""
        client = serve(routes=[{**ROUTE, "max_wait_ms": 0}])
        replies = [CALLS["native"].send(client, **{"Idempotency-Key": "once"}) for _ in range(2)]
        assert [reply.headers["X-Imgrid-Billed"] for reply in replies] == ["1", "1"]
        assert len({reply.headers["X-Request-Id"] for reply in replies}) == 2


def _answered(*steps: float, error: GatewayError | None = None) -> ItemAnswer:
    """An answer whose steps had these shares of a bill."""
    outcome = Outcome(
        None,
        steps=tuple(
            Step(0, "eye", "c", Shape(1, 1), 1, 1, 1.0, 0.1, 0.5, (), owes=share) for share in steps
        ),
        error=error,
    )
    return ItemAnswer(None, {Task.OBJECTS: outcome})


class TestBills:
    def test_photos_that_were_asked_twice_may_save_less_than_nothing(self) -> None:
        """A photo billed a quarter and then a whole image saved minus a quarter."""
        assert bill_of([_answered(0.25, 1.0)]) == (1.25, -0.25)

    def test_a_failed_photo_saves_nothing_of_what_it_was_billed(self) -> None:
        """A photo that was billed before it failed is in the bill."""
        answers = [_answered(0.25, error=DeadlineExceeded("late")), _answered(0.25)]
        assert bill_of(answers) == (0.5, 0.5)

    def test_a_failure_leaves_a_bill_unknown(self) -> None:
        """Nothing is said of a call that failed before anything was billed for sure."""
        assert bill_of([_answered(error=DeadlineExceeded("late"))]) is None
        assert bill_of([_answered(error=NoPhoto("empty"))]) == (0, 0)
        assert bill_of_refusal(Busy("full")) == (0, 0)
        assert bill_of_refusal(GatewayError()) is None

    def test_times_are_those_of_the_slowest_photo(self) -> None:
        """A call's times are its slowest photo's, over all of its stages."""
        reply = with_costs(Reply(200, b"", {}), [_answered(1), _answered(0.5, 0.5)])
        assert reply.headers["Server-Timing"] == (
            "wait;dur=2000.0, compose;dur=200.0, upstream;dur=1000.0"
        )
