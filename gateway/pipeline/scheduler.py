"""The one loop: photos are put, claimed when their lane is due, and handed to a step.

This is the border at which every exception becomes a photo's outcome: nothing that happens to one
canvas ends the loop.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from functools import partial

from gateway.core.clock import Clock
from gateway.core.errors import BufferAway, Busy, GatewayError, Stopping
from gateway.core.events import BreakerChanged, Event, Events, LoopFailed
from gateway.core.model import Outcome, Photo, Route, Tenant, Way
from gateway.core.outage_log import OutageLog
from gateway.core.slots import Slots
from gateway.ledger.accounts import Charges
from gateway.ledger.budgets import Meters
from gateway.pipeline.background import BackgroundTasks
from gateway.pipeline.budget_gate import BudgetGate
from gateway.pipeline.cache_step import CacheStep
from gateway.pipeline.cascade_step import CascadeStep
from gateway.pipeline.claimer import Claim, Claimer, FetchClaim, LookupClaim
from gateway.pipeline.entry_factory import EntryFactory
from gateway.pipeline.fetch_step import FetchStep
from gateway.pipeline.group_testing import GroupTester
from gateway.pipeline.overload import OverloadControl
from gateway.pipeline.settler import BUFFER_PAUSE_S, retry_until_stored
from gateway.pipeline.wait_forecast import WaitForecast
from gateway.pipeline.waiters import Waiters
from gateway.store.buffer import Buffer
from gateway.store.inspection import Inspection
from gateway.store.ledger import Ledger
from providers.detection import BOXED
from thresholds.shape import ALONE
from thresholds.variants import TARGET

LOOP = "the loop"
PAUSE_AFTER_FAILURE_S = 0.2
DRAIN_CHECK_S = 0.1


class Scheduler:
    """Answers photos. Holds the canvases in flight, and whether it is stopping.

    It is woken by the buffer whose listener it is, by breakers, and by canvases that end.
    """

    def __init__(
        self,
        buffer: Buffer,
        inspection: Inspection,
        ledger: Ledger,
        *,
        entries: EntryFactory,
        waiters: Waiters,
        claimer: Claimer,
        forecast: WaitForecast,
        overload: OverloadControl,
        budget_gate: BudgetGate,
        cascade_step: CascadeStep,
        group_tester: GroupTester,
        fetch_step: FetchStep,
        cache_step: CacheStep,
        background: BackgroundTasks,
        events: Events,
        clock: Clock,
    ) -> None:
        self.entries = entries
        self._buffer = buffer
        self._inspection = inspection
        self._ledger = ledger
        self._waiters = waiters
        self._claimer = claimer
        self._forecast = forecast
        self._overload = overload
        self.budget_gate = budget_gate
        self._cascade_step = cascade_step
        self._group_tester = group_tester
        self._fetch_step = fetch_step
        self._cache_step = cache_step
        self._background = background
        self._events = events
        self._outages = OutageLog(clock)
        self._clock = clock
        self._canvases = BackgroundTasks()
        self._wake = asyncio.Event()
        self._stopping = False

    async def answer(
        self,
        photos: Sequence[Photo],
        route: Route,
        tenant: Tenant,
        *,
        deadline_s: float | None = None,
        variant: str = TARGET,
    ) -> list[Outcome]:
        """The outcome of each photo, in order, within the deadline (by default the route's).

        Raises Busy where the buffer is full or a photo would wait longer than its deadline,
        DeadlineExceeded where the provider is too slow for the deadline, and BufferAway where the
        buffer cannot be reached: then no photo was taken. When this is cancelled, the photos leave
        the buffer.
        """
        requests = [(photo, Way(route, variant)) for photo in photos]
        return await self.answer_all(requests, tenant, deadline_s=deadline_s)

    async def answer_all(
        self,
        requests: Sequence[tuple[Photo, Way]],
        tenant: Tenant,
        *,
        deadline_s: float | None = None,
    ) -> list[Outcome]:
        """The same for photos that go different ways, each under an id of its own. All are taken,
        or none. Raises BudgetExhausted too, where the tenant's budget had no room a moment ago."""
        self._check_running()
        self.budget_gate.check(tenant)
        entries = [
            self.entries.client_entry(photo, way, tenant, deadline_s=deadline_s)
            for photo, way in requests
        ]
        # what the cache does not answer is admitted when it was looked up
        asked = [entry for entry in entries if not entry.lane.is_lookup]
        asked = self._overload.admit(asked)
        taken = {entry.photo.id: entry for entry in asked}
        try:
            return await self._waiters.answer(
                [taken.get(entry.photo.id, entry) for entry in entries]
            )
        except (Busy, BufferAway):
            self._forecast.retract(asked)
            raise

    async def watch(self, photo: Photo, way: Way, tenant: Tenant) -> Outcome:
        """The outcome of a photo that the gateway asks about for itself. Clients' photos go first,
        and nothing but its bill counts for the tenant. Raises the errors of `answer`."""
        self._check_running()
        (outcome,) = await self._waiters.answer([self.entries.watched_entry(photo, way, tenant)])
        return outcome

    def charge(self, charges: Charges, hold_id: str, *, at: float) -> None:
        """Adds to the ledger what was billed for another call than a canvas, whose price was held
        at that time, and releases the hold."""
        self._background.start(self._charge(charges, hold_id, self.budget_gate.meters(charges, at)))

    async def _charge(self, charges: Charges, hold_id: str, meters: Meters) -> None:
        if charges:
            charge_id = uuid.uuid4().hex
            charge = partial(self._ledger.charge, charges, charge_id=charge_id, meters=meters)
            await retry_until_stored(charge)
        await retry_until_stored(partial(self.budget_gate.release, hold_id))

    async def run(self) -> None:
        """Runs the loop until it is cancelled."""
        async with self._buffer.serving(self):
            while True:
                try:
                    wake_at = await self._start_due()
                    self._outages.worked(LOOP)
                    await self._sleep(wake_at)
                except BufferAway:
                    await asyncio.sleep(BUFFER_PAUSE_S)  # the clients are told by `lost`
                except Exception as error:
                    fault = type(error).__name__
                    self._outages.failed(LOOP, fault, f"failed and goes on: {fault}", error=error)
                    self._events.tell(LoopFailed(repr(error)))
                    await asyncio.sleep(PAUSE_AFTER_FAILURE_S)

    async def drain(self, grace_s: float = 60.0) -> None:
        """Takes no more photos, and returns when all that were taken are settled and no canvas is
        in flight; at once where no client waits and the buffer is away; at the latest after
        `grace_s`."""
        self._stopping = True
        until = self._clock() + grace_s
        while self._clock() < until:
            if not self._waiters.pending and self._inspection.problem:
                break
            in_flight = [
                *self._waiters.pending,
                *self._canvases.running,
                *self._background.running,
            ]
            if not in_flight:
                return
            await asyncio.wait(in_flight, timeout=DRAIN_CHECK_S)
        self._canvases.cancel()
        self._background.cancel()

    def __call__(self, event: Event) -> None:
        if isinstance(event, BreakerChanged):
            self._wake.set()

    # -- the buffer's listener

    def outcome(self, photo_id: str, outcome: Outcome) -> None:
        self._waiters.deliver(photo_id, outcome)

    def changed(self) -> None:
        self._wake.set()

    def lost(self, error: GatewayError) -> None:
        self._waiters.fail_all(error)

    # -- the loop

    async def _start_due(self) -> float | None:
        """Starts all canvases that are due. Returns when the next one is, None where something must
        change first."""
        while True:
            self._wake.clear()
            if self._stopping and not self._waiters.pending:
                return None  # the photos that are left are for other replicas, or for later
            waiting = await self._inspection.backlogs()
            self._forecast.update(waiting)
            due = await self._claimer.due(waiting)
            if not due.claims:
                return due.wake_at
            for lane in due.claims:
                claim = await self._claimer.claim(lane, waiting)
                if claim is not None:
                    self._start(claim)

    def _start(self, claim: Claim) -> None:
        """Starts a step with the claimed photos, and takes a slot while it lasts."""
        slots: Slots | None = None
        if isinstance(claim, FetchClaim):
            slots = self._fetch_step.slots
            work = self._fetch_step.run(claim.lane, claim.entries)
        elif isinstance(claim, LookupClaim):
            work = self._cache_step.run(claim.lane, claim.entries)
        else:
            client = self._claimer.upstream.clients.get(claim.lane.provider)
            if claim.lane.is_large:
                slots = self._claimer.large_canvases[claim.lane.provider]
            elif client is not None:
                slots = client.slots
            is_group = claim.lane.task not in BOXED and claim.lane.shape != ALONE
            step = self._group_tester if is_group else self._cascade_step
            work = step.run(claim.lane, claim.entries)
        if slots is not None:
            slots.take_slot()

        def on_end(_: asyncio.Task[None]) -> None:
            if slots is not None:
                slots.release_slot()
            self._wake.set()

        self._canvases.start(work).add_done_callback(on_end)

    async def _sleep(self, wake_at: float | None) -> None:
        """Sleeps until `wake_at`, or until something changes."""
        timeout_s = None if wake_at is None else max(wake_at - self._clock(), 0.0)
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _check_running(self) -> None:
        if self._stopping:
            raise Stopping("The gateway is going down; ask another one.")
