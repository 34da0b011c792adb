"""Replicas and a real Redis under load while things are killed with -9, paused and restarted; then
the books are read.

Every accepted photo must have exactly one answer or an explicit error, and its own: each photo's
drawn content names it. Every webhook must have arrived, under one id. The upstream's bill must be
the ledger's: what is certain, and at most what may be billed besides. A tenant whose budget runs
out amid it is never billed more. Exits with 1 where any of this does not hold.

python benchmarks/chaos.py [--photos 5000] [--rate 25] [--every 4] [--seed 1] [--replicas 3]
[--shared ../shared]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from crowd import Crowd, Handed, Receiver, crowd
from drawings import NUMBERS, number_in
from fleet import SHARED, Fleet, Plan, fleet, missing
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Chaos:
    """How much load, how much trouble. `rate` is photos a second; half of them wait, the others are
    in jobs of up to `job` photos. Something happens every `every_s`; afterwards all must be well
    within `patience_s`."""

    photos: int = 5000
    rate: float = 25.0
    job: int = 12
    every_s: float = 4.0
    seed: int = 1
    patience_s: float = 420.0
    fail_share: float = 0.1
    plan: Plan = field(default_factory=lambda: Plan(budgets={"farm": 250.0}))


SHORT = Chaos(
    photos=240,
    rate=12.0,
    every_s=1.2,
    patience_s=90.0,
    plan=Plan(hang_s=8.0, webhook_ms=4000, budgets={"farm": 20.0}),
)
"""The form that the tests run."""

EXPLAINED_BY_NOBODY = {"silent", "no_connection"}


@dataclass
class Report:
    """What came out: figures for people, and what is broken."""

    figures: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def say(self, what: str, *values: object) -> None:
        self.figures.append((what, ", ".join(map(str, values))))

    def must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.broken.append(otherwise)


# What happens.

Action = Callable[[Fleet, random.Random], Awaitable[None]]


async def kill_replica(fleet: Fleet, rng: random.Random) -> None:
    replica = rng.choice(fleet.replicas)
    await replica.end(signal.SIGKILL)
    await asyncio.sleep(rng.uniform(0.2, 1))
    replica.start()


async def restart_replica(fleet: Fleet, rng: random.Random) -> None:
    replica = rng.choice(fleet.replicas)
    await replica.end(signal.SIGTERM)
    replica.start()


async def pause_replica(fleet: Fleet, rng: random.Random) -> None:
    async with rng.choice(fleet.replicas).paused():
        await asyncio.sleep(rng.uniform(1, 4))


async def kill_redis(fleet: Fleet, rng: random.Random) -> None:
    await fleet.redis.end(signal.SIGKILL)
    await asyncio.sleep(rng.uniform(0.2, 1))
    fleet.redis.start()


async def pause_redis(fleet: Fleet, rng: random.Random) -> None:
    async with fleet.redis.paused():
        await asyncio.sleep(rng.uniform(2, 5))


async def upstream_fails(fleet: Fleet, rng: random.Random) -> None:
    await fleet.upstream.faults(
        error_rate=0.1, throttle_rps=20, hang_rate=0.03, latency_ms=rng.choice([20, 200])
    )


async def upstream_is_well(fleet: Fleet, rng: random.Random) -> None:
    await fleet.upstream.faults(latency_ms=50)


ACTIONS: Sequence[Action] = (
    kill_replica,
    pause_replica,
    upstream_fails,
    kill_redis,
    restart_replica,
    pause_redis,
    kill_replica,
    upstream_is_well,
)


async def torment(fleet: Fleet, chaos: Chaos, enough: asyncio.Event) -> Counter[str]:
    """One action after another, each as often as it is in the deck, in shuffled order, until there
    was enough: what was done."""
    rng, deck, done = random.Random(chaos.seed), list[Action](), Counter[str]()
    while not enough.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), chaos.every_s * rng.uniform(0.5, 1.5))
            break
        deck = deck or rng.sample(ACTIONS, len(ACTIONS))
        action = deck.pop()
        await action(fleet, rng)
        done[action.__name__] += 1
    return done


async def heal(fleet: Fleet) -> None:
    """Everything runs and is well."""
    for member in fleet.members:
        member.send(signal.SIGCONT)
        if not member.running or member.running.poll() is not None:
            member.start()
    await fleet.upstream.faults()
    await fleet.ready()


# What is asked.


def portions(chaos: Chaos) -> Iterator[tuple[int, list[int]]]:
    """The photos, in numbered portions: those of an odd one are a job, in an even one each has a
    client that waits."""
    rng, turn, number = random.Random(chaos.seed), 0, 0
    while number < chaos.photos:
        size = min(rng.randint(1, chaos.job), chaos.photos - number)
        yield turn, list(range(number, number + size))
        turn, number = turn + 1, number + size


async def load(crowd: Crowd, chaos: Chaos, hook: str) -> None:
    """Hands in every photo at the rate, whatever happens, and returns when each has its answer or
    is accepted."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for turn, numbers in portions(chaos):
            await asyncio.sleep(began + numbers[0] / chaos.rate - time.monotonic())
            if turn % 2:
                tasks.create_task(
                    crowd.hand_in(
                        numbers, hook, each_photo=turn % 4 == 1, key=f"{chaos.seed}-{turn}"
                    )
                )
            else:
                for number in numbers:
                    tasks.create_task(crowd.wait_for(number))


async def storm(fleet: Fleet, crowd: Crowd, chaos: Chaos, hook: str) -> Counter[str]:
    """The load with the torment, and the fleet healed afterwards: what was done to it."""
    enough = asyncio.Event()
    watching = asyncio.create_task(fleet.watch())
    async with asyncio.TaskGroup() as tasks:
        tormenting = tasks.create_task(torment(fleet, chaos, enough))
        await load(crowd, chaos, hook)
        enough.set()
    await heal(fleet)
    watching.cancel()
    return tormenting.result()


# What came of it.

Results = dict[str, list[dict[str, Any]]]


def sync_photos(report: Report, crowd: Crowd, expected: int) -> None:
    """Each has one answer, its own, or an explicit error."""
    numbers = Counter(told.number for told in crowd.told)
    errors = Counter(told.error for told in crowd.told if told.error)
    report.say("photos whose clients waited", expected)
    report.say("… answered, with their own content", sum(told.right for told in crowd.told))
    report.say("… explicit errors", dict(errors) or 0)
    report.must(
        numbers.total() == len(numbers) == expected, f"{expected} photos, answers to {len(numbers)}"
    )
    for told in crowd.told:
        report.must(
            told.error != "" or told.right, f"photo {told.number} was answered as {told.answer}"
        )
        report.must(told.error not in EXPLAINED_BY_NOBODY, f"photo {told.number}: {told.error}")


async def settled(crowd: Crowd, chaos: Chaos, report: Report) -> Results:
    """The results of all accepted jobs, once each has ended."""
    found: Results = {}
    waiting = {job.id: job for job in crowd.jobs if job.id}
    patient_until, states = time.monotonic() + chaos.patience_s, dict[str, str]()
    while waiting and time.monotonic() < patient_until:
        for job in list(waiting.values()):
            states[job.id], found[job.id] = await crowd.results(job)
            if states[job.id] == "done":
                del waiting[job.id]
        await asyncio.sleep(0.5)
    for job in waiting.values():
        report.must(
            False,
            f"job {job.id}: {states[job.id]}, {len(found[job.id])} of {len(job.numbers)} photos "
            "settled",
        )
    return found


def job_photos(report: Report, jobs: Sequence[Handed], found: Results) -> None:
    """Each photo of an accepted job has one result: its own answer or an explicit error."""
    accepted = [job for job in jobs if job.id]
    refused = [job for job in jobs if not job.id]
    report.say(
        "jobs accepted, their photos", len(accepted), sum(len(job.numbers) for job in accepted)
    )
    report.say(
        "… jobs refused with an explicit error", dict(Counter(job.error for job in refused)) or 0
    )
    errors, right = Counter[str](), 0
    for job in accepted:
        indices = [result["index"] for result in found[job.id]]
        report.must(
            sorted(indices) == list(range(len(job.numbers))),
            f"job {job.id} has results for {sorted(indices)}",
        )
        for result in found[job.id]:
            number = job.numbers[result["index"]]
            if "error" in result:
                errors[result["error"]["code"]] += 1
            elif number_in(result) == number and result["name"] == str(number):
                right += 1
            else:
                report.must(
                    False, f"photo {number} of job {job.id} was answered as {number_in(result)}"
                )
    report.say("… answered, with their own content", right)
    report.say("… explicit errors", dict(errors) or 0)
    report.must(len({job.id for job in accepted}) == len(accepted), "two jobs have one id")
    for job in refused:
        report.must(
            job.error not in EXPLAINED_BY_NOBODY, f"a job of {len(job.numbers)} photos: {job.error}"
        )


def expected_messages(jobs: Sequence[Handed]) -> set[tuple[str, str, int]]:
    ends = {("job.done", job.id, -1) for job in jobs if job.id}
    photos = {
        ("photo.settled", job.id, index)
        for job in jobs
        if job.id and job.each_photo
        for index in range(len(job.numbers))
    }
    return ends | photos


async def messages(
    report: Report, receiver: Receiver, jobs: Sequence[Handed], patience_s: float
) -> None:
    """All are there, each under one id, properly signed, and none that nobody asked for."""
    expected, until = expected_messages(jobs), time.monotonic() + patience_s
    while expected - receiver.ids.keys() and time.monotonic() < until:
        await asyncio.sleep(0.2)
    missing, strange = expected - receiver.ids.keys(), receiver.ids.keys() - expected
    repeated = sum(ids.total() - 1 for ids in receiver.ids.values())
    report.say("webhooks expected, missing", len(expected), len(missing))
    report.say("… attempts, taken more than once", receiver.attempts, repeated)
    report.must(not missing, f"{len(missing)} webhooks never came, such as {sorted(missing)[:3]}")
    report.must(
        not strange,
        f"{len(strange)} webhooks about what nobody asked, such as {sorted(strange)[:3]}",
    )
    report.must(not receiver.forged, f"{receiver.forged} webhooks with a wrong signature")
    for message, ids in receiver.ids.items():
        report.must(len(ids) == 1, f"{message} came under the ids {[*ids]}")


def messages_say(report: Report, receiver: Receiver, found: Results) -> None:
    """What a webhook told of a photo is what its result says."""
    known = {(job, result["index"]): result for job, results in found.items() for result in results}
    for job, index, photo in receiver.photos:
        result = known.get((job, index), {})
        same = photo.get("error") == result.get("error") and photo["detections"] == result.get(
            "detections"
        )
        report.must(same, f"photo {index} of job {job} was told otherwise by webhook")


async def bills(report: Report, fleet: Fleet, crowd: Crowd, patience_s: float) -> None:
    """The upstream's bill lies between what the ledger is sure of and that and what may be billed
    besides."""
    began = time.monotonic()
    while True:
        bill, usage = await fleet.upstream.bill(), await crowd.usage()
        certain, unknown = usage["billed_images"], usage["maybe_billed_images"]
        fits = certain - 0.01 <= bill["images"] <= certain + unknown + 0.01
        if (fits and not bill["under_way"]) or time.monotonic() > began + patience_s:
            break
        await asyncio.sleep(1)
    report.say("the upstream's bill", bill["images"])
    report.say("the ledger: certain, may be billed", f"{certain:.2f}", f"{unknown:.2f}")
    report.must(
        fits,
        f"billed were {bill['images']}, the ledger has {certain:.2f} to {certain + unknown:.2f}",
    )


async def budgets(report: Report, fleet: Fleet, crowd: Crowd, plan: Plan) -> None:
    """No tenant with a budget was billed more than it, whatever died meanwhile; no price is held
    for a call any more; and what the budget counts is what the ledger does."""
    for tenant, limit in plan.budgets.items():
        usage = await crowd.usage(tenant)
        billed, unknown = usage["billed_images"], usage["maybe_billed_images"]
        report.say(
            f"the budget of {tenant}; billed, may be billed",
            limit,
            f"{billed:.2f}",
            f"{unknown:.2f}",
        )
        report.must(billed <= limit + 1e-6, f"{tenant} was billed {billed} images of {limit}")
        spent, holds = await meters(fleet)
        drift = spent - billed
        report.say("… held for calls at the end; drift of the budget", holds, f"{abs(drift):.2f}")
        report.must(not holds, f"{holds} holds are left")
        report.must(abs(drift) < 1e-6, f"the budget counts {spent}, the ledger {billed}")


async def meters(fleet: Fleet) -> tuple[float, int]:
    """What all meters in Redis count together, and how many holds there are."""
    redis = Redis(port=fleet.redis.port)
    try:
        spent = sum([float(await redis.get(key)) async for key in redis.scan_iter("*}:meter:*")])
        holds = sum([await redis.hlen(key) async for key in redis.scan_iter("*}:held-of:*")])
        return spent, holds
    finally:
        await redis.aclose()


async def leftovers(report: Report, crowd: Crowd, patience_s: float) -> None:
    """Nothing is left where photos wait: neither one that was answered nor one whose client has
    gone."""
    until = time.monotonic() + patience_s
    while any(left := await crowd.metrics("imgrid_buffer_photos")) and time.monotonic() < until:
        await asyncio.sleep(0.5)
    dead, survived = (
        await crowd.metrics("imgrid_dead_letters"),
        await crowd.metrics("imgrid_loop_failures"),
    )
    report.say("photos left in the buffer", f"{max(left):.0f}")
    report.say(
        "dead letters; exceptions that loops survived", f"{max(dead):.0f}", f"{sum(survived):.0f}"
    )
    report.must(not any(left), f"{max(left):.0f} photos are left in the buffer")


def troubles(report: Report, fleet: Fleet, crowd: Crowd, done: Counter[str]) -> None:
    report.say("done to it", *(f"{name.replace('_', ' ')} {count}" for name, count in done.items()))
    report.say(
        "tried again by clients after",
        *(f"{name} {count}" for name, count in crowd.trouble.most_common()),
    )
    for member in fleet.members:
        report.must(
            not member.ended,
            f"{member.name} ended by itself: {member.ended}; its log: {member.log}",
        )
    report.must(
        "silent" not in crowd.trouble, f"{crowd.trouble['silent']} requests were never answered"
    )


async def run(chaos: Chaos, folder: Path) -> Report:
    """All of it. Raises RuntimeError where the fleet does not start."""
    report, rng, began = Report(), random.Random(chaos.seed), time.monotonic()
    waiting = sum(len(numbers) for turn, numbers in portions(chaos) if turn % 2 == 0)
    async with (
        fleet(chaos.plan, folder) as made,
        Receiver(chaos.fail_share).listening() as receiver,
        crowd(made, rng) as clients,
    ):
        done = await storm(made, clients, chaos, receiver.url)
        report.say("seed; seconds of load", chaos.seed, f"{time.monotonic() - began:.0f}")
        sync_photos(report, clients, waiting)
        found = await settled(clients, chaos, report)
        job_photos(report, clients.jobs, found)
        await messages(report, receiver, clients.jobs, chaos.patience_s)
        messages_say(report, receiver, found)
        await bills(report, made, clients, chaos.patience_s)
        await leftovers(report, clients, chaos.patience_s)
        await budgets(report, made, clients, chaos.plan)
        troubles(report, made, clients, done)
    report.say("seconds in all", f"{time.monotonic() - began:.0f}")
    return report


def table(report: Report) -> Table:
    made = Table(title="chaos", show_header=False)
    for name, value in report.figures:
        made.add_row(name, value)
    return made


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, help=f"at most {NUMBERS}")
    parser.add_argument("--rate", type=float, help="photos a second")
    parser.add_argument(
        "--every", type=float, dest="every_s", help="seconds between one action and the next"
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="the form that the tests run")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--keep", type=Path, help="a folder for logs and configs, which is kept")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if lacking := missing(options.shared):
        raise SystemExit(f"this needs {lacking}")
    base = SHORT if options.short else Chaos()
    given = {
        name: value
        for name in ("photos", "rate", "every_s", "seed")
        if (value := getattr(options, name))
    }
    plan = replace(base.plan, replicas=options.replicas, shared=options.shared)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(run(replace(base, plan=plan, **given), folder))
    console = Console(width=150, highlight=False)
    console.print(table(report))
    for each in report.broken[:50]:
        console.print(f"[bold red]broken:[/] {each}")
    sys.exit(1 if report.broken else 0)


if __name__ == "__main__":
    main()
