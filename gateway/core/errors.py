"""All errors that a client may get. Each knows its HTTP status and its name on the wire. Messages
are public; dialects choose the form.

GatewayError                 500  internal
  BadRequest                 400  invalid_request
    TooSlow                  408  too_slow
    UnsupportedEncoding      415  unsupported_encoding
    TooManyHops              400  too_many_hops
    BadCursor                400  invalid_request
    BadManifest              400  invalid_manifest
    SinkNotAllowed           403  sink_not_allowed
    NotFound                 404  not_found
    WrongMethod              405  wrong_method
    Conflict                 409  conflict
  Unauthenticated            401  unauthenticated
    NoKey                    401  unauthenticated
  NotServed                  404  not_served
  PhotoError                 400  invalid_photo
    NoPhoto                  400  empty_photo
    BadFormat                400  invalid_format
    TooManyBytes             413  photo_too_large
      SourceTooLarge         413  photo_too_large
    BadDimensions            400  invalid_dimensions
    NotFetched               400  not_fetched
      SourceNotAllowed       403  source_not_allowed
      SourceMissing          400  source_missing
      SourceTooLarge         413  photo_too_large
      SourceAway             502  source_unavailable
  Busy                       429  busy
    TooManyJobs              429  busy
    UpstreamThrottled        429  upstream_throttled
    TooFast                  429  rate_limited
  BudgetExhausted            429  budget_exhausted
  UpstreamFailed             502  upstream_failed
  DeadlineExceeded           504  deadline_exceeded
  BilledUnknown              502  billed_unknown
  DeadLetter                 502  dead_letter
  Stopping                   503  stopping
    BufferAway               503  buffer_unavailable
"""

from __future__ import annotations


class GatewayError(Exception):
    """An error for a client. The message is safe to show."""

    status = 500
    code = "internal"

    def __init__(
        self, message: str = "Something went wrong here; the operator's log says what."
    ) -> None:
        super().__init__(message)

    @property
    def retry_after_s(self) -> float | None:
        """After how many seconds a retry may succeed; None where no retry helps."""
        return None


class BadRequest(GatewayError):
    """The request does not have the dialect's form."""

    status = 400
    code = "invalid_request"


class TooSlow(BadRequest):
    """The request's body did not arrive in time."""

    status = 408
    code = "too_slow"


class UnsupportedEncoding(BadRequest):
    """The request's body is compressed in a way that is not read here."""

    status = 415
    code = "unsupported_encoding"


class TooManyHops(BadRequest):
    """The request passed so many gateways that they must be asking each other in a circle."""

    code = "too_many_hops"


class BadCursor(BadRequest):
    """The request names no page that there is."""


class BadManifest(BadRequest):
    """The list of a job's photos is not what it is to be: the whole of it, or one line."""

    code = "invalid_manifest"


class SinkNotAllowed(BadRequest):
    """The tenant's results may not be written there."""

    status = 403
    code = "sink_not_allowed"


class NotFound(BadRequest):
    """Nothing has that name, or it belongs to another tenant."""

    status = 404
    code = "not_found"


class WrongMethod(BadRequest):
    """The resource does not support the HTTP method."""

    status = 405
    code = "wrong_method"


class Conflict(BadRequest):
    """The idempotency key was used before for another request."""

    status = 409
    code = "conflict"


class Unauthenticated(GatewayError):
    """The request has no key, or a key that this gateway did not issue. `scheme_error` is the
    dialect's more precise name for the error."""

    status = 401
    code = "unauthenticated"

    def __init__(self, message: str, scheme_error: str = "") -> None:
        super().__init__(message)
        self.scheme_error = scheme_error


class NoKey(Unauthenticated):
    """The request has no key."""


class NotServed(GatewayError):
    """No route serves the request."""

    status = 404
    code = "not_served"


class PhotoError(GatewayError):
    """One photo cannot be answered; the other photos of the request can."""

    status = 400
    code = "invalid_photo"


class NoPhoto(PhotoError):
    """The photo has no bytes."""

    code = "empty_photo"


class BadFormat(PhotoError):
    """The photo is no picture, is damaged, or has a format that the API does not accept."""

    code = "invalid_format"


class TooManyBytes(PhotoError):
    """The photo's file is larger than the limit."""

    status = 413
    code = "photo_too_large"


class BadDimensions(PhotoError):
    """The photo's sides or pixels are outside the limits."""

    code = "invalid_dimensions"


class NotFetched(PhotoError):
    """The photo could not be read from its URL."""

    code = "not_fetched"


class SourceNotAllowed(NotFetched):
    """The tenant may not read from this address. Whether it holds a photo is not checked."""

    status = 403
    code = "source_not_allowed"


class SourceMissing(NotFetched):
    """The address holds no photo, or none that the gateway may read."""

    code = "source_missing"


class SourceTooLarge(TooManyBytes, NotFetched):
    """The photo at the address is larger than the limit. Clients get the error of a photo that they
    sent themselves."""


class SourceAway(NotFetched):
    """The host of the address does not answer in time; it may do so later."""

    status = 502
    code = "source_unavailable"


class Busy(GatewayError):
    """The buffer is full, and took no photo."""

    status = 429
    code = "busy"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> float | None:
        return self._retry_after_s


class TooManyJobs(Busy):
    """The store of jobs has no room for another one."""


class UpstreamThrottled(Busy):
    """The provider throttled all calls until the photo's deadline."""

    code = "upstream_throttled"


class TooFast(Busy):
    """The tenant, or its key, asks more often than its limits allow."""

    code = "rate_limited"


class BudgetExhausted(GatewayError):
    """A budget that covers the photo is spent. The message says when it begins anew; to an SDK it
    is no error to wait out, for some would sleep for weeks."""

    status = 429
    code = "budget_exhausted"


class UpstreamFailed(GatewayError):
    """The provider did not answer before the photo's deadline, or its circuit breaker is open."""

    status = 502
    code = "upstream_failed"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> float | None:
        return self._retry_after_s


class DeadlineExceeded(GatewayError):
    """The photo's deadline passed."""

    status = 504
    code = "deadline_exceeded"


class BilledUnknown(GatewayError):
    """A call got no answer and may have been billed, and `billed_unknown: fail` forbids to repeat
    it."""

    status = 502
    code = "billed_unknown"


class DeadLetter(GatewayError):
    """Several processes died while they held this photo. It is not tried again."""

    status = 502
    code = "dead_letter"


class Stopping(GatewayError):
    """The process is stopping and accepts nothing new."""

    status = 503
    code = "stopping"

    @property
    def retry_after_s(self) -> float | None:
        return 1.0


class BufferAway(Stopping):
    """The shared buffer cannot be reached, accepts nothing, or lost its photos."""

    code = "buffer_unavailable"


def error_of(code: str, message: str) -> GatewayError:
    """The error with that code, as another process reported it; a GatewayError for a code that is
    unknown here."""
    kinds = [GatewayError]
    for kind in kinds:
        if kind.code == code:
            return kind(message)
        kinds += kind.__subclasses__()
    return GatewayError(message)
