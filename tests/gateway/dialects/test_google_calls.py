"""Google Cloud Vision's photos by address, calls that are forwarded whole, and field masks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import vision

from gateway.core import errors
from gateway.core.errors import BadRequest, GatewayError, PhotoError
from gateway.core.exchange import Incoming
from gateway.core.question import Forward, Source
from gateway.dialects.google.dialect import DIALECT
from gateway.dialects.google.errors import status_of
from gateway.dialects.google.field_mask import field_mask_of, selection_of
from gateway.wiring.parts import Parts
from providers.base import ForwardCall, ForwardReply
from providers.detection import WHOLE, Detection
from tests.support.google_vision import (
    CONTENT,
    OBJECTS,
    PATH,
    PHOTO,
    ExtrasProvider,
    features_request,
    responses_of,
)


@pytest.fixture(scope="module")
def full(start_gateway: Callable[..., tuple[str, Parts]]) -> tuple[str, Parts]:
    """A gateway for labels, logos and extras by both transports: its REST address and its parts."""
    return start_gateway(
        labels=lambda *_: [Detection("Dog", 0.9, WHOLE, kind="LABEL")],
        logos=lambda *_: [Detection("Acme", 0.9, WHOLE)],
        extras={"google": ExtrasProvider()},
        route={"stages": [{"shape": "1x1"}]},
        grpc={"listen": "127.0.0.1:0"},
    )


@pytest.fixture(params=["rest", "grpc"])
def client(
    request: pytest.FixtureRequest,
    google_client: Callable[[str, tuple[str, Parts]], vision.ImageAnnotatorClient],
    full: tuple[str, Parts],
) -> vision.ImageAnnotatorClient:
    return google_client(request.param, full)


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """The address of a folder on the web, in which there is the photo."""
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestSources:
    @staticmethod
    def parsed(image: dict[str, Any]) -> bytes | Source | GatewayError:
        body = json.dumps(
            {"requests": [{"image": image, "features": [{"type": "LABEL_DETECTION"}]}]}
        ).encode()
        return DIALECT.parse(Incoming("POST", PATH, "", {}, body)).items[0].photo

    @pytest.mark.parametrize(
        ("source", "url"),
        [
            ({"imageUri": "gs://bucket/a.jpg"}, "gs://bucket/a.jpg"),
            ({"image_uri": "https://example.com/a.jpg"}, "https://example.com/a.jpg"),
            ({"gcsImageUri": "gs://bucket/a.jpg"}, "gs://bucket/a.jpg"),
            (
                {"gcs_image_uri": "gs://bucket/b.jpg", "imageUri": "http://example.com"},
                "http://example.com",
            ),
        ],
        ids=["imageUri", "image_uri", "gcsImageUri", "both"],
    )
    def test_a_photo_may_be_named_by_its_address(self, source: dict[str, str], url: str) -> None:
        """A photo may be given by its address, in a bucket or on the web; the newer member
        counts."""
        assert self.parsed({"source": source}) == Source(url)

    def test_content_wins_over_the_source(self) -> None:
        """Content counts if there are both."""
        assert self.parsed({"content": CONTENT, "source": {"imageUri": "gs://b/a.jpg"}}) == PHOTO

    @pytest.mark.parametrize(
        "url", ["ftp://example.com/a.jpg", "a.jpg", "s3://bucket/a.jpg", "gs://" + "a" * 2048]
    )
    def test_other_addresses_are_refused_for_that_photo(self, url: str) -> None:
        """An address of another kind, or one that is too long, is refused for that photo."""
        assert isinstance(self.parsed({"source": {"imageUri": url}}), PhotoError)

    @pytest.mark.parametrize(
        ("kind", "code", "opening"),
        [
            (errors.SourceNotAllowed, 7, "We're not allowed to access the URL on your behalf."),
            (errors.SourceAway, 14, "We can not access the URL currently."),
            (errors.SourceMissing, 14, "We can not access the URL currently."),
            (errors.NotFetched, 14, "We can not access the URL currently."),
            (errors.SourceTooLarge, 3, "because"),
        ],
    )
    def test_fetch_failures_have_googles_words_and_codes(
        self, kind: type[errors.GatewayError], code: int, opening: str
    ) -> None:
        """The reason why a photo was not fetched is given in Google's words and codes."""
        status, message = status_of(kind("because"))
        assert (status.code, message.startswith(opening), message.endswith("because")) == (
            code,
            True,
            True,
        )

    def test_a_photo_on_the_web_is_fetched(
        self,
        start_gateway: Callable[..., tuple[str, Parts]],
        google_client: Callable[[str, tuple[str, Parts]], vision.ImageAnnotatorClient],
        website: str,
    ) -> None:
        """A photo on the web is fetched and answered; one that does not exist has its own error."""
        gateway = start_gateway(fetch={"allow": ["127.0.0.0/8"]}, grpc={"listen": "127.0.0.1:0"})
        features = [{"type_": OBJECTS}]
        requests = [
            {"image": {"source": {"image_uri": f"{website}/{name}"}}, "features": features}
            for name in ("photo.jpg", "none.jpg")
        ]
        for transport in ("rest", "grpc"):
            photo_response, missing_response = (
                google_client(transport, gateway).batch_annotate_images(requests=requests).responses
            )
            assert len(photo_response.localized_object_annotations) == 2
            assert missing_response.error.code == 14


class TestWholeCalls:
    FILES = {
        "requests": [
            {"features": [{"type": 11}, {"type": 4}], "pages": [1, 2]},
            {"features": [{"type": 11}]},
        ]
    }

    @pytest.mark.parametrize(
        "place", ["/v1/", "/v1/projects/p/", "/v1/projects/p/locations/eu/", "/gcv/v1/"]
    )
    @pytest.mark.parametrize(
        "call", ["files:annotate", "files:asyncBatchAnnotate", "images:asyncBatchAnnotate"]
    )
    def test_calls_about_files_and_buckets_are_forwarded(self, place: str, call: str) -> None:
        """Calls about files, and those whose answers go to a bucket, are forwarded; a page's
        features are billed."""
        incoming = Incoming("POST", place + call, "", {}, json.dumps(self.FILES).encode())
        assert DIALECT.parse(incoming) == Forward(
            call, images=5, target=place.removeprefix("/gcv") + call
        )

    @pytest.mark.parametrize(
        "place",
        ["/v1/operations/x", "/v1/projects/p/operations/x", "/a/v1/projects/p/operations/x/y"],
    )
    def test_a_question_about_an_operation_is_forwarded_unbilled(self, place: str) -> None:
        """A question about an operation is forwarded too, and is not billed."""
        assert DIALECT.parse(Incoming("GET", place, "", {}, b"")) == Forward(
            "operations:get", target=place.removeprefix("/a")
        )

    def test_calls_that_may_not_be_forwarded_are_refused(
        self, full: tuple[str, Parts], http: httpx.Client
    ) -> None:
        """If the operator allows no forwarding, such calls are refused by name under every path."""
        for call in ("files:annotate", "projects/p/locations/eu/images:asyncBatchAnnotate"):
            reply = http.post(f"{full[0]}/v1/{call}", json=self.FILES)
            assert (
                reply.status_code,
                call.rpartition("/")[2] in reply.json()["error"]["message"],
            ) == (400, True)
        reply = http.get(f"{full[0]}/v1/projects/p/operations/x")
        assert "operations:get is not handed on here" in reply.json()["error"]["message"]

    def test_an_allowed_call_reaches_the_vendor_unchanged(
        self,
        start_gateway: Callable[..., tuple[str, Parts]],
        google_client: Callable[[str, tuple[str, Parts]], vision.ImageAnnotatorClient],
        http: httpx.Client,
    ) -> None:
        """If the operator allows a call to be forwarded, the vendor gets it as it came, and the
        client gets the vendor's answer."""

        class Vendor(ExtrasProvider):
            def __init__(self) -> None:
                super().__init__()
                self.handed = []

            async def forward(self, call: ForwardCall) -> ForwardReply:
                self.handed.append(call)
                return ForwardReply(
                    200, {"content-type": "application/json"}, b'{"responses": [{"totalPages": 2}]}'
                )

        vendor, forwarding = Vendor(), {"operations": ["files:annotate", "operations:get"]}
        gateway = start_gateway(extras={"google": vendor}, forwarding=forwarding)
        answer = google_client("rest", gateway).batch_annotate_files(
            requests=[{"features": [{"type_": 11}], "pages": [1, 2]}]
        )
        assert answer.responses[0].total_pages == 2
        assert http.get(f"{gateway[0]}/v1/projects/p/operations/x").json()["responses"]
        assert [(call.method, call.target) for call in vendor.handed] == [
            ("POST", "/v1/files:annotate"),
            ("GET", "/v1/projects/p/operations/x"),
        ]

    def test_json_of_another_form_is_refused(
        self, full: tuple[str, Parts], http: httpx.Client
    ) -> None:
        """JSON of another form is refused as for any other call."""
        reply = http.post(f"{full[0]}/v1/files:annotate", content=b'{"requests": 1}')
        assert reply.json()["error"]["message"].startswith("Invalid JSON payload received.")

    def test_the_sdk_raises_on_calls_that_may_not_be_forwarded(
        self, client: vision.ImageAnnotatorClient
    ) -> None:
        """The SDK raises an error too: by REST it names the operation, by gRPC it is that of an
        unknown method."""
        with pytest.raises((exceptions.BadRequest, exceptions.MethodNotImplemented)):
            client.batch_annotate_files(requests=[{"features": [{"type_": 11}]}])


class TestMask:
    ANSWER = {
        "responses": [
            {
                "labelAnnotations": [{"description": "a", "score": 1}],
                "error": {"code": 3, "message": "x"},
            },
            {"fullTextAnnotation": {"text": "b", "pages": []}},
        ]
    }

    @pytest.mark.parametrize(
        ("fields", "selection"),
        [
            ("", ANSWER),
            ("*", ANSWER),
            ("responses", ANSWER),
            ("responses.error", {"responses": [{"error": {"code": 3, "message": "x"}}, {}]}),
            ("responses.error.code", {"responses": [{"error": {"code": 3}}, {}]}),
            (
                "responses(error/code,full_text_annotation.text)",
                {"responses": [{"error": {"code": 3}}, {"fullTextAnnotation": {"text": "b"}}]},
            ),
            (
                "responses(labelAnnotations(description),error(code,message))",
                {
                    "responses": [
                        {
                            "labelAnnotations": [{"description": "a"}],
                            "error": {"code": 3, "message": "x"},
                        },
                        {},
                    ]
                },
            ),
            (
                "responses/*/text",
                {
                    "responses": [
                        {"labelAnnotations": [{}], "error": {}},
                        {"fullTextAnnotation": {"text": "b"}},
                    ]
                },
            ),
            ("other", {}),
        ],
        ids=[
            "empty",
            "star",
            "all",
            "member",
            "nested member",
            "brackets and slash",
            "nested brackets",
            "star inside",
            "unknown",
        ],
    )
    def test_a_mask_selects_members_of_an_answer(
        self, fields: str, selection: dict[str, Any]
    ) -> None:
        """A mask selects the members that it names, with dots, slashes or brackets."""
        assert selection_of(self.ANSWER, field_mask_of(fields)) == selection

    @pytest.mark.parametrize("fields", ["a(b", "a)", "a b", "ä", "x" * 1001, "a(b))", "a;b"])
    def test_a_malformed_mask_is_a_bad_request(self, fields: str) -> None:
        """A malformed mask is a bad request."""
        with pytest.raises(BadRequest, match="Invalid field selection"):
            field_mask_of(fields)

    @pytest.mark.parametrize(
        "where",
        [
            {"params": {"fields": "responses.error"}},
            {"params": {"$fields": "responses.error"}},
            {"headers": {"X-Goog-FieldMask": "responses.error"}},
        ],
        ids=["fields", "$fields", "header"],
    )
    def test_a_mask_is_a_parameter_or_a_header(
        self, full: tuple[str, Parts], http: httpx.Client, where: dict[str, dict[str, str]]
    ) -> None:
        """A client gives a mask as a parameter or a header; each photo keeps its place."""
        body = {
            "requests": [
                features_request(["LABEL_DETECTION"]),
                features_request(["LOGO_DETECTION"]),
            ]
        }
        assert responses_of(http.post(full[0] + PATH, json=body, **where)) == [{}, {}]
