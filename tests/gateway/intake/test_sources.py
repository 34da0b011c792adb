"""Photos that clients name by URL: the gateway reads them from the web, and from the folders that
the operator has opened."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.config.errors import ConfigError
from gateway.core.errors import (
    Busy,
    NotFetched,
    SourceAway,
    SourceMissing,
    SourceNotAllowed,
    SourceTooLarge,
)
from gateway.core.locations import Location, folder_of
from gateway.intake.object_stores import ObjectStoreReader, read_all
from gateway.intake.sources import Sources, WebSource
from gateway.security.egress import EgressGuard
from gateway.security.keyring import ANYBODY
from gateway.testing.gateway import parts_of
from gateway.testing.redis_server import free_port
from tests.support.object_stores import (
    MOST,
    PHOTO,
    PRESS,
    SHOP,
    A,
    Answers,
    reply_with,
)
from tests.support.waiting import wait_until


class TestWeb:
    @pytest.fixture
    async def web(self) -> AsyncIterator[Sources]:
        """Nothing is open but the web, with loopback allowed to the guard."""
        guard = EgressGuard([ip_network("127.0.0.0/8")])
        sources = Sources({"http": WebSource(guard), "https": WebSource(guard)}, timeout_s=20)
        yield sources
        await sources.close()
        await guard.close()

    async def test_a_photo_of_the_web_needs_no_folder(self, web: Sources, answers: Answers) -> None:
        """A photo on the web needs no folder."""
        answers.answers["/a.jpg"] = reply_with()
        assert await web.fetch(f"{answers.url}/a.jpg", ANYBODY, MOST) == PHOTO

    async def test_the_guard_decides_about_addresses(self, answers: Answers) -> None:
        """The egress guard decides which addresses get a request."""
        guard = EgressGuard()
        with pytest.raises(SourceNotAllowed, match="loopback"):
            await Sources({"http": WebSource(guard)}, timeout_s=20).fetch(
                f"{answers.url}/a.jpg", SHOP, MOST
            )
        assert answers.requests == []
        await guard.close()

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (reply_with(status=404), SourceMissing),
            (reply_with(status=403), SourceMissing),
            (reply_with(status=204), NotFetched),
            (reply_with(status=500), SourceAway),
            (reply_with(bytes(MOST + 1)), SourceTooLarge),
            ((200, {"Content-Encoding": "gzip"}, PHOTO), NotFetched),
        ],
    )
    async def test_each_reason_has_its_error(
        self,
        web: Sources,
        answers: Answers,
        answer: tuple[int, dict[str, str], bytes],
        kind: type[NotFetched],
    ) -> None:
        """Each reason has its error."""
        answers.answers["/a.jpg"] = answer
        with pytest.raises(kind) as caught:
            await web.fetch(f"{answers.url}/a.jpg", SHOP, MOST)
        assert type(caught.value) is kind

    async def test_a_server_without_an_answer_is_away(self, web: Sources) -> None:
        """A server that is not there is away, and a retry may help."""
        with pytest.raises(SourceAway):
            await web.fetch(f"http://127.0.0.1:{free_port()}/a.jpg", SHOP, MOST)


class Shelf:
    """A reader that has every photo, at once or after `open` is set. Holds the requested locations
    and the number of reads under way."""

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


class TestFolders:
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
    async def test_a_tenants_folders_are_open_to_it(self, url: str) -> None:
        """A tenant may read its own folders, and those of all."""
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
    async def test_another_folder_is_not_looked_at(self, url: str) -> None:
        """A photo elsewhere is not read; the message names the setting, and nothing of the folder's
        content."""
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
    async def test_a_key_that_climbs_is_refused(self, url: str) -> None:
        """A key that climbs is refused, in an open folder too."""
        shelf = Shelf()
        with pytest.raises(NotFetched):
            await over(shelf, "s3://shop/photos/", "gs://shop/").fetch(url, SHOP, MOST)
        assert shelf.asked == []

    async def test_no_folder_is_open_by_default(self) -> None:
        """Without folders nothing is read, from an open gateway either."""
        with pytest.raises(SourceNotAllowed):
            await over(Shelf(), shop=["s3://shop/"]).fetch("s3://shop/a.jpg", ANYBODY, MOST)
        with pytest.raises(SourceNotAllowed):
            await Sources({}, timeout_s=20).fetch("gs://shop/a.jpg", ANYBODY, MOST)

    @pytest.mark.parametrize("url", ["", "a.jpg", "file:///etc/passwd", "s3:/shop/a.jpg", "\ud800"])
    async def test_text_that_names_no_place_is_not_fetched(self, url: str) -> None:
        """A text that names no place is a photo that was not fetched."""
        with pytest.raises(NotFetched):
            await over(Shelf(), "s3://shop/").fetch(url, SHOP, MOST)


class TestBounds:
    async def test_the_number_of_reads_at_once_is_limited(self) -> None:
        """The number of reads at once is limited; the others wait for their turn."""
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

    async def test_a_read_without_a_slot_is_refused_as_busy(self) -> None:
        """A read that gets no slot within the time limit is refused as busy."""
        shelf = Shelf()
        with pytest.raises(Busy):
            await over(shelf, "s3://shop/", at_once=0, timeout_s=0.01).fetch(
                "s3://shop/a", SHOP, MOST
            )
        assert shelf.asked == []

    async def test_a_read_beyond_the_time_limit_frees_its_slot(self) -> None:
        """A read beyond the time limit is given up, and its slot is free."""
        shelf = Shelf(closed=True)
        sources = over(shelf, "s3://shop/", at_once=1, timeout_s=0.01)
        for _ in range(3):
            with pytest.raises(SourceAway, match=r"fetch\.timeout_ms"):
                await sources.fetch("s3://shop/a", SHOP, MOST)
        assert shelf.reading == 0

    async def test_a_client_that_leaves_frees_its_place(self) -> None:
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

    async def test_the_thread_of_a_client_that_left_ends(self) -> None:
        """A thread whose client left reads no further than the current part."""
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


CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]}],
}


TENANTS = [
    {"name": "shop", "keys": [{"dialect": "native", "key": "k1"}], "sources": ["s3://shop/"]},
    {"name": "press", "keys": [{"dialect": "native", "key": "k2"}], "sources": ["gs://shop/"]},
]


class TestSettings:
    async def test_the_config_file_opens_folders_and_stores(
        self, tmp_path: Path, s3: Any, s3_endpoint: str, answers: Answers
    ) -> None:
        """The config file names the folders and the access to the stores."""
        answers.answers = {"/a.jpg": reply_with(b"web"), A: reply_with(b"gs")}
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
    def test_a_senseless_setting_is_an_error_that_names_its_key(
        self,
        tmp_path: Path,
        changes: dict[str, Any],
        message: str,
    ) -> None:
        """A setting that cannot be meant is an error that names its key."""
        with pytest.raises(ConfigError, match=message):
            parts_of(tmp_path, {**CONFIG, **changes})

    @pytest.mark.parametrize(("scheme", "package"), [("s3", "boto3"), ("gs", "google.auth")])
    def test_a_missing_package_stops_only_its_own_store(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, package: str
    ) -> None:
        """A store's library is needed if a folder of that store is open, and not otherwise."""
        monkeypatch.setitem(sys.modules, package, None)
        parts_of(tmp_path, CONFIG)
        with pytest.raises(
            ConfigError, match=rf"fetch\.{scheme}: .* is not installed; pip install"
        ):
            parts_of(tmp_path, {**CONFIG, "fetch": {"sources": [f"{scheme}://shop/"]}})
