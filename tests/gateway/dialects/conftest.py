"""Gateways that listen on a port, and the clients that call them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import boto3
import grpc
import httpx
import pytest
from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.cognitiveservices.vision.computervision import ComputerVisionClient
from azure.core.credentials import AzureKeyCredential, TokenCredential
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcTransport
from msrest.authentication import CognitiveServicesCredentials
from tritonclient.http import InferenceServerClient

from gateway.testing.gateway import parts_of, serving
from gateway.testing.provider import Script, ScriptedProvider, about
from gateway.wiring.parts import Parts
from providers.base import Provider
from providers.detection import Task
from tests.support import azure_vision, google_vision

TENANTS = [
    {
        "name": "shop",
        "keys": [
            {"dialect": "rekognition", "access_key": "AKSHOP", "secret_key": "sk-shop"},
            {"dialect": "native", "key": "key-shop"},
            {"dialect": "azure", "key": "az-shop"},
            {"dialect": "google", "key": "g-shop"},
        ],
    },
    {"name": "press", "keys": [{"dialect": "native", "key": "key-press"}]},
]


@pytest.fixture(scope="session")
def serve(start_gateway: Callable[..., tuple[str, Parts]]) -> Callable[..., str]:
    """`serve(...)`: the address of a gateway that `start_gateway` starts."""
    return lambda *args, **config: start_gateway(*args, **config)[0]


@pytest.fixture(scope="session")
def start_gateway(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., tuple[str, Parts]]]:
    """`start_gateway(objects=script or provider, text=script, faces=provider, **config)`: the
    address and the parts of a gateway with these providers by task; `extras=` takes providers by
    kind.

    Without scripts it really finds coloured shapes. `route=` changes its routes, which are 2x2
    grids that wait 20 ms.
    """
    contexts: list[AbstractContextManager[str]] = []

    def start(
        objects: Script | Provider | None = None,
        route: dict[str, Any] | None = None,
        extras: Mapping[str, Provider] | None = None,
        **config: Any,
    ) -> tuple[str, Parts]:
        scripts = {str(task): config.pop(task) for task in Task if task in config}
        scripts |= {} if objects is None else {"objects": objects}
        fakes: dict[str, Provider] = {
            task: _provider(task, script) for task, script in scripts.items()
        }
        shared = {"stages": [{"shape": "2x2"}], "max_wait_ms": 20, **(route or {})}
        names = {"objects", *scripts}
        kinds = dict.fromkeys(names, "shapes")
        routes: list[dict[str, Any]] = [
            {"task": name, "provider": name, **shared} for name in sorted(names)
        ]
        for kind, provider in (extras or {}).items():
            fakes[kind], kinds[kind] = provider, kind
            routes.append({"task": "extras", "provider": kind, **(config.pop("forwarding", {}))})
        content = {
            "providers": {
                name: {"kind": kind, "canvas": "640x640"} for name, kind in kinds.items()
            },
            "routes": routes,
            **config,
        }
        folder: Path = tmp_path_factory.mktemp("gateway")
        parts = parts_of(folder, content, fakes)
        context = serving(parts)
        address = context.__enter__()
        contexts.append(context)
        return address, parts

    yield start
    with ThreadPoolExecutor(8) as pool:  # each takes a moment to stop
        list(pool.map(lambda gateway: gateway.__exit__(None, None, None), contexts))


def _provider(task: str, script: Script | Provider) -> Provider:
    if callable(script):
        return ScriptedProvider(script, about=about(task, task=Task(task)))
    return script


@pytest.fixture(scope="session")
def gateway(serve: Callable[..., str]) -> str:
    """The address of a gateway without tenants that finds coloured shapes."""
    return serve()


@pytest.fixture(scope="session")
def tenants() -> list[dict[str, Any]]:
    return TENANTS


@pytest.fixture(scope="session")
def closed(serve: Callable[..., str]) -> str:
    """The address of a gateway with two tenants."""
    return serve(tenants=TENANTS)


@pytest.fixture(scope="session")
def rekognition() -> Iterator[Callable[..., Any]]:
    """`rekognition(address, access_key, secret_key, region=…)`: boto3's client, which tries
    once."""
    session = boto3.Session()
    with ExitStack() as stack:

        def client(
            address: str,
            access_key: str = "any",
            secret_key: str = "any",
            *,
            region: str = "eu-west-1",
        ) -> Any:
            sdk_client = session.client(
                "rekognition",
                endpoint_url=address,
                region_name=region,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                config=Config(retries={"total_max_attempts": 1}),
            )
            stack.callback(sdk_client.close)
            return sdk_client

        yield client


@pytest.fixture(scope="session")
def azure() -> Iterator[Callable[..., ImageAnalysisClient]]:
    """`azure(address, key)`: the SDK's client, which tries once."""
    with ExitStack() as stack:

        def client(
            address: str, key: str | TokenCredential = "any", **options: Any
        ) -> ImageAnalysisClient:
            credential = AzureKeyCredential(key) if isinstance(key, str) else key
            return stack.enter_context(
                ImageAnalysisClient(address, credential, **{"retry_total": 0, **options})
            )

        yield client


@pytest.fixture(scope="session")
def azure_v32() -> Iterator[Callable[..., ComputerVisionClient]]:
    """`azure_v32(address, key, retries=…)`: the SDK's client of version 3.2, which tries once."""
    with ExitStack() as stack:

        def client(address: str, key: str = "any", *, retries: int = 0) -> ComputerVisionClient:
            sdk_client = ComputerVisionClient(address, CognitiveServicesCredentials(key))
            sdk_client.config.retry_policy.retries = retries
            sdk_client.config.retry_policy.backoff_factor = 0.01
            return stack.enter_context(sdk_client)

        yield client


@pytest.fixture(scope="session")
def analyze(gateway: str, http: httpx.Client) -> Callable[..., httpx.Response]:
    """`analyze(**request)`: the raw reply to Azure's request for the objects of its `PHOTO`, except
    for what is given."""

    def send(path: str = azure_vision.PATH, **request: Any) -> httpx.Response:
        defaults = {
            "params": azure_vision.QUERY,
            "headers": azure_vision.RAW,
            "content": azure_vision.PHOTO,
        }
        return http.post(gateway + path, **{**defaults, **request})

    return send


@pytest.fixture(scope="session")
def google() -> Iterator[Callable[..., vision.ImageAnnotatorClient]]:
    """`google(address, key)`: the SDK's client over REST; without a key it is anonymous."""
    with ExitStack() as stack:

        def client(
            address: str, key: str = "any", credentials: Credentials | None = None, path: str = ""
        ) -> vision.ImageAnnotatorClient:
            options = {"api_endpoint": address + path}
            identity = {"credentials": credentials or AnonymousCredentials()}
            if key and not credentials:
                options["api_key"], identity = key, {}
            return stack.enter_context(
                vision.ImageAnnotatorClient(transport="rest", client_options=options, **identity)
            )

        yield client


@pytest.fixture(scope="session")
def google_client() -> Iterator[Callable[[str, tuple[str, Parts]], vision.ImageAnnotatorClient]]:
    """`google_client(transport, (address, parts))`: the SDK's client over "rest" or "grpc"."""
    clients = []

    def client(transport: str, gateway: tuple[str, Parts]) -> vision.ImageAnnotatorClient:
        address, parts = gateway
        if transport == "rest":
            clients.append(
                vision.ImageAnnotatorClient(
                    transport="rest",
                    client_options={"api_endpoint": address},
                    credentials=AnonymousCredentials(),
                )
            )
        else:
            channel = grpc.insecure_channel(parts.grpc.address)
            clients.append(
                vision.ImageAnnotatorClient(transport=ImageAnnotatorGrpcTransport(channel=channel))
            )
        return clients[-1]

    yield client
    for each in clients:
        each.transport.close()


@pytest.fixture(scope="session")
def annotate(gateway: str, http: httpx.Client) -> Callable[..., httpx.Response]:
    """`annotate(*requests, **change)`: the raw reply to Google's call about these images."""

    def send(
        *requests: dict[str, Any], path: str = google_vision.PATH, **change: Any
    ) -> httpx.Response:
        return http.post(gateway + path, **{"json": {"requests": requests}, **change})

    return send


@pytest.fixture(scope="session")
def triton() -> Iterator[Callable[[str], InferenceServerClient]]:
    """`triton(address)`: Triton's client."""
    with ExitStack() as stack:

        def client(address: str) -> InferenceServerClient:
            triton_client = InferenceServerClient(address.removeprefix("http://"))
            return stack.enter_context(triton_client)

        yield client


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for localhost, which is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")]),
    )
    now = datetime.datetime.now(datetime.UTC)
    places = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(places), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
    return folder
