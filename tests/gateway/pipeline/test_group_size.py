"""The size of groups follows the share of photos that are flagged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx

from gateway.core.errors import UpstreamFailed
from gateway.core.events import Events, GroupsChanged, Settled
from gateway.core.model import Entry, Lane, Outcome, Route
from gateway.pipeline.group_size import GroupSizer
from gateway.testing.gateway import parts_of, serving
from gateway.testing.listeners import EventRecorder
from gateway.testing.pictures import drawn, photo
from providers.detection import WHOLE, Detection, Task
from tests.support.group_testing import (
    LABELS_ROUTE,
    block_photo,
    clean_photo,
    eye,
    labels,
    moderation_route,
    run_groups,
)
from thresholds.cascade import Cascade, Stage
from thresholds.shape import ALONE


def settle_photos(sizes: GroupSizer, route: Route, *, flagged: int = 0, clean: int = 0) -> None:
    """Tells the sizes that so many photos were settled."""
    settled = photo(drawn((8, 8)))
    entry = Entry(settled, route.name, "ann", Lane("eye", route.task, "ann", ALONE), 0, 0, 0, 60)
    for detections in [(Detection("Unsafe", 0.9, WHOLE),)] * flagged + [()] * clean:
        sizes(Settled(entry, Outcome(settled, detections), 0.1))


class TestSizes:
    async def test_groups_end_while_too_many_photos_are_flagged(self) -> None:
        """Where too many photos are flagged each is asked about alone and an event says so, and
        when few are flagged again groups come back."""
        async with run_groups(eye(), sized_groups=True) as pipeline:
            settle_photos(pipeline.group_sizer, pipeline.route, flagged=200)
            _, choice = pipeline.group_sizer.choice("moderation")
            assert choice.shape == ALONE
            assert "groups would cost" in choice.reason
            assert labels(await pipeline.answer_each(block_photo(), clean_photo())) == [
                ["Unsafe"],
                [],
            ]
            assert pipeline.shapes == ["1x1"] * 2
            settle_photos(pipeline.group_sizer, pipeline.route, clean=4000)
            await pipeline.answer_each(*(clean_photo() for _ in range(9)))
            assert pipeline.shapes[2:] == ["3x3"]
            shapes = [str(event.shape) for event in pipeline.events.of(GroupsChanged)]
            assert "1x1" in shapes
            assert shapes[-1] == "3x3"

    def test_an_unchanged_size_is_not_told_again(self) -> None:
        """The first size is told on request, and a size that did not change is not told again."""
        events, route = EventRecorder(), moderation_route()
        sizes = GroupSizer({route.name: route}, Events([events]))
        sizes.tell_initial()
        (first,) = events.of(GroupsChanged)
        assert (first.before, first.rate, str(first.shape)) == (None, 0.02, "3x3")
        settle_photos(sizes, route, clean=2)
        assert events.of(GroupsChanged) == [first]

    def test_only_judged_photos_change_the_rate(self) -> None:
        """Photos that are watched, that fail, or that come without a list leave the rate as it
        is."""
        route = LABELS_ROUTE
        sizes = GroupSizer({"labels": route}, Events([]))
        before = sizes.choice("labels")
        lane = Lane("eye", Task.LABELS, "ann", ALONE)
        entry = Entry(clean_photo(), "labels", "ann", lane, 0, 0, 0, 60, only_labels=("red",))
        red = (Detection("red", 0.9, WHOLE),)
        sizes(Settled(replace(entry, only_labels=()), Outcome(entry.photo, red), 0.1))
        sizes(Settled(replace(entry, watched=True), Outcome(entry.photo, red), 0.1))
        sizes(Settled(entry, Outcome(entry.photo, error=UpstreamFailed("no")), 0.1))
        assert sizes.choice("labels") == before
        sizes(Settled(replace(entry, only_labels=("blue",)), Outcome(entry.photo, red), 0.1))
        assert sizes.choice("labels")[0].share < before[0].share
        sizes(Settled(entry, Outcome(entry.photo, red), 0.1))
        assert sizes.choice("labels")[0].share > before[0].share

    def test_a_route_without_groups_has_no_size(self) -> None:
        """A route that asks about each photo alone has no size."""
        route = Route("objects", Task.OBJECTS, "eye", Cascade(stages=[Stage(shape="2x2")]))
        assert GroupSizer({"objects": route}, Events([])).choice("objects") is None

    def test_the_routes_page_tells_the_group_size(self, tmp_path: Path) -> None:
        """`GET /v1/routes` tells how photos go in groups and why, and nothing of a route without
        groups."""
        stages = [{"shape": "3x3", "rule": {"kind": "clean", "threshold": 0.2}}, {"shape": "1x1"}]
        routes = [
            {"task": "moderation", "provider": "eye", "stages": stages},
            {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]},
        ]
        parts = parts_of(
            tmp_path, {"providers": {"eye": {"kind": "shapes"}}, "routes": routes}, {"eye": eye()}
        )
        with serving(parts) as url:
            served_routes = httpx.get(f"{url}/v1/routes").json()["routes"]
            metrics = httpx.get(f"{url}/metrics").text
        groups = {route["task"]: route["group"] for route in served_routes}
        assert groups["objects"] is None
        assert (groups["moderation"]["rate"], groups["moderation"]["shape"]) == (0.02, "3x3")
        assert "2.0% flagged photos" in groups["moderation"]["reason"]
        assert 'imgrid_group_photos{route="moderation"} 9.0' in metrics
