"""Keys and TLS of Google's clients by gRPC."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.auth import api_key
from google.cloud import vision
from google.cloud.vision_v1.services.image_annotator.transports import (
    ImageAnnotatorGrpcTransport,
)

from tests.support.google_vision import (
    ANY_GRPC_PORT,
    GRPC_PATH,
    PHOTO,
    image_request,
    message,
    object_names,
)
from tests.support.waiting import ThreadGate


class TestKeys:
    @pytest.mark.parametrize(
        "header",
        [("x-goog-api-key", "g-shop"), ("authorization", "Bearer g-shop")],
        ids=["api key", "bearer token"],
    )
    def test_a_key_is_accepted_from_either_header(
        self,
        sdk: Callable[[str], vision.ImageAnnotatorClient],
        closed: str,
        header: tuple[str, str],
    ) -> None:
        """A tenant's key is accepted from either place."""
        answer = sdk(closed).batch_annotate_images(
            requests=[image_request(PHOTO)], metadata=[header]
        )
        assert object_names(answer.responses[0]) == ["red", "blue"]

    @pytest.mark.parametrize("key", ["wrong", "key-shop", "az-shop"])
    def test_a_wrong_key_is_refused_as_google_does(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], closed: str, key: str
    ) -> None:
        """A wrong key, or one of another dialect, is refused as Google refuses it."""
        with pytest.raises(
            exceptions.InvalidArgument, match=r"API key not valid\. Please pass"
        ) as exc_info:
            sdk(closed).batch_annotate_images(
                requests=[image_request(PHOTO)], metadata=[("x-goog-api-key", key)]
            )
        assert (exc_info.value.reason, exc_info.value.domain) == (
            "API_KEY_INVALID",
            "googleapis.com",
        )

    def test_a_missing_key_is_refused_with_its_place(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], closed: str
    ) -> None:
        """A call without a key is refused with the name of the metadata that it belongs in."""
        with pytest.raises(exceptions.PermissionDenied, match="x-goog-api-key: KEY") as exc_info:
            sdk(closed).batch_annotate_images(requests=[image_request(PHOTO)])
        assert exc_info.value.reason == "API_KEY_INVALID"

    def test_a_missing_key_is_refused_before_the_message(
        self, channel: Callable[[str], grpc.Channel], closed: str
    ) -> None:
        """A caller without a key is refused before any message is read."""
        never = ThreadGate()

        def requests() -> Iterator[bytes]:
            never.block()
            yield b""

        with pytest.raises(grpc.RpcError) as exc_info:
            channel(closed).stream_unary(GRPC_PATH)(requests())
        never.set()
        assert exc_info.value.code() == grpc.StatusCode.PERMISSION_DENIED

    def test_an_open_gateway_refuses_foreign_web_pages(
        self, channel: Callable[[str], grpc.Channel], gateway: str
    ) -> None:
        """An open gateway accepts nothing from another machine's web pages."""
        with pytest.raises(grpc.RpcError) as exc_info:
            channel(gateway).unary_unary(GRPC_PATH)(
                message(image_request(PHOTO)), metadata=[("origin", "https://example.com")]
            )
        assert "open to this machine only" in exc_info.value.details()


PROGRAM = """
import sys
from google.cloud import vision
options = {"api_endpoint": sys.argv[1], "api_key": "g-shop"}
client = vision.ImageAnnotatorClient(client_options=options)
answer = client.object_localization(image=vision.Image(content=open(sys.argv[2], "rb").read()))
print(*(found.name for found in answer.localized_object_annotations))
"""


class TestTls:
    @pytest.fixture(scope="class")
    @classmethod
    def secure(
        cls,
        serve: Callable[..., tuple[str, str]],
        certified: Path,
        tenants: list[dict[str, Any]],
    ) -> str:
        pair = {"cert": str(certified / "cert.pem"), "key": str(certified / "key.pem")}
        return serve(tenants=tenants, grpc={**ANY_GRPC_PORT, **pair})[1]

    def test_only_the_endpoint_and_the_key_change(
        self, secure: str, certified: Path, tmp_path: Path
    ) -> None:
        """A client's program changes its endpoint and its key, if its system trusts the
        certificate."""
        photo = tmp_path / "photo.jpg"
        photo.write_bytes(PHOTO)
        trusting = {**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(certified / "cert.pem")}
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM, secure, photo],
            env=trusting,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert process.stdout == "red blue\n", process.stderr

    def test_a_program_may_trust_the_certificate_itself(self, secure: str, certified: Path) -> None:
        """A program may trust the certificate itself."""
        trust = grpc.ssl_channel_credentials((certified / "cert.pem").read_bytes())
        transport = ImageAnnotatorGrpcTransport(
            host=secure, credentials=api_key.Credentials("g-shop"), ssl_channel_credentials=trust
        )
        assert object_names(
            vision.ImageAnnotatorClient(transport=transport).annotate_image(image_request(PHOTO))
        ) == ["red", "blue"]
        transport.close()

    def test_a_client_without_tls_gets_no_answer(
        self, sdk: Callable[[str], vision.ImageAnnotatorClient], secure: str
    ) -> None:
        """A client without TLS gets no answer."""
        with pytest.raises(exceptions.ServiceUnavailable):
            sdk(secure).annotate_image(image_request(PHOTO), timeout=10)
