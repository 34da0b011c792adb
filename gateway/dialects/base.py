"""What a dialect does: read a request, write its answer or its error."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, get_args
from urllib.parse import parse_qs

import msgspec

from gateway.errors import BadRequest, GatewayError, NoKey, Unauthenticated
from gateway.keys import ANYBODY, Keyring
from gateway.model import Outcome, Photo, Quality, Tenant
from providers.base import Limits, Task

QUALITY_HEADER = "x-imgrid-quality"
DEADLINE_HEADER = "x-imgrid-deadline-ms"
MAX_ID_CHARS = 255
"""Of what marks the tries of a call; what is longer, no SDK sends."""
ASKING = ("content-type", QUALITY_HEADER, DEADLINE_HEADER)
"""Headers that say what is asked of a body, in dialects that read them."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came; header names are in lower case, `path` and `query` as on the wire.

    `body` is None before it is read, when only who asks is of interest.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)


def quality_of(incoming: Incoming, otherwise: Quality = "target") -> Quality:
    """What the header that every dialect knows asks for. Raises BadRequest for what it cannot."""
    given = incoming.headers.get(QUALITY_HEADER)
    if given is None:
        return otherwise
    if given not in get_args(Quality):
        raise BadRequest(f"{QUALITY_HEADER} must be {', '.join(get_args(Quality)[:-1])} or {get_args(Quality)[-1]}.")
    return cast(Quality, given)


def holder_of(
    incoming: Incoming, keyring: Keyring, dialect: str, header: str, *, parameters: Sequence[str] = ()
) -> Tenant:
    """Whose key of that dialect stands in `header`, in one of the query's `parameters`, or else after
    `Authorization: Bearer`. Raises Unauthenticated, which is NoKey where none does."""
    if keyring.open:
        return ANYBODY
    key = _key(incoming, header, parameters)
    if not key:
        raise NoKey(f"Send your key as 'Authorization: Bearer KEY' or '{header}: KEY'.")
    tenant = keyring.holder(dialect, key)
    if tenant is None:
        raise Unauthenticated("This key is not known here, or not any more.")
    return tenant


def _key(incoming: Incoming, header: str, parameters: Sequence[str]) -> str:
    scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
    query = parse_qs(incoming.query) if parameters else {}
    asked = next((query[name][-1] for name in parameters if name in query), "")
    return incoming.headers.get(header.lower()) or asked or (token.strip() if scheme.lower() == "bearer" else "")


def marks(incoming: Incoming, *ids: str, asking: Sequence[str] = ASKING) -> tuple[str, ...]:
    """The ids that there are, each together with what is asked by the request and its headers `asking`: the same id
    for something else is another call's."""
    known = [each for each in ids if 0 < len(each) <= MAX_ID_CHARS]
    if not known:
        return ()
    said = [incoming.headers.get(name) for name in asking]
    body = hashlib.sha256(incoming.body or b"").digest()
    asked = msgspec.msgpack.encode((incoming.method, incoming.path, incoming.query, said, body))
    return tuple(hashlib.sha256(each.encode() + b"\0" + asked).hexdigest() for each in known)


def retry_after(error: GatewayError) -> dict[str, str]:
    """The header that says when to come back, in whole seconds, where coming back can help."""
    return {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}


@dataclass(frozen=True, slots=True)
class Source:
    """A photo that is named by where it lies: an `http` or `https` URL, `s3://bucket/key`, `gs://bucket/object`."""

    url: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that is asked of a photo.

    `wanted` names, of EXTRAS, what the vendor is to say, and of LABELS the only ones that the client asks about; of
    those and of MODERATION the client is told nothing that scores less than `least_score`; None leaves it to the route.
    `alone`: the photo shares no canvas for it, whatever the route does otherwise.
    """

    task: Task
    wanted: tuple[str, ...] = ()
    least_score: float | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A photo, or where it lies, and what is asked of it: each task once.

    In a photo's place may stand why it is not asked about: it is refused so, and the others are answered.
    """

    photo: bytes | Source | GatewayError = field(repr=False)
    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks of which photos; `options` are the dialect's own, for its `render`."""

    items: tuple[Item, ...]
    options: Any = None
    deadline_s: float | None = None
    quality: Quality = "target"
    limits: Limits | None = None
    """What the API takes of a photo that is asked so, where that is not what it takes otherwise."""
    hops: int = 0
    """How many gateways it came through before this one."""


def about_all(task: Task, photos: Sequence[bytes | Source | GatewayError], **more: Any) -> Question:
    """The same one thing asked of every photo; `more` are the question's other fields."""
    return Question(tuple(Item(photo, (Ask(task),)) for photo in photos), **more)


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one photo: an outcome for each task that it was asked for, or one error for all.

    `photo` is the photo as it was admitted, None where it was not.
    """

    photo: Photo | None
    outcomes: Mapping[Task, Outcome] = field(default_factory=dict)
    refusal: GatewayError | None = None

    @property
    def error(self) -> GatewayError | None:
        """What went wrong first, None where nothing did."""
        failed = (outcome.error for outcome in self.outcomes.values() if outcome.error is not None)
        return self.refusal or next(failed, None)

    @property
    def share(self) -> float:
        """Its part of the bill, in images."""
        return sum(outcome.share for outcome in self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Forward:
    """A call that is no question about photos here: it is handed on whole to the vendor, if the operator allows
    `operation` to be, and answered as the vendor answers it.

    `images` are billed for it, as far as can be told. `target` is what the vendor calls it (`providers.base.Call`),
    where that is not the operation's name.
    """

    operation: str
    images: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Dialect(Protocol):
    """One wire format. Reading and writing are pure."""

    name: str
    paths: tuple[str, ...]
    """Where it is served, as the router writes paths, with `{name:path}` for what may be anything; the first is the one
    to tell. Methods are POST, or what stands before a path: `GET /v1/operations/{name:path}`."""
    limits: Limits
    """What the API takes of one photo."""
    openapi: Mapping[str, Any]
    """Its operation in OpenAPI's form."""

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        """Who asks; without a body, who claims to, as far as headers can tell. Raises Unauthenticated."""
        ...

    def parse(self, incoming: Incoming) -> Question | Forward:
        """What is asked, by a request whose body was read.

        Raises BadRequest, NotServed or a PhotoError; nothing else, whatever the bytes.
        """
        ...

    def render(self, question: Question, answers: Sequence[Answered]) -> Reply:
        """The answer to a question; a dialect of one photo a call raises that photo's error."""
        ...

    def render_error(self, error: GatewayError) -> Reply:
        """The dialect's own form of an error."""
        ...

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        """What marks a request whose body was read as a try of one call, as `marks` makes it: requests that have one of
        these in common are tries of one call. None where the client marks none. Raises BadRequest."""
        ...
