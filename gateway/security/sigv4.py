"""Verifies requests that are signed with AWS Signature Version 4 by a key pair of this gateway.

The signature is computed again by botocore's own signer, from the request as it came:
https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from gateway.core.errors import Unauthenticated
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.security.keyring import KeyPair

SKEW = timedelta(minutes=5)
"""How far the time of a signature may be from now, in either direction."""
MUST_BE_SIGNED = ("host", "x-amz-date", "x-amz-target")
IF_SENT = ("x-amz-security-token", "x-amz-content-sha256")
"""Every SDK that sends these headers signs them. Content-Type may be unsigned: PHP's SDK does not
sign it, and the gateway does not use it."""

PairOf = Callable[[str], KeyPair | None]

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+"
    r"Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<signed>[a-z0-9;_.-]+),"
    r"\s*Signature=(?P<signature>[0-9a-f]{64})\s*"
)
_PRESIGNED = re.compile(r"(?:^|&)x-amz-(?:algorithm|credential|signature)=", re.IGNORECASE)


class _Signature(NamedTuple):
    """A signature as it stands in a request. `header_names` are those of the signed headers,
    `stamp` is X-Amz-Date."""

    key: str
    day: str
    region: str
    service: str
    header_names: list[str]
    digest: str
    stamp: str


def verify(incoming: Incoming, pair_of: PairOf, service: str, now: datetime) -> Tenant:
    """The tenant of the key pair that signed the request. Where the body is not read yet, the
    signature itself is not verified.

    Raises Unauthenticated with AWS's own code for a request that is not signed, or only in its
    query; signed incompletely; by an unknown or an expired key; for another service, or a region
    that is not the key's; over a day or headers that are not the request's; more than five minutes
    ago or ahead; or not with the key's secret.
    """
    signature = _parse(incoming)
    pair = pair_of(signature.key)
    if pair is None:
        raise Unauthenticated(
            "The security token included in the request is invalid.", "UnrecognizedClientException"
        )
    _check_scope(signature, service, pair.regions)
    _check_headers(signature.header_names, incoming.headers)
    _check_time(signature, now)
    if pair.expires is not None and now >= pair.expires:
        raise Unauthenticated(
            "The security token included in the request is expired.", "ExpiredTokenException"
        )
    if incoming.body is None:
        return pair.tenant
    digest = _digest(incoming, signature, pair)
    if not hmac.compare_digest(digest, signature.digest) or not _body_is_signed(incoming):
        raise _invalid(
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method. Consult the service documentation for "
            "details."
        )
    return pair.tenant


def signature_of(incoming: Incoming) -> str:
    """The signature in a request, verified or not; empty if there is none."""
    match = _AUTHORIZATION.fullmatch(incoming.headers.get("authorization", "").strip())
    return match["signature"] if match else ""


def without_unsigned(incoming: Incoming, prefix: str) -> Incoming:
    """A signed request without headers of that prefix that its signature does not cover: anybody on
    the way could have added them. Other requests stay as they are."""
    match = _AUTHORIZATION.fullmatch(incoming.headers.get("authorization", "").strip())
    if match is None:
        return incoming
    signed = match["signed"].split(";")
    headers = {
        name: value
        for name, value in incoming.headers.items()
        if name in signed or not name.startswith(prefix)
    }
    return replace(incoming, headers=headers)


def _invalid(message: str) -> Unauthenticated:
    """The error of a signature that is complete and wrong."""
    return Unauthenticated(message, "InvalidSignatureException")


def _parse(incoming: Incoming) -> _Signature:
    if _PRESIGNED.search(incoming.query):
        raise Unauthenticated(
            "A signature in the query (a presigned URL) is not taken here; sign the request in its "
            "Authorization header.",
            "MissingAuthenticationTokenException",
        )
    header = incoming.headers.get("authorization")
    if header is None:
        raise Unauthenticated("Missing Authentication Token", "MissingAuthenticationTokenException")
    match = _AUTHORIZATION.fullmatch(header.strip())
    stamp = incoming.headers.get("x-amz-date", "")
    if match is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        raise Unauthenticated(
            "Authorization header and X-Amz-Date must be those of AWS Signature Version 4.",
            "IncompleteSignatureException",
        )
    return _Signature(
        key=match["key"],
        day=match["day"],
        region=match["region"],
        service=match["service"],
        header_names=match["signed"].split(";"),
        digest=match["signature"],
        stamp=stamp,
    )


def _check_scope(signature: _Signature, service: str, regions: Sequence[str]) -> None:
    if signature.service != service:
        raise _invalid(
            f"Credential should be scoped to the service {service!r}, not to {signature.service!r}."
        )
    if regions and signature.region not in regions:
        raise _invalid(
            f"Credential should be scoped to a region of this key ({', '.join(regions)}), not to "
            f"{signature.region!r}."
        )
    if signature.day != signature.stamp[:8]:
        raise _invalid(
            f"Date in Credential scope ({signature.day}) is not that of X-Amz-Date "
            f"({signature.stamp})."
        )


def _check_headers(signed_names: Sequence[str], headers: Mapping[str, str]) -> None:
    if list(signed_names) != sorted(set(signed_names)):
        raise _invalid("SignedHeaders must name each header once, in alphabetical order.")
    for name in (*MUST_BE_SIGNED, *(name for name in IF_SENT if name in headers)):
        if name not in signed_names:
            raise _invalid(f"'{name}' must be a signed header.")
    for name in signed_names:
        if name not in headers:
            raise _invalid(
                f"'{name}' is signed and did not arrive: a proxy in between must leave it as it is."
            )


def _check_time(signature: _Signature, now: datetime) -> None:
    try:
        at = datetime.strptime(signature.stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Unauthenticated("X-Amz-Date is no date.", "IncompleteSignatureException") from None
    if abs(now - at) > SKEW:
        state = "expired" if at < now else "not yet current"
        raise _invalid(
            f"Signature {state}: it is of {signature.stamp}, the time here is "
            f"{now:%Y%m%dT%H%M%SZ}, and they may be {SKEW // timedelta(minutes=1)} minutes apart."
        )


def _digest(incoming: Incoming, signature: _Signature, pair: KeyPair) -> str:
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    # The host is signed as a header. The signer does not look at the URL's, and the client's might
    # be nothing that a URL can hold.
    url = f"http://host{incoming.path}" + (f"?{incoming.query}" if incoming.query else "")
    headers = {name: incoming.headers[name] for name in signature.header_names}
    request = AWSRequest(incoming.method, url, headers=headers, data=incoming.body)
    request.context["timestamp"] = signature.stamp
    signer = _signer()(Credentials(signature.key, pair.secret), signature.service, signature.region)
    canonical = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


@cache
def _signer() -> Any:
    """botocore's signer, for exactly the headers that the client signed. Imported when the first
    signed call comes."""
    from botocore.auth import SigV4Auth

    class Signer(SigV4Auth):  # type: ignore[misc]  # botocore ships no types
        def headers_to_sign(self, request: Any) -> Any:
            return request.headers

    return Signer


def _body_is_signed(incoming: Incoming) -> bool:
    """Whether the header with a hash of the body, which is signed in place of the body, is right
    or absent."""
    declared = incoming.headers.get("x-amz-content-sha256")
    return (
        declared is None
        or incoming.body is None
        or hmac.compare_digest(declared.encode(), sha256(incoming.body).hexdigest().encode())
    )
