"""Readers of S3 and Google Cloud Storage, by the vendors' libraries and with the gateway's rights.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
https://cloud.google.com/storage/docs/json_api/v1/objects/get
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from threading import Event
from typing import Any
from urllib.parse import quote, urlsplit

from gateway.config.sections import GsSettings, S3Settings
from gateway.core.content_encoding import BrokenBody, UnknownEncoding, encoding_of, inflated
from gateway.core.errors import NotFetched, SourceAway, SourceMissing, SourceTooLarge
from gateway.core.locations import Location
from gateway.intake.sources import AT_ONCE
from providers.errors import Misconfigured, Unavailable
from providers.extras import import_package
from providers.remote.call_threads import CallThreads

log = logging.getLogger("imgrid")

CHUNK_BYTES = 256 * 1024
GS_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
MAX_CONNECT_S = 5.0

MISSING = frozenset(
    {
        "AccessDenied",
        "AllAccessDisabled",
        "InvalidArgument",
        "InvalidBucketName",
        "InvalidObjectState",
        "MethodNotAllowed",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchVersion",
    }
)
"""S3's error codes for objects that the gateway cannot have. MethodNotAllowed is the code of a
version that marks a deletion, InvalidArgument of a malformed version, InvalidObjectState of an
archived object."""
PASSING = frozenset({408, 429})
"""Statuses below 500 that do not say that the object is missing."""


class ObjectStoreReader(ABC):
    """A reader of one kind of store, with a thread for each read. Holds its threads.

    A read that was cancelled ends after the part that is under way.
    """

    def __init__(self, scheme: str) -> None:
        self._threads = CallThreads(f"{scheme}-read", AT_ONCE)

    async def read(self, location: Location, max_bytes: int) -> bytes:
        cancelled = Event()
        try:
            return await self._threads.run(partial(self.get, location, max_bytes, cancelled.is_set))
        except Unavailable as error:
            raise _no_answer(str(error)) from error
        finally:
            cancelled.set()

    async def close(self) -> None:
        self._threads.close()
        self.close_client()

    @abstractmethod
    def get(self, location: Location, max_bytes: int, is_cancelled: Callable[[], bool]) -> bytes:
        """The object's bytes, read in the calling thread until the read is cancelled. Raises
        NotFetched and nothing else."""

    @abstractmethod
    def close_client(self) -> None:
        """Closes the library's connections."""


def read_all(
    read: Callable[[int], bytes],
    length: int | None,
    max_bytes: int,
    is_cancelled: Callable[[], bool],
) -> bytes:
    """All bytes that `read(at most so many)` returns until it returns none.

    `length` is the store's figure for the object, None where it gives none. Raises SourceTooLarge,
    having read nothing where the length says so and one byte too many at most otherwise; and
    SourceAway for an object that is cut short or a read that is cancelled.
    """
    too_large = _too_large(max_bytes)
    if (length or 0) > max_bytes:
        raise too_large
    body = bytearray()
    while not is_cancelled() and (part := read(min(CHUNK_BYTES, max_bytes + 1 - len(body)))):
        body += part
        if len(body) > max_bytes:
            raise too_large
    if is_cancelled() or len(body) < (length or 0):
        raise SourceAway("The photo was not fetched: it arrived in part only.")
    return bytes(body)


def _inflated(data: bytes, header: str, max_bytes: int) -> bytes:
    """An object's bytes, inflated where they are stored with a `Content-Encoding`. Raises
    NotFetched."""
    try:
        encoding = encoding_of(header)
        if encoding:
            data = inflated(data, encoding, max_bytes)
    except (BrokenBody, UnknownEncoding) as error:
        raise NotFetched(f"The photo was not fetched: {error}") from None
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


def _too_large(max_bytes: int) -> SourceTooLarge:
    return SourceTooLarge(f"The photo was not fetched: it is larger than {max_bytes} bytes.")


class S3Reader(ObjectStoreReader):
    """Reads Amazon S3 or a compatible store with boto3's client, which finds a bucket's region
    itself."""

    def __init__(self, client: Any) -> None:
        super().__init__("s3")
        self._client = client

    def get(self, location: Location, max_bytes: int, is_cancelled: Callable[[], bool]) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
        from botocore.parsers import ResponseParserError

        version = {"VersionId": location.version} if location.version else {}
        try:
            response = self._client.get_object(Bucket=location.bucket, Key=location.key, **version)
            with closing(response["Body"]) as body:
                data = read_all(body.read, response.get("ContentLength"), max_bytes, is_cancelled)
            return _inflated(data, response.get("ContentEncoding", ""), max_bytes)
        except ClientError as error:
            raise _s3_error(error.response, str(error)) from error
        except NoCredentialsError as error:
            raise _no_access(f"s3: {error}") from error
        except (BotoCoreError, ResponseParserError) as error:
            raise _no_answer(f"s3: {error}") from error

    def close_client(self) -> None:
        self._client.close()


class GsReader(ObjectStoreReader):
    """Reads Google Cloud Storage or a compatible store with a session of requests that has the
    credentials.

    `timeouts_s` are for connecting and for each part of the answer.
    """

    def __init__(self, session: Any, endpoint: str, timeouts_s: tuple[float, float]) -> None:
        super().__init__("gs")
        self._session = session
        self._endpoint = endpoint.rstrip("/")
        self._timeouts_s = timeouts_s

    def get(self, location: Location, max_bytes: int, is_cancelled: Callable[[], bool]) -> bytes:
        from google.auth.exceptions import GoogleAuthError, TransportError
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        path = f"/storage/v1/b/{location.bucket}/o/{quote(location.key, safe='')}"
        try:
            with ExitStack() as answers:

                def close_at_end(answer: Any, **_: Any) -> None:
                    """A session that renews its credentials leaves the first answer open."""
                    answers.callback(answer.close)

                # the API never redirects, and a redirect could lead anywhere
                response = self._session.get(
                    f"{self._endpoint}{path}?alt=media",
                    headers={"Accept-Encoding": "identity"},
                    stream=True,
                    allow_redirects=False,
                    timeout=self._timeouts_s,
                    hooks={"response": close_at_end},
                )
                if response.status_code != 200:
                    raise _gs_error(response.status_code)
                length = _content_length(response.headers)
                data = read_all(response.raw.read, length, max_bytes, is_cancelled)
                return _inflated(data, response.headers.get("Content-Encoding", ""), max_bytes)
        except (RequestException, HTTPError, TransportError) as error:
            raise _no_answer(f"gs: {error}") from error
        except GoogleAuthError as error:
            raise _no_access(f"gs: {error}") from error

    def close_client(self) -> None:
        self._session.close()


def _content_length(headers: Any) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _s3_error(response: Any, message: str) -> NotFetched:
    code = response["Error"].get("Code", "")
    status = response["ResponseMetadata"].get("HTTPStatusCode", 500)
    if code in MISSING or status == 404:
        return _missing(f"s3: {message}")
    if status in PASSING or status >= 500:
        return _no_answer(f"s3: {message}")
    return _no_access(f"s3: {message}")


def _gs_error(status: int) -> NotFetched:
    """Every status from 400 says that the object is missing, also 401: without credentials that is
    the status of all that is not public."""
    message = f"gs: status {status}"
    if 400 <= status < 500 and status not in PASSING:
        return _missing(message)
    return _no_answer(message)


def _missing(message: str) -> NotFetched:
    log.info("%s", message)
    return SourceMissing(
        "The photo was not fetched: there is no such object, or none that this gateway may read."
    )


def _no_answer(message: str) -> NotFetched:
    log.warning("%s", message)
    return SourceAway(
        "The photo was not fetched: the store where it lies did not answer as it should."
    )


def _no_access(message: str) -> NotFetched:
    """The error where the gateway itself has no access. Only the operator's log has the reason,
    since clients can do nothing about it."""
    log.warning("%s", message)
    return SourceAway(
        "The photo was not fetched: the gateway has no way to the store; "
        "its operator's log says why."
    )


def open_s3(settings: S3Settings, timeout_s: float) -> S3Reader:
    """A reader of S3. Raises Misconfigured."""
    return S3Reader(s3_client(settings, timeout_s))


def s3_client(settings: S3Settings, timeout_s: float) -> Any:
    """boto3's client of S3. Raises Misconfigured where boto3 is not installed or finds no
    credentials."""
    boto3 = import_package("boto3", "rekognition")
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=min(timeout_s / 2, MAX_CONNECT_S),
        read_timeout=timeout_s,
        max_pool_connections=AT_ONCE,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    try:
        session = boto3.Session(
            settings.access_key, secret, region_name=settings.region, profile_name=settings.profile
        )
        if session.get_credentials() is None:
            raise Misconfigured(
                "no AWS credentials were found; set access_key and secret_key, a profile, or AWS_… "
                "in the environment (any words do for a server that is not AWS)"
            )
        return session.client("s3", endpoint_url=settings.endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise Misconfigured(str(error)) from None


def open_gs(settings: GsSettings, timeout_s: float) -> GsReader:
    """A reader of Google Cloud Storage with application default credentials, which only Google's
    own addresses receive.

    Raises Misconfigured where google-auth is not installed or finds no credentials.
    """
    import_package("google.auth", "google")
    import google.auth
    import requests
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    try:
        if _is_googles(settings.endpoint) and not settings.anonymous:
            credentials, _ = google.auth.default(scopes=[GS_SCOPE])
            session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    except GoogleAuthError as error:
        raise Misconfigured(f"{error} (or set anonymous: true, for what is public)") from None
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=AT_ONCE))
    return GsReader(session, settings.endpoint, (min(timeout_s / 2, MAX_CONNECT_S), timeout_s))


def _is_googles(endpoint: str) -> bool:
    """Whether the endpoint is one of Google's own, over TLS."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" and f".{parts.hostname}".endswith(".googleapis.com")
