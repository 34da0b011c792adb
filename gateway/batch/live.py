"""The live page's server: on loopback, for as long as a run goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

from msgspec import structs

from gateway.api.resources.job_events import event
from gateway.batch.live_page import RunSnapshot, live_page

LOOPBACK = "127.0.0.1"
HOSTS = frozenset({"127.0.0.1", "localhost"})
"""The names that browsers may call it by: another site's name that leads here is none of them."""
MAX_SNAPSHOTS = 240
"""Snapshots that a page which is opened later gets."""
MAX_STREAMS = 16
KEEP_ALIVE_S = 15.0
CLOSE_S = 5.0
"""How long the end of a run waits for its pages to hear of it."""


class StreamPart(NamedTuple):
    """What a stream sends next, and the number of snapshots that it has sent then."""

    data: bytes
    sent: int
    is_last: bool = False


class SnapshotFeed:
    """Holds a run's snapshots, of many every second, fourth and so on and the last, and how many
    streams read them. All of it under one lock: the run writes, threads read."""

    def __init__(self, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._keep_alive_s = keep_alive_s
        self._changed = threading.Condition()
        self._snapshots: list[tuple[int, RunSnapshot]] = []
        self._count, self._stride = 0, 1
        self._is_closed = False
        self._streams = 0

    def add(self, snapshot: RunSnapshot) -> None:
        """Shows one more snapshot."""
        with self._changed:
            self._snapshots = [each for each in self._snapshots if self._stays(each[0])]
            if len(self._snapshots) >= MAX_SNAPSHOTS:
                self._stride *= 2
                self._snapshots = [each for each in self._snapshots if self._stays(each[0])]
            self._count += 1
            self._snapshots.append((self._count, snapshot))
            self._changed.notify_all()

    def _stays(self, number: int) -> bool:
        """Whether a snapshot stays when another follows."""
        return (number - 1) % self._stride == 0

    @property
    def last(self) -> RunSnapshot | None:
        """The last snapshot."""
        with self._changed:
            return self._snapshots[-1][1] if self._snapshots else None

    def close(self, timeout_s: float) -> None:
        """Ends all streams with the last snapshot, and waits until they have sent it."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._streams, timeout_s)

    @contextmanager
    def stream(self) -> Iterator[Iterator[bytes] | None]:
        """Server-sent events: `run` for each snapshot so far and to come, and `end` for the last
        one of all. None where too many streams are open."""
        with self._changed:
            has_room = self._streams < MAX_STREAMS
            self._streams += has_room
        try:
            yield self._events() if has_room else None
        finally:
            with self._changed:
                self._streams -= has_room
                self._changed.notify_all()

    def _events(self) -> Iterator[bytes]:
        part = StreamPart(b"", 0)
        while not part.is_last:
            part = self._next(part.sent)
            yield part.data

    def _next(self, sent: int) -> StreamPart:
        """What follows the first `sent` snapshots; a comment where nothing does for a while."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._count > sent or self._is_closed, self._keep_alive_s
            )
            snapshots = [each for number, each in self._snapshots if number > sent]
            if self._is_closed and self._snapshots:
                *snapshots, last = snapshots or [self._snapshots[-1][1]]
                ends = event("end", last)
            else:
                ends = b"" if snapshots else b": still here\n\n"
            data = b"".join(event("run", each) for each in snapshots) + ends
            return StreamPart(data, self._count, self._is_closed)


class LivePage:
    """A page about one run, at `url` while it is open, and what it shows.

    with LivePage("1,000 photos") as page:
        page.show(RunSnapshot(photos=1000, answered=10))
    """

    def __init__(self, title: str, port: int = 0, feed: SnapshotFeed | None = None) -> None:
        """Raises OSError where the port is taken; 0 takes a free one."""
        self._feed = feed or SnapshotFeed()
        self._server = _Server(live_page(title).encode(), self._feed, port)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}/"

    def __enter__(self) -> LivePage:
        self._thread.start()
        return self

    def show(self, snapshot: RunSnapshot) -> None:
        """Shows the run as it is now; waits for nobody."""
        self._feed.add(snapshot)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends the page with its last snapshot; with an error a run that has not ended is broken
        off."""
        last = self._feed.last
        if kind is not None and last is not None and last.state == "running":
            self.show(structs.replace(last, state="failed"))
        self._feed.close(CLOSE_S)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, page: bytes, feed: SnapshotFeed, port: int) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.page, self.feed = page, feed


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answers with the page, or with the events."""
        with suppress(ConnectionError):  # the page was closed
            if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in HOSTS:
                self.send_error(403, "This page is for browsers on this machine.")
            elif self.path == "/":
                self._answer("text/html; charset=utf-8")
                self.wfile.write(self.server.page)
            elif self.path == "/events":
                self._stream()
            else:
                self.send_error(404)

    def _stream(self) -> None:
        with self.server.feed.stream() as events:
            if events is None:
                self.send_error(503, f"{MAX_STREAMS} pages are open; close one.")
                return
            self._answer("text/event-stream")
            for each in events:
                self.wfile.write(each)

    def _answer(self, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: the command's output is the run's."""
