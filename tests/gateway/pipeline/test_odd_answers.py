"""An answer that was billed is accounted for, however odd it is; neighbours of what is odd are
answered."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, UpstreamFailed
from gateway.core.events import CanvasAnswered
from gateway.core.model import Outcome
from gateway.ledger.accounts import total
from gateway.store.ledger import tenant_accounts
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers import registry
from providers.base import Picture, Provider
from providers.detection import WHOLE, Detection, Task
from tests.support.examples import examples
from tests.support.group_testing import block_photo as flagged_photo
from tests.support.group_testing import eye, moderation_route, run_groups
from tests.support.photos import photo_of_block
from tests.support.pipeline import SURE, labels_of, route_of, run_pipeline
from tests.support.services import Call, Reply, service
from tests.support.vendor_stand_ins import answer_as_cloud, decode
from thresholds.cascade import Cascade, Stage
from thresholds.fusion.looks import Evidence
from thresholds.rules import clean, imgrid
from thresholds.rules.base import ACCEPT, Verdict

COLOURS = ("red", "green", "blue", "yellow")


def odd_blue(**changes: Any) -> Callable[[Picture, Task], Sequence[Detection]]:
    """A script that sees shapes, and says something odd of the blue one."""

    def script(picture: Picture, task: Task) -> Sequence[Detection]:
        shapes = see_shapes(picture, task)
        return [replace(each, **changes) if each.label == "blue" else each for each in shapes]

    return script


class TestOddDetections:
    @pytest.mark.parametrize(
        "changes",
        [
            {"score": math.nan},
            {"box": (math.nan, 0.0, 1.0, 1.0)},
            {"box": (0.0, 0.0, math.inf, 1.0)},
            {"label": None},
            {"label": "\ud800"},
            {"details": {"raw": math.nan}},
        ],
        ids=str,
    )
    async def test_the_neighbours_of_an_odd_detection_are_answered(
        self, changes: dict[str, Any]
    ) -> None:
        """A detection that is not sane is dropped from its photo's answer. Its neighbours are
        answered, the bill is one image, and the event counts what was dropped."""
        async with run_pipeline(ScriptedProvider(odd_blue(**changes)), route_of("2x2")) as pipeline:
            outcomes = await pipeline.answer_each(*map(photo_of_block, COLOURS))
            assert list(map(labels_of, outcomes)) == [["red"], ["green"], [], ["yellow"]]
            assert await pipeline.billed_images() == pytest.approx(1)
            assert [event.dropped for event in pipeline.events.of(CanvasAnswered)] == [1]

    async def test_an_odd_finding_clears_no_photo(self) -> None:
        """Moderation whose finding cannot be read is no answer: the photo is not cleared, and the
        call may be billed."""

        def script(picture: Picture, task: Task) -> Sequence[Detection]:
            return [Detection("Unsafe", math.nan, WHOLE)]

        async with run_groups(eye(script), billed_unknown="fail") as pipeline:
            (outcome,) = await pipeline.answer(flagged_photo())
            assert outcome.error is not None
            account = total(await tenant_accounts(pipeline.buffer.ledger))
            assert (account.billed, account.unknown) == (0, pytest.approx(1))


class TestUnreadableAnswers:
    @pytest.mark.parametrize("error", [RuntimeError("a bug"), RecursionError(), KeyError("Labels")])
    async def test_an_exception_may_be_billed(self, error: Exception) -> None:
        """An exception that no provider should raise counts as a call that may be billed, and is
        retried like one."""
        provider = ScriptedProvider(errors=[error])
        async with run_pipeline(provider, route_of("1x1")) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert labels_of(outcome) == ["red"]
            account = total(await tenant_accounts(pipeline.buffer.ledger))
            assert (account.billed, account.unknown, provider.calls) == (1, 1, 2)

    async def test_an_answer_of_no_detections_may_be_billed(self) -> None:
        """An answer that cannot be read fails its photos with the upstream's error."""
        provider = ScriptedProvider(lambda picture, task: None)  # type: ignore[arg-type,return-value]
        async with run_pipeline(provider, route_of("1x1", deadline_s=0.1)) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert isinstance(outcome.error, UpstreamFailed)
            assert total(await tenant_accounts(pipeline.buffer.ledger)).unknown == provider.calls


class Faulty(imgrid.Rule):
    """A rule with a bug: it fails on a blue shape."""

    def judge(self, evidence: Evidence) -> Verdict:
        if any(each.label == "blue" for each in evidence.last_detections):
            raise ZeroDivisionError("a bug")
        return ACCEPT


class FaultyInGroups(clean.Rule):
    """The same for groups: it fails on every canvas."""

    def judge(self, evidence: Evidence) -> Verdict:
        raise ZeroDivisionError("a bug")


class FaultyLimits(dict[Task, int]):
    """The limits of a provider that fail when its answer is counted."""

    def __contains__(self, task: object) -> bool:
        raise ZeroDivisionError("a bug")


class TestFaultsBehindAnAnswer:
    """A bug behind an answer costs photos their answer, and never the ledger its entry."""

    async def test_the_bill_of_an_answer_that_cannot_be_used_is_charged(self) -> None:
        """Where the answer as a whole cannot be used every photo fails with `internal`, and the
        canvas is on the ledger."""
        provider = ScriptedProvider(about=about(most=FaultyLimits()))
        route = route_of("1x1")
        async with run_pipeline(provider, route) as pipeline:
            (outcome,) = await pipeline.answer(photo_of_block("red"))
            assert type(outcome.error) is GatewayError
            assert await pipeline.billed_images() == pytest.approx(1)
            await pipeline.assert_empty()

    async def test_one_photo_that_cannot_be_judged_fails_alone(self) -> None:
        """A photo whose answer cannot be judged fails and owes its share; its neighbours are
        answered."""
        unsure = Faulty(area=imgrid.Spread(mean=0), unknown=imgrid.Spread(mean=0.9), floor=0)
        route = route_of(Stage(shape="2x2", rule=unsure), "1x1")
        async with run_pipeline(ScriptedProvider(), route) as pipeline:
            outcomes = await pipeline.answer_each(*map(photo_of_block, COLOURS))
            assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
            assert type(outcomes[2].error) is GatewayError
            assert outcomes[2].share == pytest.approx(0.25)
            assert await pipeline.billed_images() == pytest.approx(1)

    async def test_the_bill_of_a_group_is_charged(self) -> None:
        """The photos of a group that cannot be judged fail, and its canvas is on the ledger."""
        stages = [Stage(shape="2x2", rule=FaultyInGroups(threshold=0.2)), Stage(shape="1x1")]
        route = moderation_route(cascade=Cascade(stages=stages))
        async with run_groups(eye(), route) as pipeline:
            outcomes = await pipeline.answer_each(flagged_photo(), flagged_photo())
            assert [type(outcome.error) for outcome in outcomes] == [GatewayError] * 2
            assert await pipeline.billed_images() == pytest.approx(1)
            await pipeline.assert_empty()


# -- arbitrary JSON from the upstream

DEEP = "@deep"
"""Stands for lists in lists, deeper than any answer."""
LEAVES = st.sampled_from(
    [None, True, -1, 0, 2**70, 1e308, math.nan, math.inf, "", "\ud800", "text", [], {}, DEEP]
)
JSON = st.recursive(
    LEAVES | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
MUTATION = st.tuples(st.lists(st.integers(0, 7), max_size=8), JSON)
"""Where an answer is changed, by the number of the member at each depth, and what stands there."""


def mutated(answer: Any, path: Sequence[int], value: Any) -> Any:
    """The answer with another value at a path, or where the path ends early."""
    if not path or not isinstance(answer, dict | list) or not answer:
        return value
    if isinstance(answer, list):
        index = path[0] % len(answer)
        changed = mutated(answer[index], path[1:], value)
        return [*answer[:index], changed, *answer[index + 1 :]]
    key = sorted(answer)[path[0] % len(answer)]
    return {**answer, key: mutated(answer[key], path[1:], value)}


def answer_as_gateway(call: Call) -> Reply:
    """The native answer of another gateway."""
    rows = []
    for shape in decode(call.body)[1]:
        box = dict(zip(("x0", "y0", "x1", "y1"), shape.box, strict=True))
        details = {"vendor": "rekognition", "raw": {"Confidence": 99.5}}
        rows.append({"label": shape.label, "score": shape.score, "box": box, "details": details})
    return 200, {}, {"photos": [{"detections": rows}]}


class OddVendor:
    """Answers as the three clouds and another gateway do, with the next mutations, and counts what
    it bills."""

    def __init__(self) -> None:
        self.mutations: Sequence[tuple[Sequence[int], Any]] = ()
        self.billed = 0

    def __call__(self, call: Call) -> Reply:
        as_vendor = answer_as_gateway if "/v1/detect" in call.path else answer_as_cloud
        status, headers, answer = as_vendor(call)  # type: ignore[misc]
        if status == 200:
            self.billed += 1
        for path, value in self.mutations:
            answer = mutated(answer, path, value)
        return (
            status,
            headers,
            json.dumps(answer).replace(f'"{DEEP}"', "[" * 99 + "]" * 99).encode(),
        )


@pytest.fixture(scope="module")
def vendor() -> Iterator[tuple[OddVendor, str]]:
    odd = OddVendor()
    with service(odd) as url:
        yield odd, url


def provider_of(kind: str, url: str) -> Provider:
    """A provider of that kind in front of the vendor."""
    own = {
        "rekognition": {"access_key": "any", "secret_key": "any"},
        "google": {"transport": "rest"},
        "azure": {"key": "any"},
        "gateway": {"tasks": [Task.OBJECTS, Task.TEXT, Task.PEOPLE]},
    }[kind]
    module = registry.load(kind)
    options = {"canvas": "320x320", "endpoint": url, "breaker": None, **own}
    return module.create(kind, module.Options(kind=kind, **options), Path())


async def ask(provider: Provider, task: Task) -> tuple[list[Outcome], float, float]:
    """The outcomes of four photos, and what the ledger says is billed and may be."""
    stages = (Stage(shape="2x2", rule=SURE), "1x1")
    route = route_of(*stages, task=task, provider=provider.about.name, deadline_s=20)
    async with run_pipeline(provider, route, billed_unknown="fail") as pipeline:
        outcomes = await pipeline.answer_each(*map(photo_of_block, COLOURS))
        account = total(await tenant_accounts(pipeline.buffer.ledger))
        return outcomes, account.billed, account.unknown


@pytest.mark.slow
@pytest.mark.sdk
@pytest.mark.parametrize("kind", ["azure", "gateway", "google", "rekognition"])
@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    task=st.sampled_from([Task.OBJECTS, Task.TEXT, Task.PEOPLE]),
    mutations=st.lists(MUTATION, min_size=1, max_size=3),
)
def test_the_bill_is_within_the_ledger(
    vendor: tuple[OddVendor, str], kind: str, task: Task, mutations: list[tuple[list[int], Any]]
) -> None:
    """Whatever JSON the vendor answers with, its bill lies between what the ledger is certain of
    and that and what may be billed; no photo's error is the gateway's own."""
    odd, url = vendor
    odd.mutations, before = mutations, odd.billed
    provider = provider_of(kind, url)
    outcomes, certain, unknown = asyncio.run(ask(provider, task))
    asyncio.run(provider.close())
    assert certain - 1e-6 <= odd.billed - before <= certain + unknown + 1e-6
    codes = {outcome.error.code for outcome in outcomes if outcome.error is not None}
    assert "internal" not in codes
