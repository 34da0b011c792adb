"""Clients over https, with the certificate that the gateway has itself."""

from __future__ import annotations

import boto3
import httpx
import pytest
from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.ai.vision.imageanalysis.models import VisualFeatures
from azure.core.credentials import AccessToken
from botocore.exceptions import SSLError
from google.auth.credentials import AnonymousCredentials
from google.cloud import vision

from gateway.config.errors import ConfigError
from gateway.testing.gateway import parts_of
from gateway.testing.pictures import Block, drawn, encoded

PHOTO = encoded(drawn((400, 200), Block("red", 40, 20, 120, 180)), "JPEG")
CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]}],
}


@pytest.fixture(scope="module")
def secure(serve, certified):
    """The address of a gateway with TLS."""
    return serve(tls={"cert": str(certified / "cert.pem"), "key": str(certified / "key.pem")})


@pytest.fixture(scope="module")
def trusted(certified):
    return str(certified / "cert.pem")


def aws(address, **more):
    return boto3.client(
        "rekognition",
        endpoint_url=address,
        region_name="eu-west-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        **more,
    )


class Token:
    """A credential like those of Microsoft Entra, which SDKs send over https only."""

    def get_token(self, *scopes, **options):
        return AccessToken("any", 2_000_000_000)


def test_address(secure):
    """The address that is told says https."""
    assert secure.startswith("https://")


def test_rekognition(secure, trusted):
    """boto3 is answered where it trusts the certificate, and calls nothing where it does not."""
    labels = aws(secure, verify=trusted).detect_labels(Image={"Bytes": PHOTO})["Labels"]
    assert [label["Name"] for label in labels] == ["red"]
    with pytest.raises(SSLError):
        aws(secure).detect_labels(Image={"Bytes": PHOTO})


def test_azure(secure, trusted):
    """Azure's SDK is answered with a token too, which it sends over https without being told to."""
    with ImageAnalysisClient(secure, Token(), connection_verify=trusted) as client:
        (found,) = client.analyze(PHOTO, [VisualFeatures.OBJECTS]).objects.list
    assert found.tags[0].name == "red"


def test_google(secure, trusted, monkeypatch):
    """Google's SDK over REST needs no more than the endpoint."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    client = vision.ImageAnnotatorClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": secure},
    )
    (found,) = client.object_localization(
        image=vision.Image(content=PHOTO)
    ).localized_object_annotations
    assert found.name == "red"


def test_plain(secure):
    """A client that does not use TLS is told nothing."""
    with pytest.raises(httpx.TransportError):
        httpx.get(secure.replace("https://", "http://") + "/healthz")


@pytest.mark.parametrize(("cert", "key"), [("cert.pem", "nowhere.pem"), ("key.pem", "cert.pem")])
def test_bad_files(certified, tmp_path, cert, key):
    """Files that are not there, or are no certificate and its key, are named before anything
    starts."""
    files = {"cert": str(certified / cert), "key": str(certified / key)}
    with pytest.raises(ConfigError, match=rf"imgrid.yaml: tls: .*{cert} and .*{key}"):
        parts_of(tmp_path, {**CONFIG, "tls": files})
