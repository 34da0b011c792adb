"""Forwarded calls of any operation of Rekognition: signed anew by botocore and sent over its own
HTTP, because boto3's client takes no body that is JSON already.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import re
import time
from typing import Any

from providers.base import ForwardCall, ForwardReply
from providers.errors import PictureRefused
from providers.remote.sdk import forward_reply, read_body

OPERATION_NAME = re.compile(r"[A-Za-z]{1,64}")
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "Accept-Encoding": "identity"}
CHUNK_BYTES = 65536


class SignedConnection:
    """Sends signed calls to the address and region of a boto3 client. State: the credentials, which
    renew themselves, and the connection pool."""

    def __init__(
        self,
        client: Any,
        credentials: Any,
        timeout_s: float,
        *,
        connections: int,
        ca_bundle: str | None,
    ) -> None:
        """`ca_bundle` is a file of certificates to trust in place of botocore's own."""
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies

        self._meta = client.meta
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._http = URLLib3Session(
            verify=ca_bundle or True,
            proxies=get_environ_proxies(client.meta.endpoint_url),
            timeout=(min(timeout_s, 5), timeout_s),
            max_pool_connections=connections,
        )

    def send(self, call: ForwardCall) -> ForwardReply:
        """The response to the call, sent once. Raises PictureRefused if the target is no operation,
        NoAnswer, and botocore's errors."""
        from botocore.response import StreamingBody

        if not OPERATION_NAME.fullmatch(call.target):
            raise PictureRefused(f"{call.target[:64]!r} is no operation of Rekognition's")
        deadline_s = time.monotonic() + self._timeout_s
        response = self._http.send(self._sign(call))
        try:
            stream = StreamingBody(response.raw, response.headers.get("Content-Length"))
            body = read_body(stream.iter_chunks(CHUNK_BYTES), deadline_s)
            return forward_reply(response.status_code, response.headers, body)
        finally:
            response.raw.release_conn()

    def close(self) -> None:
        self._http.close()

    def _sign(self, call: ForwardCall) -> Any:
        """The signed request of a call, as botocore sends it."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        headers = {**HEADERS, "X-Amz-Target": f"RekognitionService.{call.target}"}
        url = f"{self._meta.endpoint_url.rstrip('/')}/"
        request = AWSRequest("POST", url, headers, call.body, stream_output=True)
        credentials = self._credentials.get_frozen_credentials()
        SigV4Auth(credentials, "rekognition", self._meta.region_name).add_auth(request)
        return request.prepare()
