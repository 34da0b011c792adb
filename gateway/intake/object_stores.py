"""Objects of S3 and of Google Cloud Storage, read in threads through the vendors' libraries with
the gateway's rights.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
https://cloud.google.com/storage/docs/json_api/v1/objects/get
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from typing import Any
from urllib.parse import quote, urlsplit

from gateway.config.sections import GsSettings, S3Settings
from gateway.core.errors import NotFetched, SourceAway, SourceMissing, SourceTooLarge
from gateway.core.locations import Location
from gateway.intake.sources import AT_ONCE
from providers.errors import Misconfigured

log = logging.getLogger("imgrid")

CHUNK_BYTES = 256 * 1024
GS_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"

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
"""S3's codes for what is not there for us: MethodNotAllowed stands for a version that marks a
deletion, InvalidArgument for a version that cannot be one, InvalidObjectState for what lies in an
archive."""
PASSING = frozenset({408, 429})
"""Statuses below 500 that do not say that nothing is there."""


class Bucket(ABC):
    """A reader of one store, each read in a thread of its own.

    A read that nobody waits for any more ends with the part that is under way. Holds its threads.
    """

    def __init__(self, scheme: str) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, f"{scheme}-read")

    async def read(self, place: Location, max_bytes: int) -> bytes:
        left = Event()
        run = asyncio.get_running_loop().run_in_executor
        try:
            return await run(self._threads, self.get, place, max_bytes, left.is_set)
        finally:
            left.set()

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.hang_up()

    @abstractmethod
    def get(self, place: Location, max_bytes: int, left: Callable[[], bool]) -> bytes:
        """Reads it, in one of the threads, until `left` says that nobody waits. Raises NotFetched
        and nothing else."""

    @abstractmethod
    def hang_up(self) -> None:
        """Gives back the library's connections."""


def gather(
    read: Callable[[int], bytes], length: int | None, max_bytes: int, left: Callable[[], bool]
) -> bytes:
    """All that `read(at most so many)` has. `length` is what the store says of it, None where it
    says nothing; of what is too large by that nothing is read, and otherwise one byte too many at
    most."""
    too_large = SourceTooLarge(f"The photo was not fetched: it is larger than {max_bytes} bytes.")
    if (length or 0) > max_bytes:
        raise too_large
    body = bytearray()
    while not left() and (part := read(min(CHUNK_BYTES, max_bytes + 1 - len(body)))):
        body += part
        if len(body) > max_bytes:
            raise too_large
    if left() or len(body) < (length or 0):
        raise SourceAway("The photo was not fetched: it arrived in part only.")
    return bytes(body)


class S3(Bucket):
    """Amazon S3, or what speaks like it, by boto3's client, which follows a bucket to its region
    itself."""

    def __init__(self, client: Any) -> None:
        super().__init__("s3")
        self._client = client

    def get(self, place: Location, max_bytes: int, left: Callable[[], bool]) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
        from botocore.parsers import ResponseParserError

        version = {"VersionId": place.version} if place.version else {}
        try:
            found = self._client.get_object(Bucket=place.bucket, Key=place.key, **version)
            with closing(found["Body"]) as body:
                return gather(body.read, found.get("ContentLength"), max_bytes, left)
        except ClientError as error:
            raise _refused_by_s3(error.response, str(error)) from error
        except NoCredentialsError as error:
            raise _not_ours(f"s3: {error}") from error
        except (BotoCoreError, ResponseParserError) as error:
            raise _no_answer(f"s3: {error}") from error

    def hang_up(self) -> None:
        self._client.close()


class Gs(Bucket):
    """Google Cloud Storage, or what speaks like it, by a session of requests which has the
    credentials.

    `timeouts_s` are how long connecting may take, and each part of the answer.
    """

    def __init__(self, session: Any, endpoint: str, timeouts_s: tuple[float, float]) -> None:
        super().__init__("gs")
        self._session = session
        self._endpoint = endpoint.rstrip("/")
        self._timeouts_s = timeouts_s

    def get(self, place: Location, max_bytes: int, left: Callable[[], bool]) -> bytes:
        from google.auth.exceptions import GoogleAuthError, TransportError
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        url = (
            f"{self._endpoint}/storage/v1/b/{place.bucket}/o/{quote(place.key, safe='')}?alt=media"
        )
        headers = {"Accept-Encoding": "identity"}
        try:
            # a redirect would lead anywhere, and has no use here
            with self._session.get(
                url, headers=headers, stream=True, allow_redirects=False, timeout=self._timeouts_s
            ) as answer:
                if answer.status_code != 200:
                    raise _refused_by_gs(answer.status_code)
                return gather(answer.raw.read, _length(answer.headers), max_bytes, left)
        except (RequestException, HTTPError, TransportError) as error:
            raise _no_answer(f"gs: {error}") from error
        except GoogleAuthError as error:
            raise _not_ours(f"gs: {error}") from error

    def hang_up(self) -> None:
        self._session.close()


def _length(headers: Any) -> int | None:
    length = headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _refused_by_s3(response: Any, message: str) -> NotFetched:
    code, status = (
        response["Error"].get("Code", ""),
        response["ResponseMetadata"].get("HTTPStatusCode", 500),
    )
    if code in MISSING or status == 404:
        return _missing(f"s3: {message}")
    return (
        _no_answer(f"s3: {message}")
        if status in PASSING or status >= 500
        else _not_ours(f"s3: {message}")
    )


def _refused_by_gs(status: int) -> NotFetched:
    """Without credentials, what is not public is 401."""
    message = f"gs: status {status}"
    return (
        _missing(message) if 400 <= status < 500 and status not in PASSING else _no_answer(message)
    )


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


def _not_ours(message: str) -> NotFetched:
    """The client can do nothing about it, and nothing about it is the client's to know."""
    log.warning("%s", message)
    return SourceAway(
        "The photo was not fetched: the gateway has no way to the store; its operator's log says why."
    )


def open_s3(given: S3Settings, timeout_s: float) -> S3:
    """Raises Misconfigured where boto3 is not installed or finds no credentials."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise Misconfigured(
            "boto3 is not installed; pip install 'imgrid-gateway[rekognition]'"
        ) from None
    config = Config(
        connect_timeout=min(timeout_s / 2, 5),
        read_timeout=timeout_s,
        max_pool_connections=AT_ONCE,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    secret = given.secret_key.get_secret_value() if given.secret_key else None
    try:
        session = boto3.Session(
            given.access_key, secret, region_name=given.region, profile_name=given.profile
        )
        if session.get_credentials() is None:
            raise Misconfigured(
                "no AWS credentials were found; set access_key and secret_key, a profile, or AWS_… in "
                "the environment (a stand-in takes any)"
            )
        return S3(session.client("s3", endpoint_url=given.endpoint, config=config))
    except (BotoCoreError, ValueError) as error:
        raise Misconfigured(str(error)) from None


def open_gs(given: GsSettings, timeout_s: float) -> Gs:
    """With the application's default credentials, which only Google gets to see. Raises
    Misconfigured where google-auth is not installed or finds none."""
    try:
        import google.auth
        import requests
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import AuthorizedSession
        from requests.adapters import HTTPAdapter
    except ImportError:
        raise Misconfigured(
            "google-auth is not installed; pip install 'imgrid-gateway[google]'"
        ) from None
    session = requests.Session()
    try:
        if _of_google(given.endpoint) and not given.anonymous:
            credentials, _ = google.auth.default(scopes=[GS_SCOPE])
            session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    except GoogleAuthError as error:
        raise Misconfigured(f"{error} (or set anonymous: true, for what is public)") from None
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=AT_ONCE))
    return Gs(session, given.endpoint, (min(timeout_s / 2, 5), timeout_s))


def _of_google(endpoint: str) -> bool:
    """Whether it is one of Google's own, over TLS."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" and f".{parts.hostname}".endswith(".googleapis.com")
