"""Clients of a fleet: some wait for their answers, some hand in jobs and are told by webhook. They
keep the books."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from drawings import number_in, picture
from fleet import SECRET, TENANTS, Fleet
from standardwebhooks import Webhook, WebhookVerificationError

TRIES = 60
SILENT_S = 60.0
"""An answer that has not come by then will not: longer than a deadline and every pause together."""


@dataclass(frozen=True)
class Told:
    """What became of one photo: the number that its answer names, or the error."""

    number: int
    answer: int | None = None
    error: str = ""

    @property
    def right(self) -> bool:
        return not self.error and self.answer == self.number


@dataclass
class Handed:
    """A job that was accepted, or refused with an error."""

    tenant: str
    numbers: Sequence[int]
    each_photo: bool
    id: str = ""
    error: str = ""


@dataclass
class Receiver:
    """Takes webhooks on loopback: verifies them, and keeps the ids under which each thing was told.

    Of some messages it fails the first attempt.
    """

    fail_share: float = 0.0
    url: str = ""
    attempts: int = 0
    forged: int = 0
    ids: dict[tuple[str, str, int], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    photos: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)
    _failed: set[str] = field(default_factory=set)
    _rng: random.Random = field(default_factory=lambda: random.Random(7))

    async def take(self, request: web.Request) -> web.Response:
        self.attempts += 1
        try:
            told = Webhook(SECRET).verify(await request.read(), dict(request.headers))
        except WebhookVerificationError:
            self.forged += 1
            return web.Response(status=401)
        message_id = request.headers["webhook-id"]
        if message_id not in self._failed and self._rng.random() < self.fail_share:
            self._failed.add(message_id)
            return web.Response(status=503)
        job, photo = told["data"], told["data"].get("photo")
        self.ids[told["type"], job["id"], photo["index"] if photo else -1][message_id] += 1
        if photo:
            self.photos.append((job["id"], photo["index"], photo))
        return web.Response(status=204)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        app = web.Application()
        app.router.add_post("/hook", self.take)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        try:
            yield self
        finally:
            await runner.cleanup()


SPENT = "budget_exhausted"
"""The error that no retry changes before the month ends."""


@dataclass
class Crowd:
    """Asks whichever replica answers. Holds what became of every photo, and how often it was tried
    again."""

    fleet: Fleet
    session: aiohttp.ClientSession
    rng: random.Random
    told: list[Told] = field(default_factory=list)
    jobs: list[Handed] = field(default_factory=list)
    trouble: Counter[str] = field(default_factory=Counter)

    async def ask(
        self, method: str, path: str, tenant: str, **request: Any
    ) -> tuple[int, dict[str, Any]]:
        """Status and body from any replica, once there is an answer that trying again does not
        change."""
        headers = {"Authorization": f"Bearer {TENANTS[tenant]}", **request.pop("headers", {})}
        status, body = 0, {}
        for attempt in range(TRIES):
            replica = self.rng.choice(self.fleet.replicas)
            try:
                async with self.session.request(
                    method, replica.url + path, headers=headers, **request
                ) as answer:
                    status, body = answer.status, await answer.json()
                is_final = status < 500 and status != 429
                if is_final or _code(body) == SPENT:
                    return status, body
                self.trouble[str(body["error"]["code"])] += 1
            except TimeoutError:
                status, body = (
                    0,
                    _problem("silent", f"{replica.name} said nothing for {SILENT_S:g} s"),
                )
                self.trouble["silent"] += 1
            except (aiohttp.ClientError, OSError) as error:
                status, body = 0, _problem("no_connection", str(error))
                self.trouble[type(error).__name__] += 1
            await asyncio.sleep(min(0.1 * 1.5**attempt, 1.5) * self.rng.uniform(0.5, 1.5))
        return status, body

    async def wait_for(self, number: int) -> None:
        """One photo, whose client waits for the answer."""
        tenant = self._tenant()
        status, body = await self.ask(
            "POST",
            "/v1/detect",
            tenant,
            data=picture(number),
            headers={"Content-Type": "image/png"},
        )
        if status == 200:
            self.told.append(Told(number, number_in(body["photos"][0])))
        else:
            self.told.append(Told(number, error=_code(body)))

    async def hand_in(
        self, numbers: Sequence[int], hook: str, *, each_photo: bool, key: str = ""
    ) -> None:
        """A job of these photos; under an idempotency key a repeated request makes no second
        one."""
        tenant = self._tenant()
        photos = [
            {"content": base64.b64encode(picture(number)).decode(), "name": str(number)}
            for number in numbers
        ]
        asked = {"photos": photos, "webhook": {"url": hook, "each_photo": each_photo}}
        headers = {"Idempotency-Key": key} if key else {}
        status, body = await self.ask("POST", "/v1/jobs", tenant, json=asked, headers=headers)
        handed = Handed(tenant, tuple(numbers), each_photo)
        if 200 <= status < 300:
            handed.id = body["id"]
        else:
            handed.error = _code(body)
        self.jobs.append(handed)

    async def results(self, job: Handed) -> tuple[str, list[dict[str, Any]]]:
        """A job's state and all its results."""
        after, found, state = 0, [], ""
        while True:
            status, body = await self.ask("GET", f"/v1/jobs/{job.id}?after={after}", job.tenant)
            if status != 200:
                return f"{status} {_code(body)}", found
            state = body["state"]
            if not body["results"]:
                return state, found
            found += body["results"]
            after = body["next"]

    async def usage(self, *tenants: str) -> dict[str, float]:
        """The ledger, of these tenants together or of all."""
        sums: Counter[str] = Counter()
        for tenant in tenants or TENANTS:
            _, body = await self.ask("GET", "/v1/usage", tenant)
            sums.update(
                {name: value for name, value in body.items() if isinstance(value, int | float)}
            )
        return dict(sums)

    async def metrics(self, name: str) -> list[float]:
        """A plain metric's value, at each replica."""
        found = []
        for replica in self.fleet.replicas:
            async with self.session.get(f"{replica.url}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            found += [
                float(line.split()[1])
                for line in lines
                if line.split()[0] in (name, f"{name}_total")
            ]
        return found

    def _tenant(self) -> str:
        return self.rng.choice(list(TENANTS))


@asynccontextmanager
async def crowd(fleet: Fleet, rng: random.Random) -> AsyncIterator[Crowd]:
    timeout = aiohttp.ClientTimeout(total=SILENT_S, sock_connect=5)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        yield Crowd(fleet, session, rng)


def _problem(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _code(body: dict[str, Any]) -> str:
    return str(body.get("error", {}).get("code", "?"))
