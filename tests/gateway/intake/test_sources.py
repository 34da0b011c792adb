"""Photos that clients name by their place are read with the gateway's rights, for tenants to which
the operator opened the folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from gateway.core.errors import (
    Busy,
    NotFetched,
    SourceAway,
    SourceMissing,
    SourceNotAllowed,
    SourceTooLarge,
)
from gateway.core.locations import Location, folder_of
from gateway.intake.sources import Sources, WebSource
from gateway.security.egress import EgressGuard
from gateway.security.keyring import ANYBODY
from gateway.testing.redis_server import free_port
from tests.support.sources import (
    MAX_BYTES,
    PHOTO,
    SHOP,
    Reply,
    StandInServer,
    http_reply,
)
from tests.support.waiting import wait_until


class TestWeb:
    @pytest.fixture
    async def web(self) -> AsyncIterator[Sources]:
        """Sources with the web alone, and a guard that allows loopback."""
        guard = EgressGuard([ip_network("127.0.0.0/8")])
        sources = Sources({"http": WebSource(guard), "https": WebSource(guard)}, timeout_s=20)
        yield sources
        await sources.close()
        await guard.close()

    async def test_a_photo_on_the_web_needs_no_folder(
        self, web: Sources, http_server: StandInServer
    ) -> None:
        """A photo on the web needs no open folder."""
        http_server.replies["/a.jpg"] = http_reply()
        assert await web.fetch(f"{http_server.url}/a.jpg", ANYBODY, MAX_BYTES) == PHOTO

    async def test_the_guard_decides_on_addresses(self, http_server: StandInServer) -> None:
        """The guard decides which addresses may be asked."""
        guard = EgressGuard()
        with pytest.raises(SourceNotAllowed, match="loopback"):
            await Sources({"http": WebSource(guard)}, timeout_s=20).fetch(
                f"{http_server.url}/a.jpg", SHOP, MAX_BYTES
            )
        assert http_server.requests == []
        await guard.close()

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (http_reply(status=404), SourceMissing),
            (http_reply(status=403), SourceMissing),
            (http_reply(status=204), NotFetched),
            (http_reply(status=500), SourceAway),
            (http_reply(bytes(MAX_BYTES + 1)), SourceTooLarge),
            ((200, {"Content-Encoding": "gzip"}, PHOTO), NotFetched),
        ],
    )
    async def test_each_failure_has_its_error(
        self,
        web: Sources,
        http_server: StandInServer,
        reply: Reply,
        kind: type,
    ) -> None:
        """Each kind of failure has its own error."""
        http_server.replies["/a.jpg"] = reply
        with pytest.raises(kind) as caught:
            await web.fetch(f"{http_server.url}/a.jpg", SHOP, MAX_BYTES)
        assert type(caught.value) is kind

    async def test_an_unreachable_server_is_away(self, web: Sources) -> None:
        """An unreachable server is away: a later attempt may succeed."""
        with pytest.raises(SourceAway):
            await web.fetch(f"http://127.0.0.1:{free_port()}/a.jpg", SHOP, MAX_BYTES)


class ShelfReader:
    """A reader that has every photo, at once or when its event is set. Holds the places that it
    read, and counts the reads under way and their peak."""

    def __init__(self, *, closed: bool = False) -> None:
        self.locations: list[Location] = []
        self.reading = 0
        self.peak = 0
        self.open = asyncio.Event()
        if not closed:
            self.open.set()

    async def read(self, location: Location, max_bytes: int) -> bytes:
        self.locations.append(location)
        self.reading += 1
        self.peak = max(self.peak, self.reading)
        try:
            await self.open.wait()
            return location.key.encode()
        finally:
            self.reading -= 1

    async def close(self) -> None:
        self.open.set()


def sources_of(
    shelf: ShelfReader, *shared: str, timeout_s: float = 20, at_once: int = 16, **own: list[str]
) -> Sources:
    """Sources whose stores are all on that shelf, with shared folders and tenants' own."""
    folders = {name: [folder_of(each) for each in texts] for name, texts in own.items()}
    return Sources(
        {"s3": shelf, "gs": shelf},
        [folder_of(each) for each in shared],
        folders,
        timeout_s=timeout_s,
        at_once=at_once,
    )


class TestWhoMayRead:
    """The gateway's rights are not its clients' rights."""

    @pytest.mark.parametrize(
        "url",
        [
            "s3://shop/photos/a.jpg",
            "s3://shop/photos%2Fa.jpg",
            "gs://press-photos/a.jpg",
            "s3://all/a.jpg?versionId=1",
        ],
    )
    async def test_own_and_shared_folders_are_open(self, url: str) -> None:
        """A tenant's own folders are open to it, and so are the shared ones."""
        sources = sources_of(
            ShelfReader(), "s3://all/", shop=["s3://shop/photos/", "gs://press-photos/"]
        )
        assert await sources.fetch(url, SHOP, MAX_BYTES)

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
    async def test_a_place_outside_the_folders_is_not_looked_at(self, url: str) -> None:
        """A place outside the open folders is not looked at; the error says what to configure, and
        nothing of what is there."""
        shelf = ShelfReader()
        sources = sources_of(shelf, "s3://all/", shop=["s3://shop/photos/"], press=["s3://press/"])
        with pytest.raises(
            SourceNotAllowed, match=r"your tenant's sources or to fetch\.sources"
        ) as caught:
            await sources.fetch(url, SHOP, MAX_BYTES)
        assert url.split("/")[2] in str(caught.value)
        assert ".jpg" not in str(caught.value)
        assert shelf.locations == []

    @pytest.mark.parametrize(
        "url",
        [
            "s3://shop/photos/../secret/a.jpg",
            "s3://shop/photos/%2e%2e/secret",
            "gs://shop/photos/../a",
            "s3://shop",
        ],
    )
    async def test_a_key_that_climbs_is_never_read(self, url: str) -> None:
        """A key that climbs out of its folder, or a URL without a key, is never read, not even
        where a folder is open."""
        shelf = ShelfReader()
        with pytest.raises(NotFetched):
            await sources_of(shelf, "s3://shop/photos/", "gs://shop/").fetch(url, SHOP, MAX_BYTES)
        assert shelf.locations == []

    async def test_nothing_is_open_without_folders(self) -> None:
        """Without open folders nothing is read, not even by an open gateway."""
        with pytest.raises(SourceNotAllowed):
            await sources_of(ShelfReader(), shop=["s3://shop/"]).fetch(
                "s3://shop/a.jpg", ANYBODY, MAX_BYTES
            )
        with pytest.raises(SourceNotAllowed):
            await Sources({}, timeout_s=20).fetch("gs://shop/a.jpg", ANYBODY, MAX_BYTES)

    @pytest.mark.parametrize("url", ["", "a.jpg", "file:///etc/passwd", "s3:/shop/a.jpg", "\ud800"])
    async def test_an_invalid_place_is_not_fetched(self, url: str) -> None:
        """A URL that names no place gives the error of an unfetched photo."""
        with pytest.raises(NotFetched):
            await sources_of(ShelfReader(), "s3://shop/").fetch(url, SHOP, MAX_BYTES)


class TestBounds:
    async def test_few_photos_are_read_at_a_time(self) -> None:
        """Only so many photos are read at a time; the others wait, and are read then."""
        shelf = ShelfReader(closed=True)
        sources = sources_of(shelf, "s3://shop/", at_once=3)
        fetching = [
            asyncio.create_task(sources.fetch(f"s3://shop/{n}", SHOP, MAX_BYTES)) for n in range(8)
        ]
        await wait_until(lambda: shelf.reading == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(shelf.locations) == 3
        shelf.open.set()
        assert await asyncio.gather(*fetching) == [str(n).encode() for n in range(8)]
        assert shelf.peak == 3

    async def test_a_client_without_slot_is_asked_to_return(self) -> None:
        """A client that gets no slot within the time limit is asked to come back."""
        shelf = ShelfReader()
        with pytest.raises(Busy):
            await sources_of(shelf, "s3://shop/", at_once=0, timeout_s=0.01).fetch(
                "s3://shop/a", SHOP, MAX_BYTES
            )
        assert shelf.locations == []

    async def test_a_slow_read_is_abandoned_and_frees_its_slot(self) -> None:
        """A read that exceeds the time limit is abandoned, and its slot is free."""
        shelf = ShelfReader(closed=True)
        sources = sources_of(shelf, "s3://shop/", at_once=1, timeout_s=0.01)
        for _ in range(3):
            with pytest.raises(SourceAway, match=r"fetch\.timeout_ms"):
                await sources.fetch("s3://shop/a", SHOP, MAX_BYTES)
        assert shelf.reading == 0

    async def test_a_departed_client_leaves_its_slot_to_others(self) -> None:
        """A client that leaves, while it reads or waits in line, leaves its slot to others."""
        shelf = ShelfReader(closed=True)
        sources = sources_of(shelf, "s3://shop/", at_once=1)
        first, second, third = (
            asyncio.create_task(sources.fetch(f"s3://shop/{n}", SHOP, MAX_BYTES)) for n in range(3)
        )
        await wait_until(lambda: shelf.reading == 1)
        second.cancel()
        first.cancel()
        await wait_until(lambda: [place.key for place in shelf.locations] == ["0", "2"])
        shelf.open.set()
        assert await third == b"2"
        assert first.cancelled()
        assert second.cancelled()
