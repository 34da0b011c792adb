"""Group testing with a companion's prior: likely photos go alone, the others are judged by their
posterior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.core.errors import DeadlineExceeded
from gateway.core.events import Events, Settled
from gateway.core.model import Entry, Lane, Outcome, Step
from gateway.pipeline.group_size import GroupSizer
from gateway.pipeline.group_verdict import in_order
from providers.base import Picture
from providers.detection import WHOLE, Detection, Task
from providers.errors import Unavailable
from tests.support.group_testing import (
    block_photo,
    clean_photo,
    eye,
    labels,
    moderation_route,
    risk_cascade,
    run_groups,
    unsafe,
)
from thresholds.shape import ALONE

ROUTE = moderation_route(cascade=risk_cascade("2x2", "2x1"), companion="free")


def sees(score: float) -> Sequence[Detection]:
    return [Detection("Unsafe", score, WHOLE)]


def entry_of(score: float, *, stage: int = 1, photo_id: str = "") -> Entry:
    """A photo that the companion gave this score, as it waits for a stage."""
    photo = clean_photo()
    photo = replace(photo, id=photo_id) if photo_id else photo
    step = Step(0, "free", "c", ALONE, 1, 1, 0, 0, 0, tuple(sees(score)), free=True)
    lane = Lane("eye", Task.MODERATION, "ann", ALONE)
    return Entry(photo, ROUTE.name, "ann", lane, 0, 0, 0, 60, stage=stage, steps=(step,))


async def test_a_likely_photo_is_asked_about_alone_at_once() -> None:
    """A photo that the companion finds likely is asked about alone, in no group: it costs one
    image, and the others share theirs."""
    async with run_groups(eye(), ROUTE) as pipeline:
        outcomes = await pipeline.answer_each(block_photo(), *(clean_photo() for _ in range(4)))
        assert labels(outcomes) == [["Unsafe"], [], [], [], []]
        assert sorted(pipeline.shapes) == ["1x1"] * 5 + ["1x1"] + ["2x2"]
        assert outcomes[0].share == 1
        assert [outcome.share for outcome in outcomes[1:]] == [0.25] * 4
        assert [step.reason for step in outcomes[0].steps] == ["likely to be flagged", "last stage"]


async def test_an_unlikely_photo_is_cleared_beside_a_suspect() -> None:
    """A flagged canvas clears the photos whose posterior is low; only the suspect is asked about
    again."""

    def sees_less(picture: Picture, task: Task) -> Sequence[Detection]:
        return sees(0.4) if unsafe(picture, task) else []

    route = moderation_route(cascade=risk_cascade("2x2", "2x1", clean=0.05), companion="free")
    async with run_groups(eye(), route, companion=eye(sees_less)) as pipeline:
        outcomes = await pipeline.answer_each(block_photo(), *(clean_photo() for _ in range(3)))
        assert labels(outcomes) == [["Unsafe"], [], [], []]
        paid = [[str(step.shape) for step in each.steps if not step.free] for each in outcomes]
        assert paid == [["2x2", "1x1"], ["2x2"], ["2x2"], ["2x2"]]


async def test_photos_without_a_prior_are_judged_by_the_threshold() -> None:
    """While the companion does not answer, photos are tested in groups by the threshold."""
    companion = eye(errors=[Unavailable("down")] * 9)
    async with run_groups(eye(), ROUTE, companion=companion) as pipeline:
        outcomes = await pipeline.answer_each(block_photo(), *(clean_photo() for _ in range(3)))
        assert labels(outcomes) == [["Unsafe"], [], [], []]
        assert all(not step.free for outcome in outcomes for step in outcome.steps)


async def test_a_companions_answer_is_never_the_photos() -> None:
    """A photo whose deadline passes while the companion looks fails, because the companion's answer
    is not the service's."""

    def sees_late(picture: Picture, task: Task) -> Sequence[Detection]:
        pipeline.clock.ahead_s += 100
        return sees(0.3)

    route = replace(ROUTE, deadline_s=50)
    async with run_groups(eye(), route, companion=eye(sees_late)) as pipeline:
        (outcome,) = await pipeline.answer_each(clean_photo())
        assert isinstance(outcome.error, DeadlineExceeded)
        assert outcome.detections == ()


def test_the_likeliest_photos_of_a_group_go_first() -> None:
    """The photos of a group are asked about in the order of their priors."""
    group = [entry_of(score, photo_id=f"{score}") for score in (0.1, 0.4, 0.0, 0.2)]
    ordered = in_order(group, {ROUTE.name: ROUTE})
    assert [entry.photo.id for entry in ordered] == ["0.4", "0.2", "0.1", "0.0"]


def test_photos_past_the_groups_leave_their_rate_as_it_is() -> None:
    """The share of flagged photos that sizes groups is that of photos in groups: those that went
    alone do not count."""
    sizes = GroupSizer({ROUTE.name: ROUTE}, Events([]))
    before, _ = sizes.choice(ROUTE.name)
    sizes(Settled(entry_of(0.9, stage=3), Outcome(clean_photo(), tuple(sees(0.9))), 0.1))
    assert sizes.choice(ROUTE.name)[0] == before
    sizes(Settled(entry_of(0.1, stage=1), Outcome(clean_photo(), tuple(sees(0.9))), 0.1))
    assert sizes.choice(ROUTE.name)[0].share > before.share
