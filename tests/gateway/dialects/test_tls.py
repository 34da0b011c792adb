"""Clients over https, with the gateway's own certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.ai.vision.imageanalysis.models import VisualFeatures
from botocore.exceptions import SSLError
from google.auth.credentials import AnonymousCredentials
from google.cloud import vision

from gateway.config.errors import ConfigError
from gateway.testing.gateway import parts_of
from gateway.testing.pictures import Block, drawn, encoded
from tests.support.configs import SHAPES
from tests.support.credentials import EntraToken
from tests.support.waiting import PATIENCE_S

PHOTO = encoded(drawn((400, 200), Block("red", 40, 20, 120, 180)), "JPEG")


CONFIG = {
    **SHAPES,
}


@pytest.fixture(scope="module")
def secure(serve: Callable[..., str], certified: Path) -> str:
    """The address of a gateway with TLS."""
    return serve(tls={"cert": str(certified / "cert.pem"), "key": str(certified / "key.pem")})


@pytest.fixture(scope="module")
def trusted(certified: Path) -> str:
    return str(certified / "cert.pem")


def aws(address: str, **options: Any) -> Any:
    return boto3.client(
        "rekognition",
        endpoint_url=address,
        region_name="eu-west-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        **options,
    )


def test_the_printed_address_is_https(secure: str) -> None:
    """The address that the gateway gives begins with https."""
    assert secure.startswith("https://")


def test_boto3_is_answered_if_it_trusts_the_certificate(secure: str, trusted: str) -> None:
    """boto3 is answered if it trusts the certificate, and calls nothing if it does not."""
    labels = aws(secure, verify=trusted).detect_labels(Image={"Bytes": PHOTO})["Labels"]
    assert [label["Name"] for label in labels] == ["red"]
    with pytest.raises(SSLError):
        aws(secure).detect_labels(Image={"Bytes": PHOTO})


def test_azures_sdk_sends_its_token_over_https(secure: str, trusted: str) -> None:
    """Azure's SDK is answered with a token too, which it sends over https by default."""
    with ImageAnalysisClient(secure, EntraToken("any"), connection_verify=trusted) as client:
        (item,) = client.analyze(PHOTO, [VisualFeatures.OBJECTS]).objects.list
    assert item.tags[0].name == "red"


def test_googles_rest_sdk_needs_only_the_endpoint(
    secure: str, trusted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google's SDK over REST needs only the endpoint."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    client = vision.ImageAnnotatorClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": secure},
    )
    (annotation,) = client.object_localization(
        image=vision.Image(content=PHOTO)
    ).localized_object_annotations
    assert annotation.name == "red"


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00"], ids=["silent", "begun"])
def test_a_slow_handshake_is_ended(serve: Callable[..., str], certified: Path, data: bytes) -> None:
    """A connection whose TLS handshake does not end within the time for a request's head is
    closed."""
    tls = {"cert": str(certified / "cert.pem"), "key": str(certified / "key.pem")}
    address = urlsplit(serve(limits={"header_timeout_ms": 200}, tls=tls))
    with socket.create_connection((address.hostname, address.port), PATIENCE_S) as connection:
        connection.sendall(data)
        assert connection.recv(4096) == b""


def test_many_requests_share_a_connection(secure: str, trusted: str) -> None:
    """A connection serves requests of all sizes one after the other."""
    with httpx.Client(base_url=secure, verify=ssl.create_default_context(cafile=trusted)) as client:
        for photo in (PHOTO, PHOTO + bytes(3_000_000), PHOTO):
            assert client.post("/v1/detect", content=photo).status_code == 200


def test_a_client_without_tls_gets_no_answer(secure: str) -> None:
    """A client that does not use TLS gets no answer."""
    with pytest.raises(httpx.TransportError):
        httpx.get(secure.replace("https://", "http://") + "/healthz")


@pytest.mark.parametrize(("cert", "key"), [("cert.pem", "nowhere.pem"), ("key.pem", "cert.pem")])
def test_wrong_certificate_files_are_named_before_the_start(
    certified: Path, tmp_path: Path, cert: str, key: str
) -> None:
    """Files that do not exist, or are not a certificate and its key, are named before anything
    starts."""
    files = {"cert": str(certified / cert), "key": str(certified / key)}
    with pytest.raises(ConfigError, match=rf"imgrid.yaml: tls: .*{cert} and .*{key}"):
        parts_of(tmp_path, {**CONFIG, "tls": files})
