"""Traces: a client's trace shows its request, its photos and their canvases."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.core.trace_context import TRACEPARENT, trace_context
from gateway.observe.log_format import line_handler
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers.base import Picture, Provider
from providers.detection import Detection, Task
from providers.errors import Misconfigured, Unavailable
from tests.support.configs import SHAPES, refusal
from tests.support.otlp import CollectedSpan, Collector, collector

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))
TRACES = ("4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c")
CLIENT_SPAN = "00f067aa0ba902b7"
PAIR: dict[str, Any] = {
    "task": "objects",
    "provider": "eye",
    "stages": [{"shape": "2x1"}],
    "max_wait_ms": 20_000,
}
"""A route whose canvas waits for two photos."""
ALONE: dict[str, Any] = {**PAIR, "stages": [{"shape": "1x1"}]}
TENANTS = [
    {"name": name, "share": True, "keys": [{"dialect": "native", "key": f"key-{name}"}]}
    for name in ("shop", "press")
]


def config(url: str, route: Mapping[str, Any], **tracing: Any) -> dict[str, Any]:
    return {
        "listen": "127.0.0.1:0",
        "providers": {"eye": {"kind": "shapes"}},
        "routes": [route],
        "tenants": TENANTS,
        "tracing": {"endpoint": url, **tracing},
    }


def traceparent(trace_id: str, flags: str = "01") -> str:
    return f"00-{trace_id}-{CLIENT_SPAN}-{flags}"


def detect(url: str, tenant: str = "shop", **headers: str) -> httpx.Response:
    key = {"Authorization": f"Bearer key-{tenant}"}
    return httpx.post(f"{url}/v1/detect", content=PHOTO, headers=key | headers, timeout=30)


async def detect_each(url: str, headers: Sequence[Mapping[str, str]]) -> list[int]:
    """The statuses of requests that are made at the same time, one by each tenant."""
    calls = [
        asyncio.to_thread(detect, url, tenant["name"], **each)
        for tenant, each in zip(TENANTS, headers, strict=True)
    ]
    return [reply.status_code for reply in await asyncio.gather(*calls)]


@pytest.fixture
def spans() -> Iterator[Collector]:
    with collector() as ours:
        yield ours


Serve = Callable[..., list[int]]


@pytest.fixture
def answered(tmp_path: Path, spans: Collector) -> Serve:
    """`answered(route, *headers, script, errors, **tracing)`: the statuses of a request for each of
    the headers, when all spans have arrived."""

    def run(
        route: Mapping[str, Any],
        *headers: Mapping[str, str],
        script: Callable[[Picture, Task], Sequence[Detection]] = see_shapes,
        errors: Sequence[Exception] = (),
        **tracing: Any,
    ) -> list[int]:
        eye: Provider = ScriptedProvider(
            script, about=about("eye", kind="rekognition"), errors=errors
        )
        parts = parts_of(tmp_path, config(spans.url, route, **tracing), {"eye": eye})
        with serving(parts) as url:
            if len(headers) == 1:
                return [detect(url, **headers[0]).status_code]
            return asyncio.run(detect_each(url, headers))

    return run


def is_within(inner: CollectedSpan, outer: CollectedSpan) -> bool:
    slack_ns = 50_000_000  # events are told one after the other
    return outer.start_ns - slack_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns + slack_ns


class TestRequest:
    def test_the_clients_trace_goes_on(self, answered: Serve, spans: Collector) -> None:
        """A request's span is a child of its client's, and says what was called and answered."""
        assert answered(ALONE, {"traceparent": traceparent(TRACES[0])}) == [200]
        span = spans.one("POST /v1/detect")
        assert (span.trace_id, span.parent_id) == (TRACES[0], CLIENT_SPAN)
        expected = {
            "http.request.method": "POST",
            "http.route": "/v1/detect",
            "http.response.status_code": 200,
            "url.path": "/v1/detect",
            "imgrid.tenant": "shop",
            "imgrid.outcome": "ok",
        }
        assert span.attributes | expected == span.attributes
        assert not span.is_error
        assert span.service == "imgrid"

    def test_a_request_without_a_trace_begins_one(self, answered: Serve, spans: Collector) -> None:
        """Without a client's trace the request's span is the root of a new one."""
        answered(ALONE, {}, service_name="eyes")
        span = spans.one("POST /v1/detect")
        assert span.parent_id == ""
        assert {each.trace_id for each in spans.spans} == {span.trace_id}
        assert span.service == "eyes"

    def test_a_trace_that_is_not_sampled_has_no_span(
        self, answered: Serve, spans: Collector
    ) -> None:
        """Neither a client's trace that is not sampled is exported, nor one beyond the share."""
        answered(ALONE, {"traceparent": traceparent(TRACES[0], "00")})
        answered(ALONE, {}, sample=0)
        assert spans.spans == []


class TestPhoto:
    def test_a_photos_span_has_its_parts(self, answered: Serve, spans: Collector) -> None:
        """The photo's span is within its request's, and its wait, its composing, its question and
        its judgement follow each other within it."""
        answered(ALONE, {"traceparent": traceparent(TRACES[0])})
        request, photo = spans.one("POST /v1/detect"), spans.one("photo")
        assert (photo.trace_id, photo.parent_id) == (TRACES[0], request.span_id)
        assert is_within(photo, request)
        parts = [spans.one(name) for name in ("wait", "compose", "ask", "judge")]
        for part in parts:
            assert (part.trace_id, part.parent_id) == (TRACES[0], photo.span_id)
            assert is_within(part, photo)
        starts = [part.start_ns for part in parts]
        assert starts == sorted(starts)

    def test_each_stage_of_a_cascade_has_its_parts(self, answered: Serve, spans: Collector) -> None:
        """A photo that is asked about again has a question for each canvas, in one trace."""
        route = {**PAIR, "stages": [{"shape": "2x1", "rule": {"kind": "onward"}}, {"shape": "1x1"}]}
        answered(route, *({"traceparent": traceparent(trace_id)} for trace_id in TRACES))
        canvases = {canvas.link for canvas in spans.named("canvas")}
        assert len(canvases) == 3
        for photo in spans.named("photo"):
            asks = [span for span in spans.named("ask") if span.parent_id == photo.span_id]
            assert len(asks) == 2
            assert {ask.trace_id for ask in asks} == {photo.trace_id}
            assert frozenset.union(*(ask.links for ask in asks)) < canvases


class TestCanvas:
    def test_two_clients_photos_are_linked_to_one_canvas(
        self, answered: Serve, spans: Collector
    ) -> None:
        """A canvas of two clients' photos is one span in a trace of its own: it links to both
        photos, and the question of each links to it."""
        headers = [{"traceparent": traceparent(trace_id)} for trace_id in TRACES]
        assert answered(PAIR, *headers) == [200, 200]
        canvas, photos, asks = spans.one("canvas"), spans.named("photo"), spans.named("ask")
        assert canvas.trace_id not in TRACES
        assert {photo.trace_id for photo in photos} == set(TRACES)
        assert canvas.links == {photo.link for photo in photos}
        assert [ask.links for ask in asks] == [{canvas.link}] * 2
        assert {ask.parent_id for ask in asks} == {photo.span_id for photo in photos}
        expected = {"gen_ai.provider.name": "rekognition", "imgrid.shape": "2x1"}
        assert canvas.attributes | expected | {"imgrid.photos": 2} == canvas.attributes
        assert canvas.attributes["imgrid.usd"] >= 0

    def test_a_canvas_of_one_request_is_in_its_trace(
        self, answered: Serve, spans: Collector
    ) -> None:
        """The canvas of a photo alone is a child of its request's span."""
        answered(ALONE, {"traceparent": traceparent(TRACES[0])})
        canvas, request = spans.one("canvas"), spans.one("POST /v1/detect")
        assert (canvas.trace_id, canvas.parent_id) == (TRACES[0], request.span_id)

    def test_the_canvass_context_is_handed_on(self, answered: Serve, spans: Collector) -> None:
        """The picture carries the context of its canvas's span to the provider."""
        pictures: list[Picture] = []

        def script(picture: Picture, task: Task) -> Sequence[Detection]:
            pictures.append(picture)
            return see_shapes(picture, task)

        answered(ALONE, {"traceparent": traceparent(TRACES[0])}, script=script)
        context = trace_context(pictures[0].traceparent)
        assert context is not None
        assert (context.trace_id, context.span_id) == spans.one("canvas").link

    def test_another_gateway_continues_the_trace(self, tmp_path: Path, spans: Collector) -> None:
        """The request to a provider of kind gateway is a child of the canvas that it is about."""
        (tmp_path / "inner").mkdir()
        inner = parts_of(tmp_path / "inner", config(spans.url, ALONE, service_name="inner"))
        with serving(inner) as inner_url:
            outer = config(spans.url, ALONE, service_name="outer")
            outer["providers"]["eye"] = {
                "kind": "gateway",
                "endpoint": inner_url,
                "key": "key-shop",
            }
            with serving(parts_of(tmp_path, outer)) as url:
                reply = detect(url, traceparent=traceparent(TRACES[0]))
        assert reply.status_code == 200
        requests = {span.service: span for span in spans.named("POST /v1/detect")}
        canvases = {span.service: span for span in spans.named("canvas")}
        assert requests["inner"].parent_id == canvases["outer"].span_id
        assert {span.trace_id for span in spans.spans} == {TRACES[0]}


class TestErrors:
    def test_a_provider_that_fails_marks_all_spans(self, answered: Serve, spans: Collector) -> None:
        """Where the provider fails for good, the request, the photo, its question and the canvas
        are errors of a type."""
        (status,) = answered(ALONE, {}, errors=[Misconfigured("no key")] * 9)
        assert status >= 500
        for name in ("POST /v1/detect", "photo", "ask", "canvas"):
            span = spans.one(name)
            assert span.is_error, name
            assert span.attributes["error.type"], name
        assert spans.one("canvas").attributes["error.type"] == "Misconfigured"
        assert spans.one("ask").links == {spans.one("canvas").link}

    def test_a_call_that_is_repeated_has_two_spans(self, answered: Serve, spans: Collector) -> None:
        """A call that failed and its repetition are two canvas spans; only the first is an
        error, and the photo is none."""
        assert answered(ALONE, {}, errors=[Unavailable("away")]) == [200]
        assert sorted(span.is_error for span in spans.named("canvas")) == [False, True]
        assert len({span.span_id for span in spans.named("canvas")}) == 2
        assert not spans.one("photo").is_error
        assert not spans.one("POST /v1/detect").is_error


class TestLog:
    def test_a_record_in_json_has_the_traces_ids(self) -> None:
        """A record that is written while a traced request is answered has its trace and span."""
        stream = io.StringIO()
        logger = logging.Logger("imgrid", logging.DEBUG)
        logger.addHandler(line_handler("json", stream))
        token = TRACEPARENT.set(traceparent(TRACES[0]))
        try:
            logger.warning("odd")
        finally:
            TRACEPARENT.reset(token)
        logger.warning("usual")
        traced, untraced = map(json.loads, stream.getvalue().splitlines())
        assert (traced["trace_id"], traced["span_id"]) == (TRACES[0], CLIENT_SPAN)
        assert "trace_id" not in untraced


class TestConfiguration:
    def test_without_a_section_nothing_is_traced_or_imported(self, tmp_path: Path) -> None:
        """A gateway without `tracing` imports nothing of OpenTelemetry, and begins no trace."""
        code = (
            "import sys, pathlib\n"
            "from gateway.testing.gateway import parts_of\n"
            "from tests.support.configs import SHAPES\n"
            "parts = parts_of(pathlib.Path(sys.argv[1]), SHAPES)\n"
            f"assert parts.tracing.begin({traceparent(TRACES[0])!r}) is None\n"
            "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
        )
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_a_missing_extra_is_named(self, tmp_path: Path) -> None:
        """Where OpenTelemetry is not installed, the error names the extra that installs it."""
        code = (
            "import sys, pathlib\n"
            "sys.modules['opentelemetry'] = None\n"
            "from gateway.config.errors import ConfigError\n"
            "from gateway.testing.gateway import parts_of\n"
            "from tests.support.configs import SHAPES\n"
            "try:\n"
            "    parts_of(pathlib.Path(sys.argv[1]), "
            "{**SHAPES, 'tracing': {'endpoint': 'http://c:4318'}})\n"
            "except ConfigError as error:\n"
            "    print(error)\n"
        )
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "tracing: OpenTelemetry is not installed" in done.stdout
        assert "imgrid-gateway[otel]" in done.stdout

    @pytest.mark.parametrize(
        ("tracing", "key"),
        [
            ({}, "tracing.endpoint"),
            ({"endpoint": "collector:4318"}, "tracing.endpoint"),
            ({"endpoint": "http://c:4318", "sample": 1.5}, "tracing.sample"),
        ],
    )
    def test_a_wrong_value_is_named(
        self, tmp_path: Path, tracing: dict[str, Any], key: str
    ) -> None:
        """A section that cannot be is refused by the name of its key."""
        file = tmp_path / "imgrid.yaml"
        file.write_text(json.dumps({**SHAPES, "tracing": tracing}))
        assert key in refusal(file)
