"""Webhooks are signed as the specification of Standard Webhooks says."""

from __future__ import annotations

import base64
import time

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from gateway.jobs.webhooks import signing
from tests.support.webhooks import (
    OTHER_SECRET,
    SECRET,
)


@given(st.text(st.characters(codec="utf-8")), st.integers(24, 64))
def test_receivers_package_accepts_every_signature(body: str, length: int) -> None:
    """The package with which receivers verify accepts every signature, for any body and secret."""
    secret = signing.PREFIX + base64.b64encode(b"k" * length).decode()
    headers = signing.headers([secret], "msg_1", int(time.time()), body.encode())
    standardwebhooks.Webhook(secret).verify(body, headers, json_parse=False)


def test_the_specifications_example_has_its_signature() -> None:
    """The specification's own example has the signature that it states."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signed = signing.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_has_id_time_signature_and_type() -> None:
    """A message has its id, the time, its signature and its type."""
    headers = signing.headers([SECRET], "msg_1", 1700000000, b"{}")
    assert headers == {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": signing.sign(SECRET, "msg_1", 1700000000, b"{}"),
    }


@pytest.mark.parametrize(
    "secret", [SECRET, OTHER_SECRET], ids=["the older secret", "the newer secret"]
)
def test_both_secrets_verify_during_a_rotation(secret: str) -> None:
    """While a tenant has two secrets, a receiver with either of them accepts the message."""
    headers = signing.headers([OTHER_SECRET, SECRET], "msg_1", int(time.time()), b"{}")
    assert len(headers["webhook-signature"].split(" ")) == 2
    standardwebhooks.Webhook(secret).verify(b"{}", headers)


@pytest.mark.parametrize("change", ["body", "webhook-id", "webhook-timestamp"])
def test_body_id_and_time_are_signed(change: str) -> None:
    """Body, id and time are all signed."""
    headers = signing.headers([SECRET], "msg_1", int(time.time()), b"{}")
    body = b"[]" if change == "body" else b"{}"
    if change != "body":
        headers[change] = str(int(time.time()) - 1)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(body, headers)


def test_a_new_secret_is_valid_and_unique() -> None:
    """A new secret is valid and unique."""
    secrets = {signing.new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(signing.parse_secret(each)) for each in secrets} == {32}


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("", "begins with whsec_"),
        ("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "begins with whsec_"),
        ("whsec_not base64", "is base64"),
        ("whsec_AAA", "is base64"),
        ("whsec_ä", "is base64"),
        ("whsec_", "24 to 64 bytes, this one 0"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "24 to 64 bytes, this one 23"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "24 to 64 bytes, this one 65"),
    ],
)
def test_an_invalid_secret_is_refused_unrepeated(secret: str, message: str) -> None:
    """The refusal of an invalid secret states the fault and the remedy without repeating the
    secret."""
    with pytest.raises(ValueError, match=message) as caught:
        signing.parse_secret(secret)
    assert "imgrid webhooks secret" in str(caught.value)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(
        caught.value
    )
