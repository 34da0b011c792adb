"""`imgrid evaluate --url`: photos through a gateway that runs, in its native dialect, next to its
own `exact`."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, get_args

import httpx
import msgspec
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.api.resources import routes
from gateway.api.resources.routes import RouteOut, RoutesOut
from gateway.config.errors import ConfigError
from gateway.core.model import Photo, Quality
from gateway.dialects.headers import QUALITY_HEADER
from gateway.dialects.native.dialect import DIALECT
from gateway.dialects.native.schemas import Answer, Failure, Found
from gateway.quality.collect.purchase import confirm
from gateway.quality.evaluate import score_table
from providers.detection import Box, Detection
from thresholds.samples.ground_truth import Known
from thresholds.shape import Shape
from thresholds.variants import CHEAPEST, EXACT, TARGET

TIMEOUT_S = 600.0
"""The most that a gateway lets any client wait."""


class GatewayAddress(NamedTuple):
    """A gateway: its address, and a key of a tenant's where it has tenants."""

    url: str
    key: str = ""

    @property
    def client(self) -> dict[str, Any]:
        """What an httpx client needs for it."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": httpx.Timeout(TIMEOUT_S, connect=10),
        }


class PhotoReply(NamedTuple):
    """What came of one photo: what was found and billed, or instead the code of what went wrong;
    and the time it took."""

    found: Sequence[Detection]
    billed: float
    seconds: float
    code: str = ""


@dataclass(frozen=True, slots=True)
class QualityResult:
    """What came of one quality, by photo."""

    quality: str
    replies: Mapping[str, PhotoReply]

    @property
    def answered(self) -> dict[str, PhotoReply]:
        return {photo: reply for photo, reply in self.replies.items() if not reply.code}

    @property
    def images(self) -> float:
        """Billed for each photo that was answered."""
        return sum(reply.billed for reply in self.answered.values()) / max(len(self.answered), 1)


def check(qualities: Sequence[str]) -> None:
    """Raises ConfigError for one that there is none of."""
    for quality in qualities:
        if quality not in get_args(Quality):
            raise ConfigError(f"--quality {quality}: there are {', '.join(get_args(Quality))}")


def route_of(place: GatewayAddress, name: str) -> RouteOut:
    """Raises ConfigError where nobody answers, the key is not taken, or there is no such route for
    it."""
    try:
        with httpx.Client(**place.client) as client:
            response = client.get(routes.PATH)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"--url {place.url}: nobody answers there ({error}); is imgrid serve running?"
        ) from None
    if response.status_code == 401:
        raise ConfigError(
            f"--url {place.url}: {_problem(response)[1]} Give a tenant's with --key or IMGRID_KEY."
        )
    try:
        told = msgspec.json.decode(response.content, type=RoutesOut).routes
    except msgspec.DecodeError:
        raise ConfigError(
            f"--url {place.url}: this does not answer as a gateway does (GET {routes.PATH}: "
            f"{response.status_code})"
        ) from None
    for route in told:
        if route.name == name:
            return route
    raise ConfigError(
        f"--url {place.url}: there is no route {name!r} for this client; there are "
        f"{', '.join(route.name for route in told) or 'none'}"
    )


def full_images(route: RouteOut, quality: str, photos: int) -> int:
    """What a quality asks where every photo goes through all stages, and every canvas is full."""
    if quality == EXACT:
        return photos
    paid = [stage for stage in route.stages if stage.provider != route.companion]
    return sum(
        math.ceil(photos / Shape.parse(stage.shape).cells)
        for stage in (paid[:1] if quality == CHEAPEST else paid)
    )


def quote(
    place: GatewayAddress,
    route: RouteOut,
    qualities: Sequence[str],
    photos: int,
    *,
    console: Console,
    confirmed: bool,
) -> None:
    """Names the price, in images, and asks. Raises typer.Exit where it is not agreed to."""
    images = sum(full_images(route, quality, photos) for quality in qualities)
    what = f"{photos} photos by {' and '.join(qualities)} through {place.url}: about [bold]{images} images[/]"
    console.print(
        f"{what}, in full canvases and where no photo ends before its last stage; what an image costs is "
        "known there alone"
    )
    confirm(confirmed=confirmed)


def run(
    place: GatewayAddress,
    task: str,
    qualities: Sequence[str],
    photos: Mapping[str, Photo],
    *,
    clients: int,
    console: Console,
) -> list[QualityResult]:
    """Asks at every quality in turn, with progress."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    done: list[QualityResult] = []
    with Progress(*columns, console=console) as progress:
        for quality in qualities:
            bar = progress.add_task(quality, total=len(photos))
            asking = ask(
                place,
                task,
                quality,
                photos,
                clients=clients,
                on_reply=partial(progress.advance, bar),
            )
            done.append(QualityResult(quality, asyncio.run(asking)))
    return done


async def ask(
    place: GatewayAddress,
    task: str,
    quality: str,
    photos: Mapping[str, Photo],
    *,
    clients: int,
    on_reply: Callable[[], None],
) -> dict[str, PhotoReply]:
    """Every photo's reply, of so many clients that each ask about one photo after another."""
    left, replies = iter(photos.items()), dict[str, PhotoReply]()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def client() -> None:
        for key, photo in left:
            replies[key] = await _ask(http, quality, photo.data)
            on_reply()

    async with httpx.AsyncClient(**place.client, limits=limits, params={"task": task}) as http:
        await asyncio.gather(*(client() for _ in range(clients)))
    return replies


async def _ask(http: httpx.AsyncClient, quality: str, data: bytes) -> PhotoReply:
    began = time.perf_counter()
    try:
        response = await http.post(
            DIALECT.paths[0], content=data, headers={QUALITY_HEADER: quality}
        )
    except httpx.TransportError as error:
        code = "timeout" if isinstance(error, httpx.TimeoutException) else "no_connection"
        return PhotoReply((), 0.0, time.perf_counter() - began, code)
    return reply(response, time.perf_counter() - began)


def reply(response: httpx.Response, seconds: float) -> PhotoReply:
    """What an answer to one photo says."""
    try:
        answer = msgspec.json.decode(response.content, type=Answer)
    except msgspec.DecodeError:
        return PhotoReply((), 0.0, seconds, _problem(response)[0])
    (photo,) = answer.photos
    return PhotoReply([_detection(each) for each in photo.detections], answer.billed, seconds)


def _detection(found: Found) -> Detection:
    box = found.box
    return Detection(found.label, found.score, Box(box.x0, box.y0, box.x1, box.y1))


def _problem(response: httpx.Response) -> tuple[str, str]:
    """The code and the message of a refusal; of one that is not the gateway's own, such as a
    proxy's, the status."""
    try:
        error = msgspec.json.decode(response.content, type=Failure).error
    except msgspec.DecodeError:
        return f"status_{response.status_code}", f"It answered {response.status_code}."
    return error.code, error.message


def table(
    visits: Sequence[QualityResult], known: Mapping[str, Known], route: RouteOut, photos: int
) -> Table:
    """The qualities, next to the first."""
    found = [{photo: reply.found for photo, reply in visit.answered.items()} for visit in visits]
    rows = [
        score_table.row(_named(visit, route), visit.images, [each], base=found[0], known=known)
        for visit, each in zip(visits, found, strict=True)
    ]
    return score_table.table(rows, f"{photos} photos")


def _named(visit: QualityResult, route: RouteOut) -> str:
    if visit.quality == EXACT:
        return EXACT
    shapes = ", ".join(stage.shape for stage in route.stages if stage.provider != route.companion)
    return f"{visit.quality}: {shapes}" if visit.quality == TARGET else visit.quality


def delays(visits: Sequence[QualityResult]) -> Table:
    """How long clients waited for an answer, and what they had instead of one."""
    made = Table(box=SIMPLE_HEAD)
    made.add_column("quality")
    for column in ("answered", "p50 ms", "p99 ms"):
        made.add_column(column, justify="right", no_wrap=True)
    made.add_column("without an answer", overflow="fold")
    for visit in visits:
        waited = [1000 * reply.seconds for reply in visit.answered.values()]
        p50, p99 = (
            (f"{each:.0f}" for each in np.percentile(waited, [50, 99])) if waited else ("", "")
        )
        codes = Counter(reply.code for reply in visit.replies.values() if reply.code)
        failed = ", ".join(f"{count} {code}" for code, count in codes.most_common())
        made.add_row(visit.quality, str(len(waited)), p50, p99, failed)
    return made
