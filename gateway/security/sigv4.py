"""Verifies requests signed with AWS Signature Version 4 by the key pairs that this gateway gave
out.

The signature is computed again by botocore's own signer, from the request as it came:
https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from gateway.core.errors import Unauthenticated
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.security.keyring import KeyPair

SKEW = timedelta(minutes=5)
"""How far a signature's time may be from now, either way: so long it is good."""
MUST_BE_SIGNED = ("host", "x-amz-date", "x-amz-target")
IF_SENT = ("x-amz-security-token", "x-amz-content-sha256")
"""Signed by every SDK that sends them. Content-Type is not: PHP's SDK leaves it out, and nothing
goes by it."""

PairOf = Callable[[str], KeyPair | None]

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<signed>[a-z0-9;_.-]+),\s*Signature=(?P<signature>[0-9a-f]{64})\s*"
)
_PRESIGNED = re.compile(r"(?:^|&)x-amz-(?:algorithm|credential|signature)=", re.IGNORECASE)


class _Signed(NamedTuple):
    key: str
    day: str
    region: str
    service: str
    signed: list[str]
    signature: str
    stamp: str


def verify(incoming: Incoming, pair_of: PairOf, service: str, now: datetime) -> Tenant:
    """Whose signature this is, or claims to be where the body is yet to be read.

    Raises Unauthenticated with AWS's own code for a request that is not signed, or in its query
    only; signed by halves; by an unknown or an expired key; for another service, or a region that
    is not the key's; over a day or headers that are not the request's; more than five minutes off;
    or not by the secret that belongs to its key.
    """
    signed = _parse(incoming)
    pair = pair_of(signed.key)
    if pair is None:
        raise Unauthenticated(
            "The security token included in the request is invalid.", "UnrecognizedClientException"
        )
    _check_scope(signed, service, pair.regions)
    _check_headers(signed.signed, incoming.headers)
    _check_time(signed, now)
    if pair.expires is not None and now >= pair.expires:
        raise Unauthenticated(
            "The security token included in the request is expired.", "ExpiredTokenException"
        )
    if incoming.body is None:
        return pair.tenant
    if not hmac.compare_digest(
        _signature(incoming, signed, pair), signed.signature
    ) or not _body_is_signed(incoming):
        raise _wrong(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )
    return pair.tenant


def signature_of(incoming: Incoming) -> str:
    """The signature that stands in a request, verified or not; empty where there is none."""
    found = _AUTHORIZATION.fullmatch(incoming.headers.get("authorization", "").strip())
    return found["signature"] if found else ""


def _wrong(message: str) -> Unauthenticated:
    """What is wrong with a signature that is all there."""
    return Unauthenticated(message, "InvalidSignatureException")


def _parse(incoming: Incoming) -> _Signed:
    if _PRESIGNED.search(incoming.query):
        raise Unauthenticated(
            "A signature in the query (a presigned URL) is not taken here; sign the request in its "
            "Authorization header.",
            "MissingAuthenticationTokenException",
        )
    header = incoming.headers.get("authorization")
    if header is None:
        raise Unauthenticated("Missing Authentication Token", "MissingAuthenticationTokenException")
    found = _AUTHORIZATION.fullmatch(header.strip())
    stamp = incoming.headers.get("x-amz-date", "")
    if found is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        raise Unauthenticated(
            "Authorization header and X-Amz-Date must be those of AWS Signature Version 4.",
            "IncompleteSignatureException",
        )
    names = found["signed"].split(";")
    return _Signed(
        found["key"],
        found["day"],
        found["region"],
        found["service"],
        names,
        found["signature"],
        stamp,
    )


def _check_scope(signed: _Signed, service: str, regions: Sequence[str]) -> None:
    if signed.service != service:
        raise _wrong(
            f"Credential should be scoped to the service {service!r}, not to {signed.service!r}."
        )
    if regions and signed.region not in regions:
        raise _wrong(
            f"Credential should be scoped to a region of this key ({', '.join(regions)}), not to "
            f"{signed.region!r}."
        )
    if signed.day != signed.stamp[:8]:
        raise _wrong(
            f"Date in Credential scope ({signed.day}) is not that of X-Amz-Date ({signed.stamp})."
        )


def _check_headers(signed: Sequence[str], headers: Mapping[str, str]) -> None:
    if list(signed) != sorted(set(signed)):
        raise _wrong("SignedHeaders must name each header once, in alphabetical order.")
    for name in (*MUST_BE_SIGNED, *(name for name in IF_SENT if name in headers)):
        if name not in signed:
            raise _wrong(f"'{name}' must be a signed header.")
    for name in signed:
        if name not in headers:
            raise _wrong(
                f"'{name}' is signed and did not arrive: a proxy in between must leave it as it is."
            )


def _check_time(signed: _Signed, now: datetime) -> None:
    try:
        at = datetime.strptime(signed.stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Unauthenticated("X-Amz-Date is no date.", "IncompleteSignatureException") from None
    if abs(now - at) > SKEW:
        state = "expired" if at < now else "not yet current"
        raise _wrong(
            f"Signature {state}: it is of {signed.stamp}, the time here is {now:%Y%m%dT%H%M%SZ}, and they may "
            f"be {SKEW // timedelta(minutes=1)} minutes apart."
        )


def _signature(incoming: Incoming, signed: _Signed, pair: KeyPair) -> str:
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    # The host is signed as a header; in the URL, where it is not looked at, it could be what no URL
    # can hold.
    url = f"http://host{incoming.path}" + (f"?{incoming.query}" if incoming.query else "")
    headers = {name: incoming.headers[name] for name in signed.signed}
    request = AWSRequest(incoming.method, url, headers=headers, data=incoming.body)
    request.context["timestamp"] = signed.stamp
    signer = _signer()(Credentials(signed.key, pair.secret), signed.service, signed.region)
    canonical = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


@cache
def _signer() -> Any:
    """botocore's signer, told to sign the headers that the client signed; imported when the first
    signed call comes."""
    from botocore.auth import SigV4Auth

    class Signer(SigV4Auth):  # type: ignore[misc]  # botocore ships no types
        def headers_to_sign(self, request: Any) -> Any:
            return request.headers

    return Signer


def _body_is_signed(incoming: Incoming) -> bool:
    """A hash of the body sent as a header is what is signed in its place, so it has to be the
    body's."""
    declared = incoming.headers.get("x-amz-content-sha256")
    return (
        declared is None
        or incoming.body is None
        or hmac.compare_digest(declared.encode(), sha256(incoming.body).hexdigest().encode())
    )
