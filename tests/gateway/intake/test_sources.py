"""Photos that clients name by where they lie: read with the gateway's rights, for whom the operator
opened the folder.

S3 is moto's server, Cloud Storage a small server of this file's; both are asked over loopback by
the vendors' own libraries.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from gateway.config.errors import ConfigError
from gateway.config.sections import GsSettings, S3Settings
from gateway.core.errors import (
    Busy,
    NotFetched,
    SourceAway,
    SourceMissing,
    SourceNotAllowed,
    SourceTooLarge,
    TooManyBytes,
)
from gateway.core.locations import Location, folder_of, s3_url
from gateway.core.model import Tenant
from gateway.intake.object_stores import GsReader, ObjectStoreReader, open_gs, open_s3, read_all
from gateway.intake.sources import Sources, WebSource
from gateway.security.egress import EgressGuard
from gateway.security.keyring import ANYBODY
from gateway.testing.gateway import parts_of
from gateway.testing.redis_server import free_port
from providers.errors import Misconfigured
from tests.support.waiting import wait_until

SHOP, PRESS = Tenant("shop", "shop"), Tenant("press", "press")
PHOTO = bytes(range(256)) * 4
ODD = "an odd/photo ?#%20+é&.jpg"
MOST = 4096


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """moto's S3, with a bucket of one version a key and one of many."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def s3(s3_endpoint: str) -> Iterator[Any]:
    """The operator's own client, and what it has put there."""
    client = boto3.client("s3", **_own(s3_endpoint))
    for bucket in ("shop", "shop2", "press"):
        client.create_bucket(Bucket=bucket)
    for key in ("photos/a.jpg", ODD, "a.jpg"):
        client.put_object(Bucket="shop", Key=key, Body=PHOTO)
    client.put_object(Bucket="shop", Key="large.jpg", Body=bytes(MOST + 1))
    client.put_object(Bucket="shop", Key="just.jpg", Body=bytes(MOST))
    client.put_object(Bucket="shop", Key="empty.jpg", Body=b"")
    client.put_object(Bucket="shop2", Key="a.jpg", Body=b"secret")
    yield client
    client.close()


def _own(endpoint: str) -> dict[str, str]:
    return {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "AK",
        "aws_secret_access_key": "SK",
    }


def settings_of(endpoint: str) -> S3Settings:
    return S3Settings(
        region="us-east-1", endpoint=endpoint, access_key="AK", secret_key=SecretStr("SK")
    )


@pytest.fixture
async def shop(s3: Any, s3_endpoint: str) -> Any:
    """A tenant whose folder is the bucket `shop`, before moto's S3."""
    sources = Sources(
        {"s3": open_s3(settings_of(s3_endpoint), 20)},
        tenant_folders={"shop": [folder_of("s3://shop/")]},
        timeout_s=20,
    )
    yield sources
    await sources.close()


class TestS3:
    @pytest.mark.parametrize("key", ["a.jpg", "photos/a.jpg", ODD])
    async def test_object(self, shop: Sources, key: str) -> None:
        """An object is read byte for byte, whatever it is called."""
        assert await shop.fetch(s3_url("shop", key), SHOP, MOST) == PHOTO

    @pytest.mark.parametrize(("key", "size"), [("just.jpg", MOST), ("empty.jpg", 0)])
    async def test_sizes(self, shop: Sources, key: str, size: int) -> None:
        """One as large as may be is read, and so is an empty one, which admission refuses."""
        assert len(await shop.fetch(s3_url("shop", key), SHOP, MOST)) == size

    async def test_version(self, shop: Sources, s3: Any) -> None:
        """A version that is named is the one that is read."""
        s3.put_bucket_versioning(Bucket="shop", VersioningConfiguration={"Status": "Enabled"})
        old, new = (
            s3.put_object(Bucket="shop", Key="v.jpg", Body=body)["VersionId"]
            for body in (b"old", b"new")
        )
        deleted = s3.delete_object(Bucket="shop", Key="v.jpg")["VersionId"]
        assert await shop.fetch(s3_url("shop", "v.jpg", old), SHOP, MOST) == b"old"
        assert await shop.fetch(s3_url("shop", "v.jpg", new), SHOP, MOST) == b"new"
        for gone in ("", deleted, "no-such-version"):
            with pytest.raises(SourceMissing):
                await shop.fetch(s3_url("shop", "v.jpg", gone), SHOP, MOST)

    async def test_too_large(self, shop: Sources) -> None:
        """One that is larger is refused as a photo that was sent would be."""
        with pytest.raises(SourceTooLarge, match="larger than 4096 bytes") as caught:
            await shop.fetch(s3_url("shop", "large.jpg"), SHOP, MOST)
        assert isinstance(caught.value, TooManyBytes)
        assert isinstance(caught.value, NotFetched)

    async def test_missing(self, shop: Sources) -> None:
        """Where there is none, that is said."""
        with pytest.raises(SourceMissing, match="no such object"):
            await shop.fetch("s3://shop/none.jpg", SHOP, MOST)

    async def test_no_such_bucket(self, s3_endpoint: str) -> None:
        """A bucket that does not exist is nothing else."""
        sources = Sources(
            {"s3": open_s3(settings_of(s3_endpoint), 20)},
            [folder_of("s3://nobodys/")],
            timeout_s=20,
        )
        with pytest.raises(SourceMissing):
            await sources.fetch("s3://nobodys/a.jpg", SHOP, MOST)
        await sources.close()

    async def test_no_rights(
        self, s3: Any, s3_endpoint: str, enforcing: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """What the gateway itself may not read is as good as missing; that its own key is not
        valid, the log says."""
        denied = await self._refusal(s3_endpoint, enforcing)
        unknown = await self._refusal(
            s3_endpoint, {"access_key": "AKIAUNKNOWN", "secret_key": "SK"}
        )
        assert type(denied) is SourceMissing
        assert type(unknown) is SourceAway
        assert "operator's log" in str(unknown)
        assert "InvalidAccessKeyId" in caplog.text

    async def _refusal(self, endpoint, pair):
        given = S3Settings(region="us-east-1", endpoint=endpoint, **pair)
        sources = Sources({"s3": open_s3(given, 20)}, [folder_of("s3://shop/")], timeout_s=20)
        with pytest.raises(NotFetched) as caught:
            await sources.fetch("s3://shop/a.jpg", SHOP, MOST)
        await sources.close()
        return caught.value

    async def test_nobody_answers(self) -> None:
        """A store that nobody answers for is away: trying again may help."""
        endpoint = f"http://127.0.0.1:{free_port()}"
        sources = Sources(
            {"s3": open_s3(settings_of(endpoint), 20)}, [folder_of("s3://shop/")], timeout_s=20
        )
        with pytest.raises(SourceAway) as caught:
            await sources.fetch("s3://shop/a.jpg", SHOP, MOST)
        assert "127.0.0.1" not in str(caught.value)
        await sources.close()

    def test_half_a_pair(self) -> None:
        """A key without its secret is no credential."""
        with pytest.raises(ValueError, match="go together"):
            S3Settings(access_key="AK")

    def test_no_address(self) -> None:
        """An endpoint that is no address stops the start."""
        with pytest.raises(Misconfigured, match="endpoint"):
            open_s3(settings_of("nowhere"), 1)


@pytest.fixture
def enforcing(s3_endpoint: str) -> Iterator[dict[str, str]]:
    """moto asks for rights now; the key of a user that has none."""
    iam = boto3.client("iam", **_own(s3_endpoint))
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    address = urlsplit(s3_endpoint)

    def ask(count: str) -> None:
        import http.client

        connection = http.client.HTTPConnection(address.hostname, address.port)
        connection.request("POST", "/moto-api/reset-auth", count)
        connection.getresponse().read()
        connection.close()

    ask("0")
    yield {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    ask("inf")
    iam.close()


class Answers(ThreadingHTTPServer):
    """A stand-in for Cloud Storage, or any other server: what it answers, by path. Holds what it
    was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, Message]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers))
        status, headers, body = self.server.answers.get(
            self.path, (404, {"Content-Length": "0"}, b"")
        )
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def running() -> Iterator[Answers]:
    with Answers() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def answers(running: Answers) -> Answers:
    """The server, with nothing to answer yet."""
    running.answers.clear()
    running.asked.clear()
    return running


def _says(
    body: bytes = PHOTO, status: int = 200, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Length": str(len(body)), **headers}, body


A = "/storage/v1/b/shop/o/a.jpg?alt=media"


@pytest.fixture
async def stored(answers: Answers) -> Any:
    """Everybody's folder is the bucket `shop`, before the stand-in for Cloud Storage."""
    sources = Sources(
        {"gs": open_gs(GsSettings(endpoint=answers.url + "/"), 20)},
        [folder_of("gs://shop/")],
        timeout_s=20,
    )
    yield sources
    await sources.close()


class TestGs:
    @pytest.mark.parametrize("name", ["a.jpg", "photos/a.jpg", ODD])
    async def test_object(self, stored: Sources, answers: Any, name: str) -> None:
        """An object is asked for by its name in one segment of the path, and without credentials at
        a stand-in."""
        answers.answers = {
            path: _says() for path in (A, "/storage/v1/b/shop/o/photos%2Fa.jpg?alt=media")
        }
        answers.answers[
            "/storage/v1/b/shop/o/an%20odd%2Fphoto%20%3F%23%2520%2B%C3%A9%26.jpg?alt=media"
        ] = _says()
        assert await stored.fetch(f"gs://shop/{name}", SHOP, MOST) == PHOTO
        ((path, headers),) = answers.asked
        assert unquote(path).startswith(f"/storage/v1/b/shop/o/{name}?")
        assert "Authorization" not in headers
        assert headers["Accept-Encoding"] == "identity"

    async def test_credentials(self, answers: Any) -> None:
        """With credentials the call has their token."""
        session = AuthorizedSession(Credentials("token-of-the-gateway"))
        answers.answers[A] = _says()
        sources = Sources(
            {"gs": GsReader(session, answers.url, (5, 5))}, [folder_of("gs://shop/")], timeout_s=20
        )
        assert await sources.fetch("gs://shop/a.jpg", SHOP, MOST) == PHOTO
        assert answers.asked[0][1]["Authorization"] == "Bearer token-of-the-gateway"
        await sources.close()

    async def test_credentials_that_are_void(self, answers: Any) -> None:
        """Credentials that cannot be renewed are the operator's to put right; the client is told no
        more."""
        answers.answers[A] = _says(b"", 401)
        session = AuthorizedSession(Credentials("old"))
        sources = Sources(
            {"gs": GsReader(session, answers.url, (5, 5))}, [folder_of("gs://shop/")], timeout_s=20
        )
        with pytest.raises(SourceAway, match="operator's log"):
            await sources.fetch("gs://shop/a.jpg", SHOP, MOST)
        await sources.close()

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, SourceMissing),
            (401, SourceMissing),
            (403, SourceMissing),
            (404, SourceMissing),
            (408, SourceAway),
            (429, SourceAway),
            (500, SourceAway),
            (503, SourceAway),
        ],
    )
    async def test_refused(self, stored: Sources, answers: Any, status: int, kind: type) -> None:
        """What is not there for us is told from a store that does not answer."""
        answers.answers[A] = _says(b"why: internals", status)
        with pytest.raises(kind) as caught:
            await stored.fetch("gs://shop/a.jpg", SHOP, MOST)
        assert type(caught.value) is kind
        assert "internals" not in str(caught.value)

    async def test_redirect(self, stored: Sources, answers: Any) -> None:
        """A redirect is not followed: it leads past the folders."""
        answers.answers = {A: _says(b"", 302, Location="/elsewhere"), "/elsewhere": _says()}
        with pytest.raises(SourceAway):
            await stored.fetch("gs://shop/a.jpg", SHOP, MOST)
        assert [path for path, _ in answers.asked] == [A]

    @pytest.mark.parametrize("length", [{}, {"Content-Length": str(MOST + 1)}])
    async def test_too_large(
        self, stored: Sources, answers: Any, length: dict[Any, Any] | dict[str, str]
    ) -> None:
        """What is too large is not read, whether or not its length is told."""
        answers.answers[A] = 200, length, bytes(MOST + 1)
        with pytest.raises(SourceTooLarge):
            await stored.fetch("gs://shop/a.jpg", SHOP, MOST)

    async def test_cut_off(self, stored: Sources, answers: Any) -> None:
        """A photo that ends before its length is not taken for one."""
        answers.answers[A] = 200, {"Content-Length": "2000"}, PHOTO
        with pytest.raises(SourceAway):
            await stored.fetch("gs://shop/a.jpg", SHOP, MOST)

    async def test_no_default_credentials(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Google's own address wants credentials; without any the start fails, and says how to do
        without."""
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
        with pytest.raises(Misconfigured, match="anonymous: true"):
            open_gs(GsSettings(), 1)
        await open_gs(GsSettings(anonymous=True), 1).close()


class TestWeb:
    @pytest.fixture
    async def web(self) -> AsyncIterator[Sources]:
        """Nothing is open but the web, with loopback allowed to the guard."""
        guard = EgressGuard([ip_network("127.0.0.0/8")])
        sources = Sources({"http": WebSource(guard), "https": WebSource(guard)}, timeout_s=20)
        yield sources
        await sources.close()
        await guard.close()

    async def test_photo(self, web: Sources, answers: Any) -> None:
        """What is on the web needs no folder."""
        answers.answers["/a.jpg"] = _says()
        assert await web.fetch(f"{answers.url}/a.jpg", ANYBODY, MOST) == PHOTO

    async def test_refused(self, answers: Any) -> None:
        """Which addresses may be asked, the guard decides."""
        guard = EgressGuard()
        with pytest.raises(SourceNotAllowed, match="loopback"):
            await Sources({"http": WebSource(guard)}, timeout_s=20).fetch(
                f"{answers.url}/a.jpg", SHOP, MOST
            )
        assert answers.asked == []
        await guard.close()

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (_says(status=404), SourceMissing),
            (_says(status=403), SourceMissing),
            (_says(status=204), NotFetched),
            (_says(status=500), SourceAway),
            (_says(bytes(MOST + 1)), SourceTooLarge),
            ((200, {"Content-Encoding": "gzip"}, PHOTO), NotFetched),
        ],
    )
    async def test_failed(
        self,
        web: Sources,
        answers: Any,
        answer: tuple[bytes | dict[str, str] | int, ...],
        kind: type,
    ) -> None:
        """Each reason has its error."""
        answers.answers["/a.jpg"] = answer
        with pytest.raises(kind) as caught:
            await web.fetch(f"{answers.url}/a.jpg", SHOP, MOST)
        assert type(caught.value) is kind

    async def test_nobody_answers(self, web: Sources) -> None:
        """A server that is not there may be later."""
        with pytest.raises(SourceAway):
            await web.fetch(f"http://127.0.0.1:{free_port()}/a.jpg", SHOP, MOST)


class Shelf:
    """A reader that has every photo, at once or when it is told to. Holds what it was asked for and
    is reading."""

    def __init__(self, *, closed: bool = False) -> None:
        self.asked: list[Location] = []
        self.reading = 0
        self.most = 0
        self.open = asyncio.Event()
        if not closed:
            self.open.set()

    async def read(self, location: Location, max_bytes: int) -> bytes:
        self.asked.append(location)
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            await self.open.wait()
            return location.key.encode()
        finally:
            self.reading -= 1

    async def close(self) -> None:
        self.open.set()


def over(
    shelf: Shelf, *shared: str, timeout_s: float = 20, at_once: int = 16, **own: list[str]
) -> Sources:
    folders = {name: [folder_of(each) for each in texts] for name, texts in own.items()}
    return Sources(
        {"s3": shelf, "gs": shelf},
        [folder_of(each) for each in shared],
        folders,
        timeout_s=timeout_s,
        at_once=at_once,
    )


class TestWhoMayRead:
    """The gateway's rights are not its clients'."""

    @pytest.mark.parametrize(
        "url",
        [
            "s3://shop/photos/a.jpg",
            "s3://shop/photos%2Fa.jpg",
            "gs://press-photos/a.jpg",
            "s3://all/a.jpg?versionId=1",
        ],
    )
    async def test_open(self, url: str) -> None:
        """A tenant's folders are open to it, and those of all."""
        sources = over(Shelf(), "s3://all/", shop=["s3://shop/photos/", "gs://press-photos/"])
        assert await sources.fetch(url, SHOP, MOST)

    @pytest.mark.parametrize(
        "url",
        [
            "s3://shop2/photos/a.jpg",
            "s3://shop/a.jpg",
            "s3://shop/photos",
            "s3://shop/photos2/a.jpg",
            "s3://shop//photos/a.jpg",
            "gs://shop/photos/a.jpg",
            "s3://press/a.jpg",
            "s3://all.evil/a.jpg",
            "s3://169.254.169.254/a.jpg",
        ],
    )
    async def test_not_open(self, url: str) -> None:
        """Whatever lies elsewhere is not looked at; what to configure is told, and nothing of what
        is there."""
        shelf = Shelf()
        sources = over(shelf, "s3://all/", shop=["s3://shop/photos/"], press=["s3://press/"])
        with pytest.raises(
            SourceNotAllowed, match=r"your tenant's sources or to fetch\.sources"
        ) as caught:
            await sources.fetch(url, SHOP, MOST)
        assert url.split("/")[2] in str(caught.value)
        assert ".jpg" not in str(caught.value)
        assert shelf.asked == []

    @pytest.mark.parametrize(
        "url",
        [
            "s3://shop/photos/../secret/a.jpg",
            "s3://shop/photos/%2e%2e/secret",
            "gs://shop/photos/../a",
            "s3://shop",
        ],
    )
    async def test_tricks(self, url: str) -> None:
        """A key that climbs is read for nobody, in an open folder either."""
        shelf = Shelf()
        with pytest.raises(NotFetched):
            await over(shelf, "s3://shop/photos/", "gs://shop/").fetch(url, SHOP, MOST)
        assert shelf.asked == []

    async def test_nothing_is_open_by_itself(self) -> None:
        """Without folders nothing is read, of an open gateway either."""
        with pytest.raises(SourceNotAllowed):
            await over(Shelf(), shop=["s3://shop/"]).fetch("s3://shop/a.jpg", ANYBODY, MOST)
        with pytest.raises(SourceNotAllowed):
            await Sources({}, timeout_s=20).fetch("gs://shop/a.jpg", ANYBODY, MOST)

    @pytest.mark.parametrize("url", ["", "a.jpg", "file:///etc/passwd", "s3:/shop/a.jpg", "\ud800"])
    async def test_no_place(self, url: str) -> None:
        """What names no place is a photo that was not fetched."""
        with pytest.raises(NotFetched):
            await over(Shelf(), "s3://shop/").fetch(url, SHOP, MOST)


class TestBounds:
    async def test_at_once(self) -> None:
        """So many are read at a time; the others wait, and are read then."""
        shelf = Shelf(closed=True)
        sources = over(shelf, "s3://shop/", at_once=3)
        fetching = [
            asyncio.create_task(sources.fetch(f"s3://shop/{n}", SHOP, MOST)) for n in range(8)
        ]
        await wait_until(lambda: shelf.reading == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(shelf.asked) == 3
        shelf.open.set()
        assert await asyncio.gather(*fetching) == [str(n).encode() for n in range(8)]
        assert shelf.most == 3

    async def test_no_room(self) -> None:
        """Who gets no slot within the time limit is told to come back."""
        shelf = Shelf()
        with pytest.raises(Busy):
            await over(shelf, "s3://shop/", at_once=0, timeout_s=0.01).fetch(
                "s3://shop/a", SHOP, MOST
            )
        assert shelf.asked == []

    async def test_too_slow(self) -> None:
        """What does not come in time is given up, and its slot is free."""
        shelf = Shelf(closed=True)
        sources = over(shelf, "s3://shop/", at_once=1, timeout_s=0.01)
        for _ in range(3):
            with pytest.raises(SourceAway, match=r"fetch\.timeout_ms"):
                await sources.fetch("s3://shop/a", SHOP, MOST)
        assert shelf.reading == 0

    async def test_client_left(self) -> None:
        """A client that leaves, reading or in line, leaves its place to others."""
        shelf = Shelf(closed=True)
        sources = over(shelf, "s3://shop/", at_once=1)
        first, second, third = (
            asyncio.create_task(sources.fetch(f"s3://shop/{n}", SHOP, MOST)) for n in range(3)
        )
        await wait_until(lambda: shelf.reading == 1)
        second.cancel()
        first.cancel()
        await wait_until(lambda: [place.key for place in shelf.asked] == ["0", "2"])
        shelf.open.set()
        assert await third == b"2"
        assert first.cancelled()
        assert second.cancelled()

    async def test_threads_end(self) -> None:
        """A thread whose client left reads no further than the part that is under way."""
        store = Dripping()
        fetching = asyncio.create_task(
            store.read(Location("s3://shop/a", "s3", "shop", "a"), 1 << 60)
        )
        await asyncio.to_thread(store.begun.wait, 15)
        fetching.cancel()
        assert await asyncio.to_thread(store.ended.wait, 15)
        await store.close()
        assert fetching.cancelled()


class Dripping(ObjectStoreReader):
    """A store whose objects have no end."""

    def __init__(self) -> None:
        super().__init__("drip")
        self.begun, self.ended = threading.Event(), threading.Event()

    def get(self, location: Location, max_bytes: int, left: Callable[[], bool]) -> bytes:
        try:
            return read_all(self._part, None, max_bytes, left)
        finally:
            self.ended.set()

    def _part(self, most: int) -> bytes:
        self.begun.set()
        return b"."

    def close_client(self) -> None:
        pass


class TestGather:
    @pytest.mark.parametrize("length", [None, 10])
    def test_all(self, length: int | None) -> None:
        """Parts are put together until there are none."""
        parts = iter([b"01234", b"56789", b""])
        assert read_all(lambda most: next(parts), length, 10, lambda: False) == b"0123456789"

    def test_no_more_than_one_too_many(self) -> None:
        """Of what does not end no more is read than tells that it is too large."""
        read = []
        with pytest.raises(SourceTooLarge):
            read_all(lambda most: read.append(bytes(most)) or read[-1], None, 10, lambda: False)
        assert sum(map(len, read)) == 11

    def test_nothing_of_what_is_too_large_by_its_length(self) -> None:
        """Nothing is read where the length says enough."""
        with pytest.raises(SourceTooLarge):
            read_all(lambda most: pytest.fail("it was read"), 11, 10, lambda: False)

    def test_left(self) -> None:
        """What nobody waits for is no photo, however much of it is there."""
        with pytest.raises(SourceAway):
            read_all(lambda most: b"", None, 10, lambda: True)


CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]}],
}
TENANTS = [
    {"name": "shop", "keys": [{"dialect": "native", "key": "k1"}], "sources": ["s3://shop/"]},
    {"name": "press", "keys": [{"dialect": "native", "key": "k2"}], "sources": ["gs://shop/"]},
]


class TestSettings:
    async def test_built(self, tmp_path: Path, s3: Any, s3_endpoint: str, answers: Any) -> None:
        """Folders and ways to the stores are what the config file says."""
        answers.answers = {"/a.jpg": _says(b"web"), A: _says(b"gs")}
        pair = {"access_key": "AK", "secret_key": "SK", "region": "us-east-1"}
        fetch = {
            "allow": ["127.0.0.0/8"],
            "sources": ["s3://shop2/"],
            "gs": {"endpoint": answers.url},
            "s3": {"endpoint": s3_endpoint, **pair},
        }
        parts = parts_of(tmp_path, {**CONFIG, "tenants": TENANTS, "fetch": fetch})
        read = parts.network.sources.fetch
        assert await read("s3://shop/a.jpg", SHOP, MOST) == PHOTO
        assert await read("s3://shop2/a.jpg", PRESS, MOST) == b"secret"
        assert await read("gs://shop/a.jpg", PRESS, MOST) == b"gs"
        assert await read(f"{answers.url}/a.jpg", PRESS, MOST) == b"web"
        for url, tenant in [
            ("s3://shop/a.jpg", PRESS),
            ("gs://shop/a.jpg", SHOP),
            ("s3://press/a.jpg", PRESS),
        ]:
            with pytest.raises(SourceNotAllowed):
                await read(url, tenant, MOST)
        await parts.network.sources.close()
        await parts.network.guard.close()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"fetch": {"sources": ["s3://shop"]}},
                r"fetch\.sources\[0\]: 's3://shop' is no folder",
            ),
            (
                {"tenants": [{**TENANTS[0], "sources": ["shop/"]}]},
                r"tenants\[0\]\.sources\[0\]: 'shop/' is no folder",
            ),
            (
                {"fetch": {"s3": {"access_key": "AK"}}},
                r"fetch\.s3: access_key and secret_key go together",
            ),
            ({"fetch": {"s3": {"regoin": "x"}}}, "did you mean region"),
            ({"fetch": {"gs": {"endpoint": "here"}}}, r"fetch\.gs\.endpoint"),
        ],
    )
    def test_refused(
        self,
        tmp_path: Path,
        changes: dict[str, dict[str, dict[str, str]]]
        | dict[str, dict[str, list[str]]]
        | dict[str, list[dict[str, list[Any] | str]]],
        message: str,
    ) -> None:
        """What cannot be meant is an error that names its key."""
        with pytest.raises(ConfigError, match=message):
            parts_of(tmp_path, {**CONFIG, **changes})

    @pytest.mark.parametrize(("scheme", "package"), [("s3", "boto3"), ("gs", "google.auth")])
    def test_missing_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, package: str
    ) -> None:
        """A store's library is needed where a folder of it is open, and nowhere else."""
        monkeypatch.setitem(sys.modules, package, None)
        parts_of(tmp_path, CONFIG)
        with pytest.raises(
            ConfigError, match=rf"fetch\.{scheme}: .* is not installed; pip install"
        ):
            parts_of(tmp_path, {**CONFIG, "fetch": {"sources": [f"{scheme}://shop/"]}})
