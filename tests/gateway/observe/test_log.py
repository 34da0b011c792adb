"""The log: one line a record, a line for each request, and outages that begin and end once."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway.core.events import BreakerChanged, CallFailed, RequestEnded
from gateway.core.outage_log import OutageLog
from gateway.core.request_id import REQUEST_ID
from gateway.observe.log import EventLog
from gateway.observe.log_format import LogFormat, line_handler
from gateway.testing.pictures import Block, drawn, encoded
from providers.errors import NoAnswer, PictureRefused, Unavailable
from tests.support.clocks import HandClock

PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)))


def lines(log_format: LogFormat, *write: Callable[[logging.Logger], None]) -> list[str]:
    """The lines that a handler of that format writes."""
    stream = io.StringIO()
    logger = logging.Logger("imgrid", logging.DEBUG)
    logger.addHandler(line_handler(log_format, stream))
    for each in write:
        each(logger)
    return stream.getvalue().splitlines()


def fail(logger: logging.Logger) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("it\nfailed\x1b[31m")


class TestLines:
    def test_json_has_a_record_a_line(self) -> None:
        """JSON has time, level, logger, message and the whole traceback, in one line."""
        (line,) = lines("json", fail)
        record = json.loads(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
        assert (record["level"], record["logger"]) == ("ERROR", "imgrid")
        assert record["message"] == "it\nfailed\x1b[31m"
        assert record["exception"].endswith("ValueError: two\nlines")

    def test_text_has_a_record_a_line(self) -> None:
        """Text escapes line breaks and control characters, so that no foreign text looks like a
        record or colours a terminal."""
        (line,) = lines("text", fail)
        assert " ERROR imgrid it\\nfailed\\x1b[31m | Traceback" in line

    @pytest.mark.parametrize("log_format", ["json", "text"])
    def test_a_record_names_its_request(self, log_format: LogFormat) -> None:
        """A record that is written while a request is answered has the request's id."""
        token = REQUEST_ID.set("edge-1")
        try:
            (line,) = lines(log_format, lambda logger: logger.warning("odd"))
        finally:
            REQUEST_ID.reset(token)
        assert ('"request_id": "edge-1"' if log_format == "json" else "[edge-1] odd") in line


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Callable[[], Sequence[tuple[str, str]]]:
    """`records()`: level and message of what was logged for operators, debugging left out."""
    caplog.set_level("INFO", "imgrid")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


class TestOutages:
    def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
        self, records: Callable[[], Sequence[tuple[str, str]]]
    ) -> None:
        """Of a thousand failed calls the first is logged, and then the end with its length."""
        clock = HandClock()
        log = OutageLog(clock)
        for _ in range(1000):
            log.failed("provider eye", "Unavailable", "Unavailable: away")
            clock.now += 0.06
        clock.now += 10
        for _ in range(10):
            log.worked("provider eye")
        assert records() == [
            ("WARNING", "provider eye: Unavailable: away"),
            ("WARNING", "provider eye: well again after 70 s, in which 1000 calls failed"),
        ]

    def test_a_provider_that_fails_now_and_then_has_one_outage(
        self, records: Callable[[], Sequence[tuple[str, str]]]
    ) -> None:
        """Successes between failures do not end an outage: nothing must have failed for a
        while."""
        clock = HandClock()
        log = OutageLog(clock)
        for _ in range(100):
            log.failed("provider eye", "NoAnswer", "NoAnswer: late")
            clock.now += 1
            log.worked("provider eye")
        assert len(records()) == 1

    def test_another_kind_of_fault_is_logged_too(
        self, records: Callable[[], Sequence[tuple[str, str]]]
    ) -> None:
        """The first failure of each kind is logged; parts have outages of their own."""
        clock = HandClock()
        log = EventLog(clock)
        for error in [Unavailable("away"), NoAnswer("late"), Unavailable("away again")] * 5:
            log(CallFailed("eye", error))
        log(CallFailed("ear", Unavailable("deaf")))
        assert [message for _, message in records()] == [
            "provider eye: Unavailable: away",
            "provider eye: NoAnswer: late",
            "provider ear: Unavailable: deaf",
        ]

    def test_the_breaker_ends_an_outage_at_once(
        self, records: Callable[[], Sequence[tuple[str, str]]]
    ) -> None:
        """However often the breaker opens and probes, its outage has one line for that, and ends
        when it closes."""
        log = EventLog(HandClock())
        log(CallFailed("eye", Unavailable("away")))
        for _ in range(20):
            log(BreakerChanged("eye", "open", 30.0))
            log(BreakerChanged("eye", "probing", 0.0))
        log(BreakerChanged("eye", "closed", 0.0))
        assert [message.partition(":")[2].split()[0] for _, message in records()] == [
            "Unavailable:",
            "too",
            "well",
        ]

    def test_a_refused_picture_is_no_outage(
        self, records: Callable[[], Sequence[tuple[str, str]]]
    ) -> None:
        """A picture that a provider refuses says nothing of the provider."""
        EventLog(HandClock())(CallFailed("eye", PictureRefused("damaged")))
        assert records() == [("INFO", "provider eye: PictureRefused: damaged")]


class TestRequests:
    EVENT = RequestEnded("r-1", "the shop", "native", "objects", 2, "ok", 200, 0.0123, 0.5, 1)

    def test_a_request_is_a_line(self, records: Callable[[], Sequence[tuple[str, str]]]) -> None:
        """The line of a request has its id, tenant, dialect, task, outcome, time and bill, and
        how many answers came from the cache."""
        EventLog(HandClock())(self.EVENT)
        assert records() == [
            (
                "INFO",
                "request id=r-1 tenant='the shop' dialect=native task=objects photos=2 outcome=ok "
                "status=200 ms=12.3 billed=0.5 cached=1",
            )
        ]

    def test_its_json_has_members(self, caplog: pytest.LogCaptureFixture) -> None:
        """In JSON these are members of the record."""
        caplog.set_level("INFO", "imgrid")
        EventLog(HandClock())(self.EVENT)
        (line,) = lines("json", lambda logger: logger.handle(caplog.records[0]))
        members = json.loads(line)
        assert {name: members[name] for name in ("id", "tenant", "ms", "billed", "status")} == {
            "id": "r-1",
            "tenant": "the shop",
            "ms": 12.3,
            "billed": 0.5,
            "status": 200,
        }


@contextmanager
def serving(folder: Path, **config: Any) -> Iterator[tuple[str, Path]]:
    """The address of `imgrid serve`, and the file of what it writes to standard error."""
    file, log_file = folder / "imgrid.yaml", folder / "log"
    route = {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}], "max_wait_ms": 5}
    content = {"listen": "127.0.0.1:0", "providers": {"eye": {"kind": "shapes"}}, "routes": [route]}
    file.write_text(yaml.safe_dump({**content, **config}))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGRID_")}
    command = [sys.executable, "-c", "from gateway.cli.main import main; main()", "serve"]
    with (
        log_file.open("w") as log,
        subprocess.Popen(
            [*command, "-c", str(file)], stdout=subprocess.PIPE, stderr=log, text=True, env=clean
        ) as process,
    ):
        try:
            yield re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0], log_file
            process.terminate()
            process.wait(30)
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_running_gateway_logs_lines_and_no_tracebacks_of_damaged_photos(
    tmp_path: Path, log_format: str
) -> None:
    """Where no terminal shows it, the log of `imgrid serve` is one line a record; a damaged photo
    leaves its request's line, with the answer's id, and no traceback or warning."""
    gif, tiff = (_encoded(kind) for kind in ("GIF", "TIFF"))
    photos = [PHOTO, gif[: len(gif) // 2], tiff[: len(tiff) // 2], tiff[:60], b"no picture"]
    with serving(tmp_path, log_format=log_format) as (address, log_file):
        ids = []
        for photo in photos:
            reply = httpx.post(f"{address}/v1/detect", content=photo, timeout=30)
            ids.append((reply.headers["X-Request-Id"], reply.status_code))
    written = log_file.read_text().splitlines()
    assert "Traceback" not in log_file.read_text()
    assert [status for _, status in ids] == [200, 400, 400, 400, 400]
    if log_format == "json":
        requests = [record for record in map(json.loads, written) if "dialect" in record]
        assert [(each["id"], each["status"]) for each in requests] == ids
        assert [each["outcome"] for each in requests[:2]] == ["ok", "invalid_format"]
    else:
        assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ \S+ ", line) for line in written)
        assert [re.findall(r"request id=(\w+)", line) for line in written if " id=" in line] == [
            [name] for name, _ in ids
        ]


def _encoded(kind: str) -> bytes:
    file = io.BytesIO()
    drawn((200, 200), Block("red", 40, 40, 160, 160)).save(file, kind)
    return file.getvalue()
