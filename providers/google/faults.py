"""The errors of Google's SDK, of gRPC and of HTTP, translated into `ProviderError`s.

https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from providers.detection import Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.remote.status import retry_after_s

PICTURE_MESSAGE = re.compile(r"image|payload size", re.IGNORECASE)
"""The messages of a 400 that are about the picture."""
REST_PREFIX = re.compile(r"^POST \S+: ")
"""The SDK's prefix of a message that came by REST. It must go, because the URL in it ends in
`images:annotate`."""
CONNECTION_LOST = re.compile(
    r"socket closed|reset by peer|stream removed|rst_stream|broken pipe|cancelling", re.IGNORECASE
)
"""The messages of gRPC's UNAVAILABLE for a call that had been sent."""

NO_ANSWER_STATUSES = {499, 504}
TEMPORARY_STATUSES = {408, 409}
NOT_IMPLEMENTED = 501

ERRORS_BY_RPC_CODE: dict[int, type[ProviderError]] = {
    3: PictureRefused,  # INVALID_ARGUMENT
    4: NoAnswer,  # DEADLINE_EXCEEDED
    7: Misconfigured,  # PERMISSION_DENIED
    8: Throttled,  # RESOURCE_EXHAUSTED
    12: Misconfigured,  # UNIMPLEMENTED
    16: Misconfigured,  # UNAUTHENTICATED
}
"""By `google.rpc.Code`; all others are Unavailable."""


@contextmanager
def translate_errors(task: Task | None = None) -> Iterator[None]:
    """Translates the SDK's errors, and those of reading its response, into a `ProviderError`."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.protobuf.json_format import ParseError
    from requests import RequestException

    try:
        yield
    except GoogleAPICallError as error:
        raise _call_error(error, client_options=task == Task.EXTRAS) from error
    except GoogleAuthError as error:  # no token, or a 401, whose text the SDK drops
        temporary = error.retryable or isinstance(error, TransportError)
        raise (Unavailable if temporary else Misconfigured)(
            f"no valid credentials: {error}"
        ) from error
    except RequestException as error:
        raise _connection_error(error) from error
    except (ParseError, AttributeError, TypeError, ValueError) as error:
        raise NoAnswer(f"an answer that is not Google's, and may be billed: {error!r}") from error


def image_error(code: int, message: str) -> ProviderError:
    """The error of one image in a response that is a success as a whole, by its
    `google.rpc.Code`."""
    kind = ERRORS_BY_RPC_CODE.get(code, Unavailable)
    return kind(message or f"google.rpc.Code {code}")


def _call_error(error: Any, *, client_options: bool) -> ProviderError:
    """The error by HTTP status, which gRPC's errors have too. With `client_options` in the call, a
    400 without a reason is the client's fault."""
    message, status = REST_PREFIX.sub("", error.message), error.code or 500
    if status == 413:
        return PictureRefused(message)
    if status == 400 and not error.reason and (client_options or PICTURE_MESSAGE.search(message)):
        return PictureRefused(message)
    if status == 429:
        return Throttled(message, retry_after_s(getattr(error.response, "headers", {})))
    return _status_kind(status, message)(message)


def _status_kind(status: int, message: str) -> type[ProviderError]:
    if status in NO_ANSWER_STATUSES or (status == 503 and CONNECTION_LOST.search(message)):
        return NoAnswer
    if status in TEMPORARY_STATUSES or (status >= 500 and status != NOT_IMPLEMENTED):
        return Unavailable
    return Misconfigured


def _connection_error(error: Exception) -> ProviderError:
    """NoAnswer if the connection broke after the request was sent, else Unavailable."""
    from requests import ConnectionError
    from urllib3.exceptions import ProtocolError, ReadTimeoutError

    cause = error.args[0] if error.args else None
    after_sending = not isinstance(error, ConnectionError) or isinstance(
        cause, ProtocolError | ReadTimeoutError
    )
    return NoAnswer(str(error)) if after_sending else Unavailable(str(error))
