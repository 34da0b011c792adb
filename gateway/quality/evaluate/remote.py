"""Evaluates the qualities of a running gateway, compared with its own `exact`. Photos are sent in
the native dialect."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import httpx
import msgspec

from gateway.api.resources import routes
from gateway.api.resources.routes import RouteOut, RoutesOut
from gateway.config.errors import ConfigError
from gateway.core.model import Photo, Quality
from gateway.dialects.headers import QUALITY_HEADER
from gateway.dialects.native.dialect import DIALECT
from gateway.dialects.native.schemas import Answer, Failure, Found
from gateway.quality.evaluate.scores import ScoreTable, score_row
from gateway.quality.progress import Advance, Progress
from providers.detection import Box, Detection
from thresholds.samples.ground_truth import Known
from thresholds.shape import Shape
from thresholds.variants import CHEAPEST, EXACT, TARGET

TIMEOUT_S = 600.0
"""The longest that a gateway lets any client wait."""


class GatewayAddress(NamedTuple):
    """A gateway's URL, and a tenant's key where it has tenants."""

    url: str
    key: str = ""

    @property
    def client_options(self) -> dict[str, Any]:
        """The options of an httpx client for the gateway."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": httpx.Timeout(TIMEOUT_S, connect=10),
        }


class PhotoReply(NamedTuple):
    """The reply to one photo: detections and images billed, or the code of an error; and the
    time it took."""

    detections: Sequence[Detection]
    billed: float
    seconds: float
    code: str = ""


@dataclass(frozen=True, slots=True)
class QualityResult:
    """The replies at one quality, by photo."""

    quality: str
    replies: Mapping[str, PhotoReply]

    @property
    def answered(self) -> dict[str, PhotoReply]:
        return {photo: reply for photo, reply in self.replies.items() if not reply.code}

    @property
    def detections(self) -> dict[str, Sequence[Detection]]:
        return {photo: reply.detections for photo, reply in self.answered.items()}

    @property
    def images(self) -> float:
        """Images billed for each photo that was answered."""
        return sum(reply.billed for reply in self.answered.values()) / max(len(self.answered), 1)


def check(qualities: Sequence[str]) -> None:
    """Raises ConfigError for an unknown quality."""
    for quality in qualities:
        if quality not in get_args(Quality):
            raise ConfigError(f"--quality {quality}: there are {', '.join(get_args(Quality))}")


def route_of(address: GatewayAddress, name: str) -> RouteOut:
    """The route of that name. Raises ConfigError where there is no gateway, it refuses the key, or
    it has no such route for this client."""
    response = _get_routes(address)
    try:
        served = msgspec.json.decode(response.content, type=RoutesOut).routes
    except msgspec.DecodeError:
        raise ConfigError(
            f"--url {address.url}: this does not answer as a gateway does (GET {routes.PATH}: "
            f"{response.status_code})"
        ) from None
    for route in served:
        if route.name == name:
            return route
    raise ConfigError(
        f"--url {address.url}: there is no route {name!r} for this client; there are "
        f"{', '.join(route.name for route in served) or 'none'}"
    )


def _get_routes(address: GatewayAddress) -> httpx.Response:
    try:
        with httpx.Client(**address.client_options) as client:
            response = client.get(routes.PATH)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"--url {address.url}: nobody answers there ({error}); is imgrid serve running?"
        ) from None
    if response.status_code == 401:
        _, message = _error_of(response)
        raise ConfigError(
            f"--url {address.url}: {message} Give a tenant's with --key or IMGRID_KEY."
        )
    return response


def full_images(route: RouteOut, quality: str, photos: int) -> int:
    """The images billed where every photo goes through all stages, and every canvas is full."""
    if quality == EXACT:
        return photos
    stages = [stage for stage in route.stages if stage.provider != route.companion]
    if quality == CHEAPEST:
        stages = stages[:1]
    return sum(math.ceil(photos / Shape.parse(stage.shape).cells) for stage in stages)


def run(
    address: GatewayAddress,
    task: str,
    qualities: Sequence[str],
    photos: Mapping[str, Photo],
    *,
    clients: int,
    progress: Progress,
) -> list[QualityResult]:
    """The results at each quality, one after the other, with so many clients at a time."""
    results: list[QualityResult] = []
    for quality in qualities:
        with progress.stage(quality, len(photos)) as advance:
            replies = asyncio.run(
                ask(address, task, quality, photos, clients=clients, on_reply=advance)
            )
        results.append(QualityResult(quality, replies))
    return results


async def ask(
    address: GatewayAddress,
    task: str,
    quality: str,
    photos: Mapping[str, Photo],
    *,
    clients: int,
    on_reply: Advance,
) -> dict[str, PhotoReply]:
    """Sends each photo once, from so many clients that each wait for a reply before the next
    photo."""
    remaining, replies = iter(photos.items()), dict[str, PhotoReply]()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def client() -> None:
        for key, photo in remaining:
            replies[key] = await _ask(http, quality, photo.data)
            on_reply()

    options = {**address.client_options, "limits": limits, "params": {"task": task}}
    async with httpx.AsyncClient(**options) as http:
        await asyncio.gather(*(client() for _ in range(clients)))
    return replies


async def _ask(http: httpx.AsyncClient, quality: str, data: bytes) -> PhotoReply:
    began = time.perf_counter()
    headers = {QUALITY_HEADER: quality}
    try:
        response = await http.post(DIALECT.paths[0], content=data, headers=headers)
    except httpx.TransportError as error:
        code = "timeout" if isinstance(error, httpx.TimeoutException) else "no_connection"
        return PhotoReply((), 0.0, time.perf_counter() - began, code)
    return reply_of(response, time.perf_counter() - began)


def reply_of(response: httpx.Response, seconds: float) -> PhotoReply:
    """The reply in a response to one photo."""
    try:
        answer = msgspec.json.decode(response.content, type=Answer)
    except msgspec.DecodeError:
        code, _ = _error_of(response)
        return PhotoReply((), 0.0, seconds, code)
    (photo,) = answer.photos
    detections = [_detection(row) for row in photo.detections]
    return PhotoReply(detections, answer.billed, seconds)


def _detection(row: Found) -> Detection:
    box = row.box
    return Detection(row.label, row.score, Box(box.x0, box.y0, box.x1, box.y1))


def _error_of(response: httpx.Response) -> tuple[str, str]:
    """The code and the message of a refusal. Where it is not the gateway's own, such as a proxy's,
    the code is made from the status."""
    try:
        error = msgspec.json.decode(response.content, type=Failure).error
    except msgspec.DecodeError:
        return f"status_{response.status_code}", f"It answered {response.status_code}."
    return error.code, error.message


def score_table(
    results: Sequence[QualityResult], known: Mapping[str, Known], route: RouteOut, photos: int
) -> ScoreTable:
    """The qualities, compared with the first."""
    base = results[0].detections
    rows = [
        score_row(
            _row_name(result, route), result.images, [result.detections], base=base, known=known
        )
        for result in results
    ]
    return ScoreTable(rows, f"{photos} photos")


def _row_name(result: QualityResult, route: RouteOut) -> str:
    if result.quality != TARGET:
        return result.quality
    shapes = ", ".join(stage.shape for stage in route.stages if stage.provider != route.companion)
    return f"{TARGET}: {shapes}"
