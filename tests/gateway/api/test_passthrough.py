"""Calls that are forwarded whole: by boto3, to a vendor that answers them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gateway.testing.gateway import parts_of, serving
from gateway.testing.provider import ScriptedProvider, about
from providers.base import ForwardCall, ForwardReply
from providers.detection import Task
from providers.errors import NoAnswer, ProviderError, Throttled
from providers.prices import Price

KIND = {"content-type": "application/x-amz-json-1.1"}
MATCH = {"FaceMatches": [{"Similarity": 99.5}], "UnmatchedFaces": []}
PAIR = {"SourceImage": {"Bytes": b"one"}, "TargetImage": {"Bytes": b"two"}}
CONFIG = {
    "providers": {"aws": {"kind": "shapes"}, "eye": {"kind": "shapes"}},
    "routes": [
        {"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]},
        {
            "task": "extras",
            "provider": "aws",
            "operations": ["CompareFaces", "ListCollections"],
            "tenants": ["shop"],
        },
    ],
    "tenants": [
        {
            "name": name,
            "keys": [
                {"dialect": "rekognition", "access_key": name, "secret_key": name},
                {"dialect": "native", "key": name},
            ],
        }
        for name in ("shop", "press")
    ],
}


class Vendor(ScriptedProvider):
    """Answers forwarded calls with given answers; holds the calls."""

    def __init__(self, *answers: tuple[int, dict[str, Any]] | Exception) -> None:
        super().__init__(
            about=about("aws", task=Task.EXTRAS, kind="rekognition", price=Price(0.001))
        )
        self.calls_made: list[ForwardCall] = []
        self._answers = iter(answers)

    async def forward(self, call: ForwardCall) -> ForwardReply:
        self.calls_made.append(call)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return ForwardReply(status, KIND, json.dumps(body).encode())


class Gateway(NamedTuple):
    """A running gateway before a vendor; `client(tenant)` is boto3's client of a tenant."""

    vendor: Vendor
    client: Callable[..., Any]
    address: str


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """`gateway(*answers, tries=1)`: a gateway before a vendor that gives these answers."""
    with ExitStack() as stack:

        def start(*answers: tuple[int, dict[str, Any]] | Exception, tries: int = 1) -> Gateway:
            vendor = Vendor(*answers)
            address = stack.enter_context(serving(parts_of(tmp_path, CONFIG, {"aws": vendor})))

            def client(name: str = "shop") -> Any:
                return boto3.client(
                    "rekognition",
                    endpoint_url=address,
                    region_name="eu-west-1",
                    aws_access_key_id=name,
                    aws_secret_access_key=name,
                    config=Config(retries={"total_max_attempts": tries, "mode": "standard"}),
                )

            return Gateway(vendor, client, address)

        yield start


def usage(http: httpx.Client, address: str) -> dict[str, Any]:
    return http.get(f"{address}/v1/usage", headers={"X-Api-Key": "shop"}).json()


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


def test_a_named_operation_is_forwarded_and_billed(
    gateway: Callable[..., Gateway], http: httpx.Client
) -> None:
    """A call that the operator named is forwarded with its own body, answered as the vendor answers
    it, and billed."""
    vendor, client, address = gateway((200, MATCH))
    assert client().compare_faces(**PAIR)["FaceMatches"] == MATCH["FaceMatches"]
    (call,) = vendor.calls_made
    assert call.target == "CompareFaces"
    assert json.loads(call.body)["SourceImage"] == {"Bytes": "b25l"}
    account = usage(http, address)
    assert (account["photos"], account["billed_images"], account["paid_usd"], account["saved"]) == (
        1,
        1,
        0.001,
        0,
    )


def test_a_call_without_images_costs_nothing(
    gateway: Callable[..., Gateway], http: httpx.Client
) -> None:
    """A call without images costs nothing."""
    _, client, address = gateway((200, {"CollectionIds": ["a"]}))
    assert client().list_collections()["CollectionIds"] == ["a"]
    assert usage(http, address)["billed_images"] == 0


def test_a_vendors_error_reaches_the_client_unbilled(
    gateway: Callable[..., Gateway], http: httpx.Client
) -> None:
    """The client gets the vendor's own error, and nothing is billed."""
    refusal = {"__type": "InvalidParameterException", "Message": "Request has invalid parameters"}
    _, client, address = gateway((400, refusal))
    with pytest.raises(
        client().exceptions.InvalidParameterException, match="Request has invalid parameters"
    ):
        client().compare_faces(**PAIR)
    assert usage(http, address)["billed_images"] == 0


@pytest.mark.parametrize(
    "code",
    ["ProvisionedThroughputExceededException", "LimitExceededException", "InternalServerError"],
)
def test_a_retried_call_is_forwarded_again(gateway: Callable[..., Gateway], code: str) -> None:
    """If boto3 sends a call again after the vendor's answer, the vendor is asked again."""
    refusal = (
        500 if code == "InternalServerError" else 400,
        {"__type": code, "Message": "Slow down"},
    )
    vendor, client, _ = gateway(refusal, (200, MATCH), tries=2)
    assert client().compare_faces(**PAIR)["FaceMatches"] == MATCH["FaceMatches"]
    assert len(vendor.calls_made) == 2


@pytest.mark.parametrize(
    ("fault", "code", "unknown"),
    [
        (NoAnswer("cut off"), "InternalServerError", 1),
        (Throttled("slow"), "ThrottlingException", 0),
    ],
    ids=["no answer", "throttled"],
)
def test_a_vendor_without_an_answer_may_have_billed(
    gateway: Callable[..., Gateway],
    http: httpx.Client,
    fault: ProviderError,
    code: str,
    unknown: int,
) -> None:
    """A vendor that gives no answer is an error in the dialect's words; a call that may be billed
    is counted as such."""
    _, client, address = gateway(fault)
    with pytest.raises(ClientError) as exc_info:
        client().compare_faces(**PAIR)
    assert exc_info.value.response["Error"]["Code"] == code
    assert usage(http, address)["maybe_billed_images"] == unknown


def test_an_operation_that_is_not_named_is_refused(gateway: Callable[..., Gateway]) -> None:
    """An operation that the operator did not name for the tenant is refused by name."""
    vendor, client, _ = gateway()
    with pytest.raises(ClientError, match="DeleteCollection is not handed on"):
        client().delete_collection(CollectionId="a")
    with pytest.raises(ClientError, match="CompareFaces is not handed on"):
        client("press").compare_faces(**PAIR)
    assert vendor.calls_made == []
