"""How a client's call of any operation of Rekognition's is handed on: signed anew by botocore, over
its own HTTP.

boto3's client has no way in for a body that is JSON already.
https://docs.aws.amazon.com/rekognition/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import re
import time
from typing import Any

from providers.base import ForwardCall, ForwardReply
from providers.errors import PictureRefused
from providers.remote.sdk import forwarded, read

NAMED = re.compile(r"[A-Za-z]{1,64}")
"""What an operation may be called."""
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "Accept-Encoding": "identity"}


class SignedConnection:
    """Holds the credentials, which renew themselves, and the connections."""

    def __init__(
        self, client: Any, credentials: Any, timeout_s: float, connections: int, bundle: str | None
    ) -> None:
        """To the address and region of a boto3 client; `bundle` is a file of certificates to trust
        in place of botocore's own."""
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies

        self._meta = client.meta
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._http = URLLib3Session(
            verify=bundle or True,
            proxies=get_environ_proxies(client.meta.endpoint_url),
            timeout=(min(timeout_s, 5), timeout_s),
            max_pool_connections=connections,
        )

    def send(self, call: ForwardCall) -> ForwardReply:
        """Once. Raises PictureRefused where there can be no such operation, NoAnswer, and errors of
        botocore's."""
        from botocore.response import StreamingBody

        if not NAMED.fullmatch(call.target):
            raise PictureRefused(f"{call.target[:64]!r} is no operation of Rekognition's")
        until = time.monotonic() + self._timeout_s
        answer = self._http.send(self._signed(call))
        try:
            chunks = StreamingBody(answer.raw, answer.headers.get("Content-Length")).iter_chunks(
                65536
            )
            return forwarded(answer.status_code, answer.headers, read(chunks, until))
        finally:
            answer.raw.release_conn()

    def _signed(self, call: ForwardCall) -> Any:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        headers = {**HEADERS, "X-Amz-Target": f"RekognitionService.{call.target}"}
        url = f"{self._meta.endpoint_url.rstrip('/')}/"
        request = AWSRequest("POST", url, headers, call.body, stream_output=True)
        credentials = self._credentials.get_frozen_credentials()
        SigV4Auth(credentials, "rekognition", self._meta.region_name).add_auth(request)
        return request.prepare()

    def close(self) -> None:
        self._http.close()
