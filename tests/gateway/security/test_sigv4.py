"""Signatures of AWS, version 4, are verified as botocore makes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.core.errors import Unauthenticated
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.security import sigv4
from gateway.security.keyring import KeyPair

SHOP = Tenant("shop", "shop")


PAIRS = {"AK": KeyPair("SK", SHOP), "AKEU": KeyPair("SK", SHOP, ("eu-west-1", "eu-central-1"))}


class Signed:
    """A request signed by botocore, as it would arrive."""

    def __init__(
        self,
        body: bytes = b'{"a": 1}',
        *,
        query: str = "",
        service: str = "rekognition",
        region: str = "us-east-1",
        key: str = "AK",
        **headers: str | None,
    ) -> None:
        url = f"http://127.0.0.1:8080/{'?' + query if query else ''}"
        sent_headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "RekognitionService.DetectLabels",
            "Host": "127.0.0.1:8080",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        sent_headers = {name: value for name, value in sent_headers.items() if value is not None}
        request = AWSRequest("POST", url, headers=sent_headers, data=body)
        SigV4Auth(Credentials(key, "SK"), service, region).add_auth(request)
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.body, self.query = body, query
        self.at = datetime.strptime(self.headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")

    def verify(self, pairs: Mapping[str, KeyPair] = PAIRS, *, late_s: float = 0.0) -> Tenant:
        incoming = Incoming("POST", "/", self.query, self.headers, self.body)
        return sigv4.verify(incoming, pairs.get, "rekognition", self.at + timedelta(seconds=late_s))

    def refused(self, **when: Any) -> str:
        with pytest.raises(Unauthenticated) as exc_info:
            self.verify(**when)
        return exc_info.value.scheme_error

    def authorize(self, old: str, new: str) -> None:
        """Changes the Authorization header."""
        assert old in self.headers["authorization"]
        self.headers["authorization"] = self.headers["authorization"].replace(old, new)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class TestSignatures:
    def test_a_good_signature_names_its_tenant(self) -> None:
        """A good signature names its tenant, whatever region it is scoped to."""
        assert Signed().verify() == SHOP
        assert Signed(region="moon-north-9").verify() == SHOP

    def test_a_changed_body_is_refused(self) -> None:
        """A changed body is refused."""
        request = Signed()
        request.body = b'{"a": 2}'
        assert request.refused() == "InvalidSignatureException"

    @pytest.mark.parametrize("name", ["x-amz-target", "content-type", "host", "x-amz-date"])
    def test_a_changed_signed_header_is_refused(self, name: str) -> None:
        """A changed signed header is refused."""
        request = Signed()
        request.headers[name] = {"x-amz-date": "20200101T000000Z"}.get(
            name, "RekognitionService.DetectText"
        )
        assert request.refused() == "InvalidSignatureException"

    def test_the_port_of_the_host_is_signed(self) -> None:
        """The host is signed as it was sent, with its port: without the port the signature
        differs."""
        request = Signed()
        request.headers["host"] = "127.0.0.1"
        assert request.refused() == "InvalidSignatureException"

    def test_the_query_is_signed_in_any_order(self) -> None:
        """The query is signed, in any order; a changed one is refused."""
        request = Signed(query="b=2&a=1%2F1&c")
        assert request.verify() == SHOP
        request.query = "c=&a=1%2F1&b=2"
        assert request.verify() == SHOP
        request.query = "b=3&a=1%2F1&c"
        assert request.refused() == "InvalidSignatureException"

    @pytest.mark.parametrize("late_s", [-301, 301])
    def test_a_clock_over_five_minutes_off_is_refused(self, late_s: int) -> None:
        """A clock that is over five minutes off, either way, is refused, and the message gives both
        times."""
        assert Signed().verify(late_s=late_s - late_s / 301) == SHOP
        request = Signed()
        with pytest.raises(Unauthenticated, match=r"expired|not yet current") as exc_info:
            request.verify(late_s=late_s)
        assert exc_info.value.scheme_error == "InvalidSignatureException"
        assert request.headers["x-amz-date"] in str(exc_info.value)

    def test_a_signature_for_another_service_is_refused(self) -> None:
        """A signature for another service is refused."""
        assert Signed(service="s3").refused() == "InvalidSignatureException"

    def test_a_key_of_some_regions_signs_only_for_those(self) -> None:
        """A key of some regions signs for those only; the message names them."""
        assert Signed(key="AKEU", region="eu-central-1").verify() == SHOP
        with pytest.raises(
            Unauthenticated, match=r"eu-west-1, eu-central-1.*'us-east-1'"
        ) as exc_info:
            Signed(key="AKEU", region="us-east-1").verify()
        assert exc_info.value.scheme_error == "InvalidSignatureException"

    def test_a_scope_of_another_day_is_refused(self) -> None:
        """A scope of another day than the request's is refused, though the request itself is
        recent."""
        request = Signed()
        request.authorize(f"/{request.at:%Y%m%d}/", "/20200101/")
        with pytest.raises(Unauthenticated, match="20200101") as exc_info:
            request.verify()
        assert exc_info.value.scheme_error == "InvalidSignatureException"

    def test_a_key_is_refused_from_its_expiry_on(self) -> None:
        """A key is refused as expired from the moment of its expiry, before the body is read."""
        request = Signed()
        request.body = None
        assert (
            request.verify({"AK": KeyPair("SK", SHOP, expires=request.at + timedelta(seconds=1))})
            == SHOP
        )
        with pytest.raises(Unauthenticated) as exc_info:
            request.verify({"AK": KeyPair("SK", SHOP, expires=request.at)})
        assert exc_info.value.scheme_error == "ExpiredTokenException"

    def test_the_headers_are_checked_before_the_body(self) -> None:
        """Before the body is there, the headers alone are checked: the signer and the time."""
        request = Signed()
        request.body = None
        assert request.verify() == SHOP
        request.authorize("Credential=AK/", "Credential=NOBODY/")
        assert request.refused() == "UnrecognizedClientException"

    @pytest.mark.parametrize("name", ["host", "x-amz-date", "x-amz-target"])
    def test_host_time_and_operation_must_be_signed(self, name: str) -> None:
        """A signature that leaves out the host, the time or the operation could be used for another
        request, and is refused."""
        request = Signed()
        names = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
        request.authorize(names, ";".join(each for each in names.split(";") if each != name))
        with pytest.raises(Unauthenticated, match=f"'{name}' must be a signed header") as exc_info:
            request.verify()
        assert exc_info.value.scheme_error == "InvalidSignatureException"

    @pytest.mark.parametrize("name", ["x-amz-security-token", "x-amz-content-sha256"])
    def test_a_token_or_hash_must_be_signed_if_sent(self, name: str) -> None:
        """A signature that leaves out a token or a hash that the request has is refused too."""
        request = Signed()
        assert request.verify() == SHOP
        request.headers[name] = sha256(request.body)
        assert request.refused() == "InvalidSignatureException"

    def test_the_content_type_may_be_unsigned(self) -> None:
        """The SDK for PHP does not sign the content type, which nothing depends on; its requests
        are accepted."""
        request = Signed(Content_Type=None)
        assert "content-type" not in request.headers["authorization"]
        request.headers["content-type"] = "application/x-amz-json-1.1"
        assert request.verify() == SHOP

    @pytest.mark.parametrize(
        "names",
        [
            "host;content-type;x-amz-date;x-amz-target",
            "content-type;host;host;x-amz-date;x-amz-target",
        ],
        ids=["out of order", "twice"],
    )
    def test_signed_headers_are_named_once_and_in_order(self, names: str) -> None:
        """Signed headers are named once each and in order, or the request is refused though its
        signature is right."""
        request = Signed()
        request.authorize("content-type;host;x-amz-date;x-amz-target", names)
        with pytest.raises(Unauthenticated, match="once, in alphabetical order") as exc_info:
            request.verify()
        assert exc_info.value.scheme_error == "InvalidSignatureException"

    def test_a_lost_signed_header_is_named(self) -> None:
        """A signed header that did not arrive is named, because a proxy removed it."""
        request = Signed(X_Odd="a")
        del request.headers["x-odd"]
        with pytest.raises(Unauthenticated, match="'x-odd' is signed and did not arrive"):
            request.verify()

    @pytest.mark.parametrize("bare", [True, False], ids=["instead", "beside"])
    def test_a_signature_in_the_query_does_not_count(self, bare: bool) -> None:
        """A signature in the query does not count, neither instead of the header nor beside it."""
        request = AWSRequest("POST", "http://127.0.0.1:8080/", data=b"{}")
        SigV4QueryAuth(Credentials("AK", "SK"), "rekognition", "us-east-1").add_auth(request)
        signed = Signed(b"{}")
        signed.query = request.url.partition("?")[2]
        if bare:
            del signed.headers["authorization"]
        assert signed.refused() == "MissingAuthenticationTokenException"

    def test_javascripts_many_signed_headers_are_accepted(self) -> None:
        """The AWS SDK for JavaScript signs more headers: the length, the body's hash, its own name,
        the invocation."""
        body = b'{"Image":{"Bytes":"/9j/2Q=="},"MaxLabels":3}'
        request = Signed(
            body,
            Content_Length=str(len(body)),
            X_Amz_Content_Sha256=sha256(body),
            X_Amz_User_Agent="aws-sdk-js/3.1141.0",
            Amz_Sdk_Request="attempt=1; max=3",
            Amz_Sdk_Invocation_Id="cae63cd2-0000-4000-8000-000000000000",
        )
        assert (
            "SignedHeaders=amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;"
            "x-amz-content-sha256;x-amz-date;x-amz-target;x-amz-user-agent,"
            in request.headers["authorization"]
        )
        assert request.verify() == SHOP
        request.headers["amz-sdk-invocation-id"] = "cae63cd2-0000-4000-8000-000000000001"
        assert request.refused() == "InvalidSignatureException"

    def test_a_signed_session_token_does_not_matter(self) -> None:
        """A session token, which is signed, does not matter."""
        assert Signed(X_Amz_Security_Token="token").verify() == SHOP

    @pytest.mark.parametrize(
        "declared",
        [sha256(b"another"), "UNSIGNED-PAYLOAD", "é"],
        ids=["another body's", "unsigned payload", "not ASCII"],
    )
    def test_a_wrong_declared_hash_is_refused(self, declared: str) -> None:
        """A declared hash that is not the body's is refused, though it is signed."""
        assert Signed(X_Amz_Content_Sha256=declared).refused() == "InvalidSignatureException"

    def test_spaces_in_a_header_do_not_matter(self) -> None:
        """Spaces around a header's value, and several within it, do not matter."""
        request = Signed(X_Odd="  a   b  ")
        assert request.verify() == SHOP
        request.headers["x-odd"] = "a b"
        assert request.verify() == SHOP
        request.headers["x-odd"] = "ab"
        assert request.refused() == "InvalidSignatureException"

    @pytest.mark.parametrize(
        "header",
        ["", "Basic abc", "AWS4-HMAC-SHA256 Credential=AK", "AWS4-HMAC-SHA256 " * 100],
        ids=["empty", "Basic", "half", "repeated"],
    )
    def test_a_malformed_authorization_is_incomplete(self, header: str) -> None:
        """An Authorization that does not have AWS's form is refused as incomplete."""
        request = Signed()
        request.headers["authorization"] = header
        assert request.refused() == "IncompleteSignatureException"

    def test_a_request_without_a_date_is_incomplete(self) -> None:
        """A request without a date is refused as incomplete too."""
        request = Signed()
        del request.headers["x-amz-date"]
        assert request.refused() == "IncompleteSignatureException"

    @pytest.mark.parametrize("host", ["[", "a b", "", "::", "http://[::1"])
    def test_an_odd_host_is_only_a_wrong_signature(self, host: str) -> None:
        """An odd Host header is only a wrong signature, whatever it holds."""
        request = Signed()
        request.headers["host"] = host
        assert request.refused() == "InvalidSignatureException"
