"""A run on the console: its price, its progress, its running answers, and what came of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic
from typing import Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.batch.aggregate import Estimate
from gateway.batch.chunk_worker import ChunkPool
from gateway.batch.forecast import RunForecast
from gateway.batch.live import LivePage
from gateway.batch.live_page import RunSnapshot
from gateway.batch.run_plan import OpenRun, RunPlan
from gateway.batch.runner import End, Runner, RunResult, write_summary
from gateway.cli.progress import Bars, goes_on
from gateway.config.errors import ConfigError
from gateway.quality.progress import NoProgress
from providers.errors import Misconfigured

LOOK_S = 0.5
LINE_S = 10.0
"""Between lines where no terminal shows a bar."""
EXIT_STATUS = {"done": 0, "until": 0, "limit": 4, "deadline": 4, "stopped": 4, "away": 4}
State = Literal["running", "done", "stopped"]
STATES: Mapping[End | None, State] = {None: "done", "done": "done", "until": "done"}
"""Of the page, when a run has ended; any other end stopped it."""
ENDS = {
    "done": "all photos have a row",
    "until": "the answer is as exact as asked",
    "limit": "the next photo might pass --limit-usd",
    "deadline": "the deadline is over",
    "stopped": "stopped",
    "away": "the provider does not answer",
}


def carry_out(
    plan: RunPlan, *, engine: str, workers: int, confirmed: bool, live: bool, console: Console
) -> int:
    """Says the price, asks whether to go on, and runs; the command's exit status. Raises
    ConfigError for what cannot be used."""
    pool = pool_of(engine)

    async def answer() -> int:
        bars = Bars(console, TimeElapsedColumn) if console.is_terminal else NoProgress()
        async with plan.opened(bars) as opened:
            for line in forecast_lines(opened.forecast, plan.lasts_s):
                console.print(line)
            if opened.forecast.most_usd and not goes_on(confirmed=confirmed):
                raise typer.Exit(1)
            began = monotonic()
            with (
                _display(opened, began, live=live, console=console),
                _stops_at_signals(opened.runner),
            ):
                if pool is None:
                    result = await opened.runner.run()
                else:
                    result = await opened.runner.run_in_pool(pool, plan.worker, workers)
        seconds = monotonic() - began
        summary = write_summary(plan.request.folder, result, seconds)
        _print_result(result, opened, seconds, console)
        console.print(f"summary: [bold]{summary}[/]")
        if result.end not in ("done", "until"):
            console.print("go on from here with the same command")
        return EXIT_STATUS[result.end]

    try:
        return asyncio.run(answer())
    except Misconfigured as error:
        raise ConfigError(f"--engine {engine}: {error}") from None


def pool_of(engine: str) -> ChunkPool | None:
    """The workers of an engine; None for this process."""
    if engine == "ray":
        from gateway.batch.ray import ray_pool

        return ray_pool
    if engine == "daft":
        from gateway.batch.daft import daft_pool

        return daft_pool
    return None


def forecast_lines(forecast: RunForecast, lasts_s: float | None) -> Iterator[str]:
    """What the run will cost and take, in words."""
    photos = f"{forecast.photos:,} photos"
    if not forecast.most_usd:
        yield f"{photos}: nothing is billed"
    elif forecast.usd is not None:
        yield (
            f"{photos}: about [bold]{forecast.usd:,.2f} USD[/] by the plan, in full canvases, "
            f"instead of {forecast.alone_usd:,.2f}; at most {forecast.most_usd:,.2f}"
        )
    elif forecast.least_usd == forecast.most_usd:
        yield (
            f"{photos}: about [bold]{forecast.most_usd:,.2f} USD[/] in full canvases, instead of "
            f"{forecast.alone_usd:,.2f}"
        )
    else:
        yield (
            f"{photos}: [bold]{forecast.least_usd:,.2f} to {forecast.most_usd:,.2f} USD[/] in full "
            f"canvases, instead of {forecast.alone_usd:,.2f}; a cascade of imgrid plan says it "
            "closer"
        )
    if forecast.seconds is None:
        yield "time: shown once the first photos are answered"
        return
    yield f"time: about {time_text(forecast.seconds)} on this machine, by its calibration"
    if lasts_s is not None and forecast.seconds > lasts_s:
        yield (
            f"[yellow]that is longer than --deadline: about "
            f"{round(forecast.photos * lasts_s / forecast.seconds):,} photos will be answered[/]"
        )


def time_text(seconds: float) -> str:
    """A time for people: `3 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def _stops_at_signals(runner: Runner) -> Iterator[None]:
    """While the block lasts, the first Ctrl-C lets photos under way be answered, and the second
    ends the command at once; what has a row stays in both cases."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        runner.stop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)

    for name in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # not there on Windows
            loop.add_signal_handler(name, stop)
    try:
        yield
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):
                loop.remove_signal_handler(name)


@contextmanager
def _display(opened: OpenRun, began: float, *, live: bool, console: Console) -> Iterator[None]:
    """Shows the run while the block lasts: a bar or lines, and a page."""
    with ExitStack() as stack:
        page = None
        if live:
            page = stack.enter_context(LivePage(f"{opened.forecast.photos:,} photos"))
            console.print(f"live page: [bold]{page.url}[/]")
        bar = stack.enter_context(_Bar(opened.forecast.photos, console))
        task = asyncio.create_task(_look(opened, began, bar, page, console))
        try:
            yield
        finally:
            task.cancel()
            bar.show(status_text(opened.runner, opened.forecast.photos, began), opened.runner)
            if page is not None:
                page.show(snapshot_of(opened, STATES.get(opened.runner.end, "stopped")))


async def _look(
    opened: OpenRun, began: float, bar: _Bar, page: LivePage | None, console: Console
) -> None:
    said_at = monotonic()
    while True:
        await asyncio.sleep(LOOK_S)
        text = status_text(opened.runner, opened.forecast.photos, began)
        bar.show(text, opened.runner)
        if page is not None:
            page.show(snapshot_of(opened, "running"))
        if not console.is_terminal and monotonic() - said_at >= LINE_S:
            said_at = monotonic()
            console.print(f"{opened.runner.totals.photos:,} of {opened.forecast.photos:,}; {text}")
            if opened.answers is not None:
                console.print("; ".join(map(estimate_text, opened.answers.estimates())))


class _Bar:
    """A progress bar where a terminal shows it. Holds its display."""

    def __init__(self, photos: int, console: Console) -> None:
        columns = (TextColumn("photos"), BarColumn(), TextColumn("{task.fields[status]}"))
        self._display = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task: TaskID = self._display.add_task("photos", total=photos, status="")

    def __enter__(self) -> _Bar:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    def show(self, status: str, runner: Runner) -> None:
        self._display.update(self._task, completed=runner.totals.photos, status=status)


def status_text(runner: Runner, photos: int, began: float) -> str:
    """Photos a second, the time that is left, what was spent and saved, and errors."""
    totals = runner.totals
    rate = runner.new_rows / max(monotonic() - began, 1e-9)
    words = [f"{totals.photos:,}/{photos:,}", f"{rate:.1f}/s"]
    if rate:
        words.append(f"{time_text((photos - totals.photos) / rate)} left")
    if totals.alone_usd:
        words.append(f"{totals.usd:.2f} USD, {100 * totals.saved:.0f} % saved")
    if totals.failed:
        words.append(f"{totals.failed:,} failed")
    return ", ".join(words)


def snapshot_of(opened: OpenRun, state: State) -> RunSnapshot:
    """The run for its page."""
    totals, answers = opened.runner.totals, opened.answers
    return RunSnapshot(
        photos=opened.forecast.photos,
        state=state,
        answered=totals.answered,
        failed=totals.failed,
        counted=0 if answers is None else answers.counted,
        billed=totals.images,
        usd=totals.usd,
        saved=totals.saved,
        estimates=() if answers is None else answers.estimates(),
        until=opened.until,
    )


def estimate_text(estimate: Estimate) -> str:
    """An estimate for people: `share(person) 0.412 (0.391 to 0.433)`."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.query} {estimate.value:.4g} (so far; no interval)"
    return f"{estimate.query} {estimate.value:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"


def _print_result(result: RunResult, opened: OpenRun, seconds: float, console: Console) -> None:
    totals = result.totals
    reason = f": {result.message}" if result.message else ""
    console.print(f"[bold]{ENDS[result.end]}[/]{reason}")
    table = Table(box=SIMPLE_HEAD)
    for column in ("photos", "answered", "failed", "images", "USD", "alone", "saved", "photos/s"):
        table.add_column(column, justify="right")
    table.add_row(
        f"{totals.photos:,}",
        f"{totals.answered:,}",
        f"{totals.failed:,}",
        f"{totals.images:,.1f}",
        f"{totals.usd:,.2f}",
        f"{totals.alone_usd:,.2f}",
        f"{100 * totals.saved:.0f} %",
        f"{opened.runner.new_rows / max(seconds, 1e-9):.1f}",
    )
    console.print(table)
    if opened.answers is not None:
        for estimate in opened.answers.estimates():
            console.print(estimate_text(estimate))
    for key, message in totals.failures:
        console.print(f"[yellow]failed:[/] {key}: {message}")
