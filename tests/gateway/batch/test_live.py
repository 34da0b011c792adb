"""The live page: what a run shows of itself while it goes on."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from gateway.batch.aggregate import Estimate
from gateway.batch.live import MAX_SNAPSHOTS, MAX_STREAMS, LivePage, SnapshotFeed
from gateway.batch.live_page import RunSnapshot

SHARE = Estimate("share(car)", 0.2, 0.15, 0.25, is_met=False)


def snapshots(count: int) -> list[RunSnapshot]:
    return [RunSnapshot(count, answered=number, estimates=(SHARE,)) for number in range(count)]


def read(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream, by name and data; comments are left out."""
    events = list[tuple[str, dict[str, Any]]]()
    for block in text.strip().split("\n\n"):
        if not block.startswith(":"):
            name, data = block.split("\n")
            events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


@pytest.fixture
def feed() -> SnapshotFeed:
    return SnapshotFeed(keep_alive_s=60)


@pytest.fixture
def page(feed: SnapshotFeed) -> Iterator[LivePage]:
    with LivePage("All cars", feed=feed) as each:
        yield each


def test_a_stream_shows_what_was_and_what_comes(feed: SnapshotFeed) -> None:
    """A stream begins with the snapshots so far, goes on with those to come, and ends with the
    last."""
    first, second, last = snapshots(3)
    feed.add(first)
    with feed.stream() as stream:
        assert stream is not None
        assert [name for name, _ in read(next(stream).decode())] == ["run"]
        feed.add(second)
        assert read(next(stream).decode())[0][1]["answered"] == 1
        feed.add(last)
        feed.close(0)
        assert read(next(stream).decode()) == [("end", read_one(last))]
        assert list(stream) == []


def read_one(snapshot: RunSnapshot) -> dict[str, Any]:
    """The data of an event about it."""
    estimate = {"query": "share(car)", "value": 0.2, "low": 0.15, "high": 0.25, "is_met": False}
    others = {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
    return {**others, "estimates": [estimate]}


def test_a_late_stream_gets_the_end(feed: SnapshotFeed) -> None:
    """A stream that has sent the last snapshot, or is opened later, still ends with it."""
    only = snapshots(1)[0]
    feed.add(only)
    with feed.stream() as early, feed.stream() as late:
        assert early is not None
        assert late is not None
        next(early)
        feed.close(0)
        assert [name for name, _ in read(b"".join(early).decode())] == ["end"]
        assert [name for name, _ in read(b"".join(late).decode())] == ["end"]


def test_long_runs_are_thinned_out(feed: SnapshotFeed) -> None:
    """Of a long run a late page gets a limited number of snapshots, from the first to the last, at
    even distances."""
    for snapshot in snapshots(10_000):
        feed.add(snapshot)
    feed.close(0)
    with feed.stream() as stream:
        assert stream is not None
        answered = [data["answered"] for _, data in read(b"".join(stream).decode())]
    assert MAX_SNAPSHOTS / 3 <= len(answered) <= MAX_SNAPSHOTS
    assert (answered[0], answered[-1]) == (0, 9_999)
    assert len(set(np.diff(answered[:-1]))) == 1


def test_comments_keep_an_idle_stream_alive() -> None:
    """A stream without news sends comments."""
    with SnapshotFeed(keep_alive_s=0).stream() as stream:
        assert stream is not None
        assert next(stream) == b": still here\n\n"


def test_streams_are_limited(feed: SnapshotFeed) -> None:
    """There is no stream beyond the limit, until one is closed."""
    opened = [feed.stream() for _ in range(MAX_STREAMS)]
    for each in opened:
        assert each.__enter__() is not None
    with feed.stream() as refused:
        assert refused is None
    opened[0].__exit__(None, None, None)
    with feed.stream() as stream:
        assert stream is not None


def test_the_page_stands_alone(page: LivePage) -> None:
    """The page is served on loopback and fetches nothing but its events."""
    reply = httpx.get(page.url)
    assert reply.status_code == 200
    assert "All cars" in reply.text
    assert "connect-src 'self'" in reply.text
    assert "http://" not in reply.text.replace("http://www.w3.org/2000/svg", "")
    assert urlsplit(page.url).hostname == "127.0.0.1"


def test_a_reader_follows_the_run_to_its_end(feed: SnapshotFeed) -> None:
    """A reader gets each snapshot and the end, for which the page waits before it closes."""
    texts = list[str]()
    with LivePage("All cars", feed=feed) as page:
        begun = threading.Event()

        def follow() -> None:
            with httpx.stream("GET", page.url + "events", timeout=60) as reply:
                for text in reply.iter_text():
                    begun.set()
                    texts.append(text)

        reader = threading.Thread(target=follow)
        page.show(RunSnapshot(10, answered=1))
        reader.start()
        begun.wait()
        page.show(RunSnapshot(10, state="done", answered=10))
    reader.join()
    events = read("".join(texts))
    assert [data["answered"] for _, data in events][-1] == 10
    assert [name for name, _ in events][-1] == "end"


def test_a_run_that_breaks_off_says_so(feed: SnapshotFeed) -> None:
    """The end of a run that an error broke off says so; one that had ended stays as it was."""
    for state, end in (("running", "failed"), ("done", "done")):
        with suppress(KeyboardInterrupt), LivePage("All cars", feed=feed) as page:
            page.show(RunSnapshot(10, state=state))
            raise KeyboardInterrupt
        assert feed.last is not None
        assert feed.last.state == end


def test_another_sites_name_is_refused(page: LivePage) -> None:
    """A browser that another site's name led here gets nothing."""
    address = urlsplit(page.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    connection.request("GET", "/", headers={"Host": "evil.example"})
    assert connection.getresponse().status == 403
    connection.close()
    assert httpx.get(page.url.replace("127.0.0.1", "localhost")).status_code == 200


def test_nothing_else_is_served(page: LivePage) -> None:
    """There is nothing at other paths."""
    assert httpx.get(page.url + "../etc/passwd").status_code == 404
    assert httpx.get(page.url + "favicon.ico").status_code == 404
