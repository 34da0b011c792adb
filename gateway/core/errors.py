"""One tree of errors, each of which knows its HTTP status, its name on the wire and what a client
may read of it."""

from __future__ import annotations


class GatewayError(Exception):
    """Something that a client is told. The message is public; dialects choose the form."""

    status = 500
    code = "internal"

    def __init__(
        self, message: str = "Something went wrong here; the operator's log says what."
    ) -> None:
        super().__init__(message)

    @property
    def retry_after_s(self) -> float | None:
        """When to come back, where coming back can help."""
        return None


class BadRequest(GatewayError):
    """The request is not of the dialect's form."""

    status = 400
    code = "invalid_request"


class Unauthenticated(GatewayError):
    """No key, or one that this gateway did not give out; `scheme_error` is the dialect's finer name
    for it."""

    status = 401
    code = "unauthenticated"

    def __init__(self, message: str, scheme_error: str = "") -> None:
        super().__init__(message)
        self.scheme_error = scheme_error


class NoKey(Unauthenticated):
    """None at all."""


class NotServed(GatewayError):
    """No route serves what was asked."""

    status = 404
    code = "not_served"


class TooSlow(BadRequest):
    """The request's body did not arrive in time."""

    status = 408
    code = "too_slow"


class TooManyHops(BadRequest):
    """The request came through so many gateways that they must ask each other."""

    code = "too_many_hops"


class PhotoError(GatewayError):
    """This photo cannot be looked at; the ones beside it can."""

    status = 400
    code = "invalid_photo"


class NoPhoto(PhotoError):
    """No bytes at all."""

    code = "empty_photo"


class BadFormat(PhotoError):
    """Not a picture, a broken one, or of a format the API does not take."""

    code = "invalid_format"


class TooManyBytes(PhotoError):
    status = 413
    code = "photo_too_large"


class BadDimensions(PhotoError):
    """Sides or pixels outside the limits."""

    code = "invalid_dimensions"


class NotFetched(PhotoError):
    """There is no photo to be had at the URL."""

    code = "not_fetched"


class SourceNotAllowed(NotFetched):
    """Nothing is read there for who asks; whether there is a photo is not looked at."""

    status = 403
    code = "source_not_allowed"


class SourceMissing(NotFetched):
    """There is none, or none that the gateway may read."""

    code = "source_missing"


class SourceTooLarge(TooManyBytes, NotFetched):
    """Clients are told as of a photo that they sent themselves."""


class SourceAway(NotFetched):
    """Who has the photo does not answer, or not in time: it may be there later."""

    status = 502
    code = "source_unavailable"


class Busy(GatewayError):
    """The buffer is full: nothing was taken."""

    status = 429
    code = "busy"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> float | None:
        return self._retry_after_s


class UpstreamThrottled(Busy):
    """The provider kept asking to slow down until the photo's deadline."""

    code = "upstream_throttled"


class UpstreamFailed(GatewayError):
    """The provider could not answer within the photo's deadline, or is left alone for a while."""

    status = 502
    code = "upstream_failed"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> float | None:
        return self._retry_after_s


class DeadlineExceeded(GatewayError):
    """The photo's own deadline passed."""

    status = 504
    code = "deadline_exceeded"


class BilledUnknown(GatewayError):
    """The question was sent and no answer came: it may be billed, and `billed_unknown: fail`
    forbids asking again."""

    status = 502
    code = "billed_unknown"


class DeadLetter(GatewayError):
    """The processes that worked on this photo died, time after time; it is not tried any more."""

    status = 502
    code = "dead_letter"


class Stopping(GatewayError):
    """The process is going down and takes nothing new."""

    status = 503
    code = "stopping"

    @property
    def retry_after_s(self) -> float | None:
        return 1.0


class BufferAway(Stopping):
    """The shared buffer cannot be reached, or takes nothing, or lost what it held."""

    code = "buffer_unavailable"


class NotFound(BadRequest):
    """There is nothing of that name, or it is somebody else's."""

    status = 404
    code = "not_found"


class WrongMethod(BadRequest):
    """There is something, which takes other methods."""

    status = 405
    code = "wrong_method"


class Conflict(BadRequest):
    """The idempotency key was used before, for something else."""

    status = 409
    code = "conflict"


def named(code: str, message: str) -> GatewayError:
    """The error of that code, as another process told of it; a code that is not known here is an
    internal error."""
    kinds = [GatewayError]
    for kind in kinds:
        if kind.code == code:
            return kind(message)
        kinds += kind.__subclasses__()
    return GatewayError(message)
