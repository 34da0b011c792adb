"""A run asks about every photo once, keeps every answer, and ends where it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.batch.run_plan import OpenRun, RunPlan, RunRequest
from gateway.batch.runner import RunOptions, RunResult, write_summary
from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.quality.progress import NoProgress
from gateway.testing.provider import ScriptedProvider, about, see_shapes
from providers.base import Picture
from providers.detection import Detection, Task
from providers.errors import Unavailable
from providers.prices import Price
from tests.gateway.batch.conftest import CONFIG, PHOTOS

PAID = about("eye", price=Price(0.01), concurrency=2)


@pytest.fixture
def eye() -> ScriptedProvider:
    """A provider that finds coloured blocks, and costs a cent an image."""
    return ScriptedProvider(about=PAID)


Open = Callable[..., Any]


@pytest.fixture
def open_run(tmp_path: Path, photos: Path, eye: ScriptedProvider) -> Open:
    """`open_run(options, route={...}, **request)`: a run over the photos, in chunks of six."""

    @asynccontextmanager
    async def opened(
        options: RunOptions | None = None,
        route: Mapping[str, Any] | None = None,
        provider: ScriptedProvider = eye,
        patience_ms: float = 60_000,
        **request: Any,
    ) -> AsyncIterator[OpenRun]:
        config = {**CONFIG, "routes": [{**CONFIG["routes"][0], **(route or {})}]}
        file = tmp_path / "imgrid.yaml"
        file.write_text(yaml.safe_dump(config))
        given = {"photos": str(photos), "folder": tmp_path / "out", "route": "objects", **request}
        config_read = settings.read(file, {})
        plan = RunPlan(
            config_read,
            file,
            RunRequest(**given),
            options or RunOptions(chunk=6),
            patience_ms=patience_ms,
        )
        async with plan.opened(NoProgress(), {"eye": provider}) as run:
            yield run

    return opened


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of all finished chunks, and those of unfinished ones."""
    rows = []
    for file in sorted([*folder.glob("part-*.jsonl"), *folder.glob("part-*.journal")]):
        rows += [json.loads(line) for line in file.read_text().splitlines()]
    return rows


def positions(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    return sorted(row["position"] for row in rows)


async def test_every_photo_has_one_row(
    open_run: Open, tmp_path: Path, eye: ScriptedProvider
) -> None:
    """Every photo is asked about once and has one row, with its detections and its price, in a file
    a chunk; the sums are those of the rows."""
    async with open_run() as run:
        result: RunResult = await run.runner.run()
    rows = rows_of(tmp_path / "out")
    assert positions(rows) == list(range(PHOTOS))
    assert len(eye.pictures) == PHOTOS
    assert len(list((tmp_path / "out").glob("part-*.jsonl"))) == 4
    assert not list((tmp_path / "out").glob("*.journal"))
    labels = [{each["label"] for each in row["detections"]} for row in rows]
    assert labels[:4] == [{"red", "blue"}, {"red"}, {"red"}, {"red"}]
    assert result.end == "done"
    assert (result.totals.answered, result.totals.failed) == (PHOTOS, 0)
    assert result.totals.usd == pytest.approx(0.01 * PHOTOS)
    assert result.totals.images == pytest.approx(PHOTOS)


async def test_grids_are_filled_and_their_price_is_shared(
    open_run: Open, tmp_path: Path, eye: ScriptedProvider
) -> None:
    """With a grid of four photos each costs a quarter, and the sums say what was saved."""
    async with open_run(route={"stages": [{"shape": "2x2"}]}) as run:
        assert run.forecast.most_usd == pytest.approx(0.0025 * PHOTOS)
        assert run.forecast.alone_usd == pytest.approx(0.01 * PHOTOS)
        result = await run.runner.run()
    assert len(eye.pictures) == PHOTOS / 4
    assert result.totals.usd == pytest.approx(0.0025 * PHOTOS)
    assert result.totals.saved == pytest.approx(0.75)


async def test_a_run_goes_on_where_it_was(
    open_run: Open, tmp_path: Path, eye: ScriptedProvider
) -> None:
    """A run that ended early goes on with the photos that have no row; its sums are of all."""
    async with open_run(RunOptions(chunk=6, most_usd=0.09)) as run:
        first = await run.runner.run()
    assert first.end == "limit"
    assert len(eye.pictures) == 9
    async with open_run() as run:
        second = await run.runner.run()
    assert len(eye.pictures) == PHOTOS
    assert run.runner.new_rows == PHOTOS - 9
    assert second.totals.answered == PHOTOS
    assert positions(rows_of(tmp_path / "out")) == list(range(PHOTOS))
    async with open_run() as run:
        third = await run.runner.run()
    assert run.runner.new_rows == 0
    assert third.totals.as_json() == second.totals.as_json()


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.055])
async def test_no_more_is_spent_than_the_limit(
    open_run: Open, eye: ScriptedProvider, limit: float
) -> None:
    """A photo is begun only where its price, and those under way, stay within the limit."""
    async with open_run(RunOptions(chunk=6, most_usd=limit, in_flight=3)) as run:
        result = await run.runner.run()
    assert result.end == "limit"
    assert result.totals.usd <= limit + 1e-9
    assert len(eye.pictures) == int(limit / 0.01 + 1e-9)


async def test_no_photo_is_begun_after_the_deadline(open_run: Open, eye: ScriptedProvider) -> None:
    """From its end on no photo is begun; those that are answered stay."""
    async with open_run() as run:
        run.runner.options = replace(run.runner.options, ends_at=10.0)
        times = iter([0.0, 1.0, 2.0])
        run.runner.clock = lambda: next(times, 10.0)
        result = await run.runner.run()
    assert result.end == "deadline"
    assert 0 < len(eye.pictures) <= 3


async def test_a_photo_that_cannot_be_read_fails_alone(
    open_run: Open, photos: Path, tmp_path: Path
) -> None:
    """A file that is no picture, is empty or is gone has a row with its error; the others are
    answered, and the summary lists it."""
    (photos / "03.png").write_bytes(b"no picture")
    (photos / "04.png").write_bytes(b"")
    async with open_run() as run:
        (photos / "05.png").unlink()
        result = await run.runner.run()
        file = write_summary(tmp_path / "out", result, 1.0)
    assert result.totals.reasons == {"invalid_format": 1, "empty_photo": 1, "source_missing": 1}
    assert result.totals.answered == PHOTOS - 3
    summary = json.loads(file.read_text())
    assert sorted(each["key"] for each in summary["failures"]) == ["03.png", "04.png", "05.png"]
    assert summary["end"] == "done"


async def test_a_photo_that_is_listed_twice_has_two_rows(
    open_run: Open, photos: Path, tmp_path: Path
) -> None:
    """A list may name a photo several times, and equal photos may be under way at once: each line
    has a row of its own."""
    (tmp_path / "list.txt").write_text("photos/00.png\n" * 15 + "photos/01.png\n")
    async with open_run(photos=str(tmp_path / "list.txt")) as run:
        result = await run.runner.run()
    assert result.totals.answered == 16
    rows = rows_of(tmp_path / "out")
    assert positions(rows) == list(range(16))
    assert {len(row["detections"]) for row in rows if row["key"] == "photos/00.png"} == {2}


async def test_an_outage_is_waited_for(open_run: Open) -> None:
    """While the provider is away photos are asked about again, and none fails for it."""
    eye = ScriptedProvider(about=PAID, errors=[Unavailable("away")] * 3)
    async with open_run(provider=eye) as run:
        result = await run.runner.run()
    assert result.end == "done"
    assert result.totals.answered == PHOTOS


async def test_an_outage_without_an_end_ends_the_run(
    open_run: Open,
) -> None:
    """Where the provider stays away the run ends and says so; no photo has a row with an error that
    was not its own, so that the next run asks about all."""
    eye = ScriptedProvider(about=PAID, errors=[Unavailable("away")] * 10_000)
    async with open_run(provider=eye, patience_ms=300) as run:
        result = await run.runner.run()
    assert result.end == "away"
    assert result.message
    assert result.totals.photos == 0


async def test_a_photo_that_always_fails_fails_alone(open_run: Open) -> None:
    """A photo for which the provider fails each time, while it answers others, has a row with its
    error, and does not hold up the run."""

    def script(picture: Picture, task: Task) -> Sequence[Detection]:
        if picture.width_px == 103:
            raise Unavailable("fails on this one")
        return see_shapes(picture, task)

    eye = ScriptedProvider(script, about=PAID)
    async with open_run(provider=eye, patience_ms=1_000) as run:
        result = await run.runner.run()
    assert (result.end, result.totals.failed) == ("done", 1)
    assert result.totals.answered == PHOTOS - 1


async def test_a_stopped_run_answers_what_is_under_way(
    open_run: Open, eye: ScriptedProvider, tmp_path: Path
) -> None:
    """A run that is told to stop begins no photo, and keeps the answers that were on their way."""
    async with open_run(RunOptions(chunk=6, in_flight=2)) as run:
        run.runner.observers = [StopsAfter(run, rows=5)]
        result = await run.runner.run()
    assert result.end == "stopped"
    assert positions(rows_of(tmp_path / "out")) == list(range(len(eye.pictures)))
    assert len(eye.pictures) < PHOTOS


class StopsAfter:
    """An observer that stops a run after so many rows."""

    def __init__(self, run: OpenRun, rows: int) -> None:
        self._run = run
        self._rows = rows

    def on_row(self, row: Mapping[str, Any]) -> None:
        self._rows -= 1
        if not self._rows:
            self._run.runner.stop()

    def done(self) -> bool:
        return False


async def test_running_answers_end_at_the_truth(open_run: Open) -> None:
    """Shares and means over all photos are exact at the last one, and photos came in random
    order."""
    async with open_run(seed=1, aggregate="share(blue), mean(red)") as run:
        await run.runner.run()
    assert run.answers is not None
    share, mean = run.answers.estimates()
    assert (share.low, share.value, share.high) == (0.25, 0.25, 0.25)
    assert mean.value == 1.0


async def test_a_run_ends_when_its_answer_is_exact_enough(
    open_run: Open, eye: ScriptedProvider
) -> None:
    """With --until no more photos are asked about than the answer needs."""
    async with open_run(seed=1, until="share(red) +- 0.45") as run:
        result = await run.runner.run()
    assert result.end == "until"
    assert len(eye.pictures) < PHOTOS


async def test_accuracy_goes_by_a_table(open_run: Open, tmp_path: Path) -> None:
    """With a truth the share of right answers is a running answer."""
    rows = [f"{number:02d}.png,{'red' if number < 15 else 'owl'}" for number in range(PHOTOS)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    async with open_run(seed=0, aggregate="accuracy", truth=tmp_path / "labels.csv") as run:
        await run.runner.run()
    assert run.answers is not None
    (accuracy,) = run.answers.estimates()
    assert 0.5 < accuracy.value < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": RunOptions(chunk=7)}, "holds a run with chunk 6, and this one has 7"),
        ({"seed": 4}, "holds a run with seed None, and this one has 4"),
        ({"route": {"stages": [{"shape": "2x1"}]}}, "holds a run with version"),
    ],
)
async def test_another_run_needs_another_folder(
    open_run: Open, change: dict[str, Any], message: str
) -> None:
    """A folder belongs to one run: another order, chunk or cascade is refused before anything is
    asked."""
    async with open_run() as run:
        await run.runner.run()
    with pytest.raises(ConfigError, match=message):
        async with open_run(**change):
            pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aggregate": "share(red"}, "share"),
        ({"until": "share(red) +- 0.1"}, "needs photos in random order"),
        ({"seed": 1, "aggregate": "accuracy"}, "accuracy needs the photos' true labels"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_named(
    open_run: Open, change: dict[str, Any], message: str
) -> None:
    """A query of another form, or one that lacks its order or truth, is an error that says so."""
    with pytest.raises(ConfigError, match=message):
        async with open_run(**change):
            pass


async def test_two_runs_do_not_share_a_folder(open_run: Open) -> None:
    """While a run writes to a folder another one is refused: both would pay for the same photos."""
    async with open_run():
        with pytest.raises(ConfigError, match="another run is writing to it"):
            async with open_run():
                pass
    async with open_run() as run:
        assert (await run.runner.run()).end == "done"


async def test_a_route_for_clients_that_name_what_they_want_is_refused(open_run: Open) -> None:
    """Labels from boxes or in groups, and a vendor's own extras, need what a run does not ask."""
    with pytest.raises(ConfigError, match="for clients that name what they want"):
        async with open_run(route={"task": "labels", "labels": "boxes", "name": "objects"}):
            pass


async def test_a_route_that_learns_is_refused(open_run: Open) -> None:
    """A route with cascade: auto learns in service; a run needs a cascade."""
    route = {"stages": None, "cascade": "auto", "max_drop": 0.02}
    with pytest.raises(ConfigError, match="auto learns in service; name a cascade"):
        async with open_run(route=route):
            pass
