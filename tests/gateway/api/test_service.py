"""The route and the variant of each task that is requested for a photo."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.api.byte_quota import ByteQuota
from gateway.api.service import Service
from gateway.core.errors import BadFormat, Busy, NotServed, SourceAway
from gateway.core.model import Quality, Tenant
from gateway.core.question import ItemAnswer, Source, TaskRequest
from gateway.dialects.google.dialect import DIALECT
from gateway.security.keyring import ANYBODY
from gateway.testing.gateway import parts_of
from gateway.testing.provider import ScriptedProvider, about
from providers.detection import Task
from tests.support.questions import uniform_question
from tests.support.waiting import wait_until
from thresholds.variants import EXACT, TARGET

CLEAN = {
    "stages": [{"shape": "2x2", "rule": {"kind": "clean", "threshold": 0.1}}, {"shape": "1x1"}]
}
GRID = {"stages": [{"shape": "2x2"}]}


@pytest.fixture
def service(tmp_path: Path) -> Callable[..., Service]:
    """`service(*routes, vocabulary)`: the service of a gateway with these routes, to providers with
    this vocabulary."""

    def build(*routes: tuple[str, dict[str, Any]], vocabulary: str = "") -> Service:
        fakes, content, kinds = {}, [], {}
        for index, (task, settings) in enumerate(routes):
            name, settings = f"p{index}", dict(settings)
            kind = settings.pop("kind", "shapes")
            kinds[name] = {"kind": kind}
            fakes[name] = ScriptedProvider(
                about=about(
                    name, task=Task(task), kind=kind, vocabulary=vocabulary, canvas_px=(640, 640)
                )
            )
            content.append({"task": task, "provider": name, "name": f"{task}-{index}", **settings})
        return parts_of(tmp_path, {"providers": kinds, "routes": content}, fakes).service

    return build


def route_and_variant(
    service: Service, ask: TaskRequest, quality: Quality = "target", vendor: str = "rekognition"
) -> tuple[str, str]:
    result = service.way(ask, ANYBODY, quality, vendor)
    return result.route.name, result.variant


class TestGroups:
    @pytest.mark.parametrize(
        ("min_score", "variant"), [(None, TARGET), (0.5, TARGET), (0.9, TARGET), (0.3, EXACT)]
    )
    def test_a_minimum_below_the_promise_is_asked_alone(
        self, service: Callable[..., Service], min_score: float | None, variant: str
    ) -> None:
        """A photo whose minimum score is below the one that groups are promised to show is asked
        alone."""
        request = TaskRequest(Task.MODERATION, min_score=min_score)
        assert route_and_variant(service(("moderation", CLEAN)), request) == (
            "moderation-0",
            variant,
        )

    def test_likelihoods_need_a_grading_provider_to_share(
        self, service: Callable[..., Service]
    ) -> None:
        """Likelihoods need every grade, so a photo is asked alone unless the provider grades and
        its lowest grade clears a canvas."""
        request = TaskRequest(Task.MODERATION, min_score=0.0)
        assert (
            route_and_variant(service(("moderation", CLEAN)), request, vendor="google")[1] == EXACT
        )
        assert (
            route_and_variant(
                service(("moderation", CLEAN), vocabulary="google"), request, vendor="google"
            )[1]
            == TARGET
        )

    def test_without_groups_the_minimum_does_not_matter(
        self, service: Callable[..., Service]
    ) -> None:
        """If each photo has its own answer anyway, a client's minimum makes no difference."""
        alone = {"stages": [{"shape": "1x1"}]}
        assert (
            route_and_variant(
                service(("moderation", alone)), TaskRequest(Task.MODERATION, min_score=0.1)
            )[1]
            == TARGET
        )


class TestLabels:
    def test_labels_without_a_route_are_those_of_objects(
        self, service: Callable[..., Service]
    ) -> None:
        """Labels that no route serves are those of the objects."""
        assert (
            route_and_variant(service(("objects", GRID)), TaskRequest(Task.LABELS))[0]
            == "objects-0"
        )

    def test_a_labels_route_serves_labels(self, service: Callable[..., Service]) -> None:
        """A route for labels serves them."""
        services = service(("objects", GRID), ("labels", {"stages": [{"shape": "1x1"}]}))
        assert route_and_variant(services, TaskRequest(Task.LABELS))[0] == "labels-1"

    def test_a_boxes_route_sends_only_exact_labels_to_itself(
        self, service: Callable[..., Service]
    ) -> None:
        """A route that takes labels from boxes sends them to the objects, except for clients that
        want them exactly."""
        services = service(("objects", GRID), ("labels", {"labels": "boxes"}))
        assert route_and_variant(services, TaskRequest(Task.LABELS))[0] == "objects-0"
        assert route_and_variant(services, TaskRequest(Task.LABELS), quality="exact") == (
            "labels-1",
            EXACT,
        )
        assert route_and_variant(services, TaskRequest(Task.LABELS, alone=True)) == (
            "labels-1",
            EXACT,
        )

    def test_labels_without_labels_or_objects_are_refused(
        self, service: Callable[..., Service]
    ) -> None:
        """If no route serves labels or objects, labels are refused by name."""
        with pytest.raises(NotServed, match="labels"):
            route_and_variant(service(("moderation", CLEAN)), TaskRequest(Task.LABELS))

    def test_named_labels_are_asked_in_the_providers_words(
        self, service: Callable[..., Service]
    ) -> None:
        """The labels that a client names are requested in the provider's words."""
        labels = {"labels": "listed", **CLEAN}
        result = service(("labels", labels), vocabulary="coco").way(
            TaskRequest(Task.LABELS, only_labels=("Couch",)), ANYBODY, "target", "rekognition"
        )
        assert "couch" in result.only_labels


def test_extras_go_to_the_vendor_of_the_dialect(service: Callable[..., Service]) -> None:
    """Features that only a vendor can answer are requested from that vendor, whichever route is
    first."""
    two = service(("extras", {"kind": "azure"}), ("extras", {"kind": "rekognition"}))
    assert route_and_variant(two, TaskRequest(Task.EXTRAS, ("IMAGE_PROPERTIES",)))[0] == "extras-1"
    assert (
        route_and_variant(two, TaskRequest(Task.EXTRAS, ("caption",)), vendor="azure")[0]
        == "extras-0"
    )
    with pytest.raises(NotServed, match=r"extras \(CROP_HINTS\)"):
        route_and_variant(two, TaskRequest(Task.EXTRAS, ("CROP_HINTS",)), vendor="google")


class SlowWeb:
    """Returns ten bytes that are not a picture for any URL, or raises; every fetch waits until it
    is open. Counts the fetches, and holds the quota of a service that fetches with it."""

    def __init__(
        self, service: Callable[..., Service], max_bytes: int, *, error: Exception | None = None
    ) -> None:
        self.waiting = 0
        self.open = asyncio.Event()
        self.quota = ByteQuota(max_bytes, "fetched")
        self.error = error
        self.service = replace(
            service(("objects", GRID)), read_source=self.fetch, fetch_quota=self.quota
        )

    async def fetch(self, url: str, tenant: Tenant, max_bytes: int) -> bytes:
        self.waiting += 1
        await self.open.wait()
        if self.error:
            raise self.error
        return b"x" * 10

    def ask(self, *photos: bytes | Source) -> asyncio.Task[list[ItemAnswer]]:
        question = uniform_question(Task.OBJECTS, [Source("https://example.com/a.jpg"), *photos])
        return asyncio.create_task(self.service.answer(question, ANYBODY, DIALECT))


class TestFetched:
    """The bytes of fetched photos that calls hold are limited, until the buffer counts them."""

    async def test_photos_beyond_the_quota_are_refused_singly(
        self, service: Callable[..., Service]
    ) -> None:
        """Photos beyond the quota are refused, each for itself, and may be requested again
        later."""
        web = SlowWeb(service, 25)
        web.open.set()
        for _ in range(2):
            answers = await web.ask(*[Source("https://example.com/b.jpg")] * 3)
            assert [type(answer.error) for answer in answers] == [BadFormat, BadFormat, Busy, Busy]
            assert web.quota.used_bytes == 0

    async def test_sent_photos_count_beside_fetched_ones(
        self, service: Callable[..., Service]
    ) -> None:
        """Photos that were sent count while others of their call are fetched; if they exceed the
        quota, the call is refused."""
        web = SlowWeb(service, 25)
        first = web.ask(b"x" * 20)
        await wait_until(lambda: web.waiting >= 1)
        with pytest.raises(Busy, match=r"limits\.max_reading_bytes"):
            await web.ask(b"x" * 6)
        web.open.set()
        assert [type(answer.error) for answer in await first] == [Busy, BadFormat]
        assert web.quota.used_bytes == 0

    async def test_a_call_without_fetches_uses_no_quota(
        self, service: Callable[..., Service]
    ) -> None:
        """If no photo is fetched, no quota is used."""
        web = SlowWeb(service, 0)
        (answer,) = await web.service.answer(
            uniform_question(Task.OBJECTS, [b"xxx"]), ANYBODY, DIALECT
        )
        assert isinstance(answer.error, BadFormat)

    @pytest.mark.parametrize(
        "error", [SourceAway("away"), RuntimeError("a bug")], ids=["away", "bug"]
    )
    async def test_quota_is_released_after_failures_and_departures(
        self, service: Callable[..., Service], error: Exception
    ) -> None:
        """The quota is released when a fetch fails and when its client leaves."""
        web = SlowWeb(service, 100, error=error)
        leaving, failing = web.ask(b"x"), web.ask(b"x")
        await wait_until(lambda: web.waiting >= 2)
        assert web.quota.used_bytes == 2
        leaving.cancel()
        web.open.set()
        await asyncio.gather(leaving, failing, return_exceptions=True)
        assert leaving.cancelled()
        assert web.quota.used_bytes == 0
