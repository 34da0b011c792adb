"""Azure's dialect: the requests that it accepts, and the refusals that the SDK shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import repeat

import httpx
import pytest
from azure.ai.vision.imageanalysis import ImageAnalysisClient
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from gateway.core.errors import (
    BilledUnknown,
    BufferAway,
    Busy,
    DeadlineExceeded,
    GatewayError,
    Stopping,
    Unauthenticated,
    UpstreamThrottled,
)
from gateway.dialects.azure.dialect import DIALECT
from gateway.testing.pictures import encoded
from gateway.testing.provider import ScriptedProvider
from providers.errors import Misconfigured, ProviderError, Throttled, Unavailable
from tests.support.azure_vision import IMAGE, OBJECTS, PATH, PHOTO, QUERY, content_of, refusal
from tests.support.credentials import EntraToken
from tests.support.pictures import blank
from tests.support.web import web


class TestEndpoints:
    @pytest.mark.parametrize("suffix", ["", "/", "/azure", "/azure/", "/a/b/", "//"])
    def test_an_endpoint_may_have_a_path(
        self, azure: Callable[..., ImageAnalysisClient], gateway: str, suffix: str
    ) -> None:
        """An endpoint may have a path, with or without a slash at its end."""
        assert azure(gateway + suffix).analyze(PHOTO, OBJECTS).objects.list

    @pytest.mark.parametrize("version", ["2023-10-01", "2024-02-01"])
    def test_both_living_api_versions_are_served(
        self, azure: Callable[..., ImageAnalysisClient], gateway: str, version: str
    ) -> None:
        """Both versions of the API that Azure still runs are served."""
        assert azure(gateway, api_version=version).analyze(PHOTO, OBJECTS).objects.list

    def test_other_operations_are_404_in_json(self, analyze: Callable[..., httpx.Response]) -> None:
        """Other operations and older APIs are not found, in a form that the SDK can read."""
        for path in (
            "/vision/v3.1/analyze",
            "/computervision/retrieval:vectorizeImage",
            f"{PATH}/x",
        ):
            reply = analyze(path)
            assert reply.status_code == 404
            assert reply.headers["Content-Type"] == "application/json"

    def test_only_post_is_allowed(self, gateway: str, http: httpx.Client) -> None:
        """Any method but POST is refused."""
        reply = http.get(f"{gateway}{PATH}", params=QUERY)
        assert (reply.status_code, reply.headers["Content-Type"]) == (405, "application/json")

    def test_the_operation_is_documented_once(self, gateway: str, http: httpx.Client) -> None:
        """The OpenAPI document has the operation once."""
        paths = content_of(http.get(f"{gateway}/openapi.json"))["paths"]
        assert [path for path in paths if "imageanalysis" in path] == [PATH]


BAD = {
    "garbage": ("InvalidImageFormat", b"no picture at all"),
    "truncated": ("InvalidImageFormat", PHOTO[: len(PHOTO) // 2]),
    "another format": ("InvalidImageFormat", blank(100, 100, "PPM")),
    "under 50 px": ("InvalidImageSize", blank(200, 49)),
    "over 16000 px": ("InvalidImageSize", blank(16_001, 50)),
    "no bytes": (None, b""),
    "over 20 MiB": (None, PHOTO + bytes(20_971_521)),
}


class TestPhotos:
    @pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
    def test_azures_formats_are_accepted(
        self, azure: Callable[..., ImageAnalysisClient], gateway: str, form: str
    ) -> None:
        """The formats that Azure accepts are accepted, if they can be decoded here."""
        answer = azure(gateway).analyze(encoded(IMAGE, form), OBJECTS)
        assert answer.objects.list[0].tags[0].name == "red"

    def test_a_side_of_50_pixels_is_enough(
        self, azure: Callable[..., ImageAnalysisClient], gateway: str
    ) -> None:
        """A side of 50 pixels is enough."""
        assert azure(gateway).analyze(blank(50, 50), OBJECTS).metadata == {
            "width": 50,
            "height": 50,
        }

    @pytest.mark.parametrize("case", BAD)
    def test_bad_photos_have_azures_codes_and_words(
        self, analyze: Callable[..., httpx.Response], case: str
    ) -> None:
        """Photos that Azure would refuse are refused in its words and under its codes."""
        inner, data = BAD[case]
        message = refusal(analyze(content=data), 400, inner)
        openings = {
            "InvalidImageFormat": "Image format is not valid.",
            "InvalidImageSize": "The image dimension is not",
        }
        assert message.startswith(
            openings.get(inner, "The image size is not allowed to be zero or larger than 20971520")
        )

    def test_the_sdk_shows_the_fault_and_does_not_retry(
        self, azure: Callable[..., ImageAnalysisClient], gateway: str
    ) -> None:
        """The SDK shows what was wrong, and does not ask again."""
        responses = []
        client = azure(gateway, retry_total=10, raw_response_hook=responses.append)
        with pytest.raises(HttpResponseError, match="Image format is not valid") as exc_info:
            client.analyze(b"no picture at all", OBJECTS)
        assert exc_info.value.error.innererror["code"] == "InvalidImageFormat"
        assert len(responses) == 1

    @pytest.mark.parametrize("body", [b"", b"{}", b'{"url": ""}', b'{"url": 1}', b"[]"])
    def test_json_without_a_url_is_refused(
        self, analyze: Callable[..., httpx.Response], body: bytes
    ) -> None:
        """JSON without a URL is refused with the expected form."""
        message = refusal(analyze(headers={"Content-Type": "application/json"}, content=body), 400)
        assert '{"url":' in message

    @pytest.mark.parametrize(
        "url", ["ftp://example.com/a.jpg", "http://169.254.169.254/a.jpg", "nowhere"]
    )
    def test_a_url_that_may_not_be_fetched_is_refused(
        self, azure: Callable[..., ImageAnalysisClient], gateway: str, url: str
    ) -> None:
        """A URL that may not be fetched, or leads to no photo, is a bad request, and the SDK does
        not send it again."""
        with pytest.raises(HttpResponseError) as exc_info:
            azure(gateway).analyze_from_url(url, OBJECTS)
        assert (exc_info.value.status_code, exc_info.value.error.code) == (400, "InvalidRequest")

    @pytest.mark.parametrize(
        "kind", ["application/octet-stream; x=y", "image/jpeg", "Application/Octet-Stream"]
    )
    def test_any_type_of_bytes_or_image_is_accepted(
        self, analyze: Callable[..., httpx.Response], kind: str
    ) -> None:
        """Bytes are accepted as octets or as any image type, in any case."""
        content_of(analyze(headers={"Content-Type": kind}))

    @pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data; boundary=b"])
    def test_other_content_types_are_refused(
        self, analyze: Callable[..., httpx.Response], kind: str
    ) -> None:
        """Other content types are refused, and the right one is named."""
        assert "application/octet-stream" in refusal(analyze(headers={"Content-Type": kind}), 400)


class TestByUrl:
    def test_a_photo_at_a_url_is_fetched_and_answered(
        self, azure: Callable[..., ImageAnalysisClient], serve: Callable[..., str]
    ) -> None:
        """A photo that is given by its URL is fetched, and answered as its bytes would be."""
        with web(PHOTO) as url:
            answer = azure(serve(fetch={"allow": ["127.0.0.0/8"]})).analyze_from_url(url, OBJECTS)
        assert [item.tags[0].name for item in answer.objects.list] == ["red", "blue"]
        assert answer.metadata == {"width": 400, "height": 200}


class TestKeys:
    def test_a_tenants_key_is_accepted(
        self, azure: Callable[..., ImageAnalysisClient], closed: str
    ) -> None:
        """A request with a tenant's key is answered."""
        assert azure(closed, "az-shop").analyze(PHOTO, OBJECTS).objects.list

    def test_a_key_may_be_a_bearer_token(
        self, azure: Callable[..., ImageAnalysisClient], closed: str
    ) -> None:
        """The key may come as a bearer token."""
        assert (
            azure(closed, EntraToken("az-shop"))
            .analyze(PHOTO, OBJECTS, enforce_https=False)
            .objects.list
        )

    @pytest.mark.parametrize("key", ["wrong", "key-shop", "sk-shop"])
    def test_a_wrong_key_is_refused_as_azure_does(
        self, azure: Callable[..., ImageAnalysisClient], closed: str, key: str
    ) -> None:
        """A wrong key, or one of another dialect, is refused as Azure refuses it."""
        with pytest.raises(
            ClientAuthenticationError, match="Access denied due to invalid subscription key"
        ) as exc_info:
            azure(closed, key).analyze(PHOTO, OBJECTS)
        assert (exc_info.value.status_code, exc_info.value.error.code) == (401, "401")

    def test_an_azure_key_opens_no_other_dialect(self, closed: str, http: httpx.Client) -> None:
        """A key of this dialect opens no other."""
        reply = http.post(f"{closed}/v1/detect", headers={"X-Api-Key": "az-shop"}, content=PHOTO)
        assert reply.status_code == 401

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Ocp-Apim-Subscription-Key": ""}, {"Authorization": "Bearer"}],
        ids=["no header", "empty key", "bare Bearer"],
    )
    def test_a_missing_key_is_refused_with_its_header(
        self, closed: str, http: httpx.Client, headers: dict[str, str]
    ) -> None:
        """A request without a key is refused with the name of the header that it belongs in, before
        anything else is checked."""
        reply = http.post(f"{closed}{PATH}", headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "401")
        assert "Ocp-Apim-Subscription-Key: KEY" in reply.json()["error"]["message"]
        assert reply.headers["WWW-Authenticate"].startswith("AzureApiManagementKey realm=")


class TestRetries:
    """The SDK retries by itself after 500, 503 and 504, and after any reply with a Retry-After."""

    @pytest.fixture
    def statuses_and_error(
        self, azure: Callable[..., ImageAnalysisClient]
    ) -> Callable[[str], tuple[list[int], HttpResponseError]]:
        """`statuses_and_error(address)`: the statuses that a client with one retry got, and its
        error."""

        def ask(address: str) -> tuple[list[int], HttpResponseError]:
            statuses = []
            hook = {
                "raw_response_hook": lambda reply: statuses.append(reply.http_response.status_code)
            }
            client = azure(address, retry_total=1, retry_backoff_factor=0.01, **hook)
            with pytest.raises(HttpResponseError) as exc_info:
                client.analyze(PHOTO, OBJECTS)
            return statuses, exc_info.value

        return ask

    def test_a_full_buffer_is_429_and_tried_again(
        self,
        statuses_and_error: Callable[[str], tuple[list[int], HttpResponseError]],
        serve: Callable[..., str],
    ) -> None:
        """A full buffer is 429 with the time to wait, and the SDK tries again."""
        statuses, error = statuses_and_error(serve(buffer={"max_bytes": 10}))
        assert statuses == [429, 429]
        assert error.error.code == "429"
        assert int(error.response.headers["Retry-After"]) >= 1

    def test_a_throttling_provider_is_429_and_tried_again(
        self,
        statuses_and_error: Callable[[str], tuple[list[int], HttpResponseError]],
        serve: Callable[..., str],
    ) -> None:
        """A provider that keeps throttling is 429 too, and the SDK tries again."""
        provider = ScriptedProvider(errors=repeat(Throttled("slow down")))
        statuses, _ = statuses_and_error(serve(provider, route={"deadline_ms": 300}))
        assert statuses == [429, 429]

    @pytest.mark.parametrize(
        "error",
        [Unavailable("down"), Misconfigured("secret details")],
        ids=["unavailable", "misconfigured"],
    )
    def test_a_failed_provider_is_not_tried_again(
        self,
        statuses_and_error: Callable[[str], tuple[list[int], HttpResponseError]],
        serve: Callable[..., str],
        error: ProviderError,
    ) -> None:
        """A provider that failed for as long as there was time is not asked again, because that
        might be billed again."""
        statuses, raised = statuses_and_error(
            serve(ScriptedProvider(errors=repeat(error)), route={"deadline_ms": 300})
        )
        assert statuses == [502]
        assert raised.error.code == "InternalServerError"
        assert "secret details" not in str(raised)

    def test_a_passed_deadline_is_not_tried_again(
        self,
        statuses_and_error: Callable[[str], tuple[list[int], HttpResponseError]],
        serve: Callable[..., str],
    ) -> None:
        """A photo whose deadline has passed is not sent again."""
        statuses, _ = statuses_and_error(
            serve(ScriptedProvider(gate=asyncio.Event()), route={"deadline_ms": 200})
        )
        assert statuses == [502]

    @pytest.mark.parametrize("kind", [Busy, UpstreamThrottled, Stopping, BufferAway])
    def test_a_temporary_error_has_retry_after(self, kind: type[GatewayError]) -> None:
        """If a retry can help, a reply gives the time to wait."""
        assert int(DIALECT.render_error(kind("full")).headers["Retry-After"]) >= 1

    @pytest.mark.parametrize(
        "kind", [GatewayError, BilledUnknown, DeadlineExceeded, Unauthenticated]
    )
    def test_a_lasting_error_has_no_retry_after(self, kind: type[GatewayError]) -> None:
        """If a retry cannot help, a reply gives no time to wait."""
        assert "Retry-After" not in DIALECT.render_error(kind("failed")).headers
