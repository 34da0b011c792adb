"""Verifies requests signed with AWS Signature Version 4 by the key pairs that this gateway gave out.

The signature is computed again by botocore's own signer, from the request as it came:
https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from gateway.dialects.base import Incoming
from gateway.errors import Unauthenticated
from gateway.keys import KeyPair
from gateway.model import Tenant

SKEW = timedelta(minutes=5)

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<signed>[a-z0-9;_.-]+),\s*Signature=(?P<signature>[0-9a-f]{64})\s*"
)


class _Signed(NamedTuple):
    key: str
    day: str
    region: str
    service: str
    signed: list[str]
    signature: str
    stamp: str


def verify(incoming: Incoming, pairs: Mapping[str, KeyPair], service: str, now: datetime) -> Tenant:
    """Whose signature this is, or claims to be where the body is yet to be read.

    Raises Unauthenticated with AWS's own code for a request that is not signed, signed by halves, by an unknown key,
    more than five minutes off, or not by the secret that belongs to its key.
    """
    signed = _parse(incoming, service)
    pair = pairs.get(signed.key)
    if pair is None:
        raise Unauthenticated("The security token included in the request is invalid.", "UnrecognizedClientException")
    _check_time(signed, now)
    if incoming.body is None:
        return pair.tenant
    if not hmac.compare_digest(_signature(incoming, signed, pair), signed.signature) or not _body_is_signed(incoming):
        raise Unauthenticated(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
            "InvalidSignatureException",
        )
    return pair.tenant


def _parse(incoming: Incoming, service: str) -> _Signed:
    header = incoming.headers.get("authorization")
    if header is None:
        raise Unauthenticated("Missing Authentication Token", "MissingAuthenticationTokenException")
    found = _AUTHORIZATION.fullmatch(header.strip())
    stamp = incoming.headers.get("x-amz-date", "")
    if found is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        raise Unauthenticated("Authorization header and X-Amz-Date must be those of AWS Signature Version 4.",
                              "IncompleteSignatureException")  # fmt: skip
    signed = found["signed"].split(";")
    missing = [name for name in ("host", "x-amz-date", "x-amz-target") if name not in signed]
    if missing or found["service"] != service:
        what = f"'{missing[0]}' must be a signed header" if missing else f"Credential should be scoped to {service}"
        raise Unauthenticated(f"{what}.", "InvalidSignatureException")
    return _Signed(found["key"], found["day"], found["region"], service, signed, found["signature"], stamp)


def _check_time(signed: _Signed, now: datetime) -> None:
    try:
        at = datetime.strptime(signed.stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Unauthenticated("X-Amz-Date is no date.", "IncompleteSignatureException") from None
    if abs(now - at) > SKEW or signed.day != signed.stamp[:8]:
        raise Unauthenticated(f"Signature expired or not yet valid: it is of {signed.stamp}, the time here is "
                              f"{now:%Y%m%dT%H%M%SZ}.", "InvalidSignatureException")  # fmt: skip


def _signature(incoming: Incoming, signed: _Signed, pair: KeyPair) -> str:
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    # The host is signed as a header; in the URL, where it is not looked at, it could be what no URL can hold.
    url = f"http://host{incoming.path}" + (f"?{incoming.query}" if incoming.query else "")
    headers = {name: incoming.headers.get(name, "") for name in signed.signed}
    request = AWSRequest(incoming.method, url, headers=headers, data=incoming.body)
    request.context["timestamp"] = signed.stamp
    signer = _signer()(Credentials(signed.key, pair.secret), signed.service, signed.region)
    canonical = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


@cache
def _signer() -> Any:
    """botocore's signer, told to sign the headers that the client signed; imported when the first signed call comes."""
    from botocore.auth import SigV4Auth

    class Signer(SigV4Auth):  # type: ignore[misc]  # botocore ships no types
        def headers_to_sign(self, request: Any) -> Any:
            return request.headers

    return Signer


def _body_is_signed(incoming: Incoming) -> bool:
    """A hash of the body sent as a header is what is signed in its place, so it has to be the body's."""
    declared = incoming.headers.get("x-amz-content-sha256")
    return (
        declared is None
        or incoming.body is None
        or hmac.compare_digest(declared.encode(), sha256(incoming.body).hexdigest().encode())
    )
