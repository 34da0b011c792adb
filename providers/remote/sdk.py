"""Providers behind a vendor's SDK: forwarded calls, the options of extras, and pixels as
fractions."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from providers.base import ForwardCall, ForwardReply, feature_name
from providers.errors import NoAnswer, PictureRefused
from providers.options import Options
from providers.prices import Price
from providers.remote.threaded import ThreadedProvider

Size = tuple[int, int]
"""Width and height of a picture in pixels."""

MAX_FORWARD_BYTES = 32 * 1024 * 1024
"""The largest body of a forwarded call's response."""
FORWARDED_HEADERS = (
    "content-type",
    "retry-after",
    "x-amz-retry-after",
    "x-amzn-requestid",
    "x-amzn-errortype",
    "apim-request-id",
)
"""The response headers that clients use. Others are about the connection, or about the gateway's
own account."""


class CloudProvider(ThreadedProvider):
    """A provider that can forward clients' calls, because the same vendor is at both ends."""

    @abstractmethod
    def send(self, call: ForwardCall) -> ForwardReply:
        """The vendor's response to a client's call, sent once in one of the threads. Raises what
        `Forwarder.forward` raises."""

    async def forward(self, call: ForwardCall) -> ForwardReply:
        """The vendor's response to the call. A failure leaves the provider ready: the fault may be
        the client's."""
        self._check_open()
        return await self._threads.run(partial(self.send, call))


class ExtraItem(NamedTuple):
    """One item of `extras` for EXTRAS: the vendor's name of the feature, and the vendor's own
    options."""

    name: str
    options: Mapping[str, str]


def extra_prices(options: Options, list_prices: Mapping[str, Price]) -> Mapping[str, Price]:
    """The price of each extra: the operator's own price if the options set one, else its list
    price."""
    if options.usd_per_image is None:
        return list_prices
    return dict.fromkeys(list_prices, options.usd_per_image)


def extra_items(extras: Sequence[str], option_names: Iterable[str]) -> list[ExtraItem]:
    """The items in their order, each feature once; `"CROP_HINTS?max_results=3"` has one option.

    Raises PictureRefused if an item has an option of another name.
    """
    items: dict[str, ExtraItem] = {}
    for text in extras:
        item = ExtraItem(feature_name(text), dict(parse_qsl(text.partition("?")[2])))
        if unknown := sorted(item.options.keys() - set(option_names)):
            raise PictureRefused(
                f"{item.name} has no option {', '.join(unknown)}, "
                f"but {', '.join(sorted(option_names))}"
            )
        items.setdefault(item.name, item)
    return list(items.values())


def int_option(item: ExtraItem, option: str) -> int | None:
    """The value of an option; None if it is not given. Raises PictureRefused if it is no whole
    number."""
    if (text := item.options.get(option)) is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise PictureRefused(f"{option} of {item.name} is a whole number, not {text!r}")
    return int(text)


def read_body(
    chunks: Iterable[bytes], deadline_s: float, clock: Callable[[], float] = time.monotonic
) -> bytes:
    """The body of a streamed response. Raises NoAnswer if it is larger than `MAX_FORWARD_BYTES` or
    not complete at the deadline, a reading of the clock."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_FORWARD_BYTES:
            raise NoAnswer(f"the answer is larger than {MAX_FORWARD_BYTES} bytes")
        if clock() > deadline_s:
            raise NoAnswer("the answer did not come to its end in time (timeout_ms)")
    return bytes(body)


def forward_reply(status: int, headers: Mapping[str, str], body: bytes) -> ForwardReply:
    """A vendor's response with the headers of `FORWARDED_HEADERS` only."""
    lower = {name.lower(): value for name, value in headers.items()}
    return ForwardReply(
        status, {name: lower[name] for name in FORWARDED_HEADERS if name in lower}, body
    )


def enlarge_pool(session: Any, connections: int) -> None:
    """Lets a `requests` session keep this many connections instead of ten."""
    from requests.adapters import HTTPAdapter

    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))


def point_fractions(points: Iterable[Any], size: Size) -> tuple[tuple[float, float], ...]:
    """Points with `x` and `y` in pixels, as fractions of a picture of that size."""
    return tuple((point.x / size[0], point.y / size[1]) for point in points)
