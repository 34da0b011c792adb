"""Azure Computer Vision 3.2's dialect: the requests that it accepts, and the refusals that the SDK
shows."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import repeat

import httpx
import pytest
from azure.cognitiveservices.vision.computervision import ComputerVisionClient
from azure.cognitiveservices.vision.computervision.models import (
    ComputerVisionErrorResponseException,
    Details,
    VisualFeatureTypes,
)
from msrest.universal_http.requests import ClientRetryPolicy

from gateway.core.errors import BilledUnknown, DeadLetter, DeadlineExceeded, GatewayError
from gateway.dialects.azure_v32.dialect import DIALECT
from gateway.testing.provider import ScriptedProvider
from providers.errors import Unavailable
from tests.support.azure_vision import PHOTO, content_of, refusal
from tests.support.pictures import blank

ROOT = "/vision/v3.2"
OBJECTS = {"visualFeatures": "Objects"}
FORM = b'--b\r\nContent-Disposition: form-data; name="image"%s\r\n\r\nx\r\n--b--\r\n'


class TestEndpoints:
    @pytest.mark.parametrize("suffix", ["", "/", "/azure", "/azure/", "/a/b/", "//"])
    def test_an_endpoint_may_have_a_path(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str, suffix: str
    ) -> None:
        """An endpoint may have a path, with or without a slash at its end."""
        assert azure_v32(gateway + suffix).detect_objects_in_stream(io.BytesIO(PHOTO)).objects

    @pytest.mark.parametrize(
        ("method", "operation"),
        [
            ("POST", "describe"),
            ("POST", "ocr"),
            ("POST", "generateThumbnail"),
            ("POST", "areaOfInterest"),
            ("POST", "models/celebrities/analyze"),
            ("GET", "models"),
        ],
    )
    def test_an_operation_that_no_route_serves_is_refused_by_name(
        self, gateway: str, http: httpx.Client, method: str, operation: str
    ) -> None:
        """The operations of version 3.2 that no route serves are refused by name, with those that
        are served."""
        reply = http.request(method, f"{gateway}{ROOT}/{operation}")
        message = refusal(reply, 400, "NotSupportedFeature")
        assert f"the operation {operation};" in message
        assert "analyze, detect, tag, read/analyze are served" in message

    def test_the_sdk_shows_the_refusal(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str
    ) -> None:
        """The SDK shows the refusal of an operation."""
        with pytest.raises(ComputerVisionErrorResponseException, match="operation describe"):
            azure_v32(gateway).describe_image_in_stream(io.BytesIO(PHOTO))

    def test_the_operation_is_documented_once(self, gateway: str, http: httpx.Client) -> None:
        """The OpenAPI document has the dialect once."""
        paths = content_of(http.get(f"{gateway}/openapi.json"))["paths"]
        assert [path for path in paths if path.startswith(ROOT)] == [f"{ROOT}/analyze"]


class TestFeatures:
    @pytest.mark.parametrize("feature", ["Categories", "Color", "ImageType", "Description"])
    def test_a_feature_that_no_task_answers_is_refused_by_name(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str, feature: str
    ) -> None:
        """A feature that no task answers is refused by name, with those that may be asked for."""
        with pytest.raises(
            ComputerVisionErrorResponseException,
            match="visualFeatures may be Objects, Tags, Faces, Brands, Adult",
        ) as exc_info:
            azure_v32(gateway).analyze_image_in_stream(io.BytesIO(PHOTO), ["Objects", feature])
        error = exc_info.value.error.error
        assert (error.code, error.innererror.code) == (
            "InvalidRequest",
            "NotSupportedVisualFeature",
        )
        assert f"Not served here: {feature};" in error.message

    def test_a_feature_without_a_route_is_refused(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str
    ) -> None:
        """A feature whose task no route serves is refused in the same form."""
        with pytest.raises(
            ComputerVisionErrorResponseException, match="No route serves the task faces"
        ) as exc_info:
            azure_v32(gateway).analyze_image_in_stream(
                io.BytesIO(PHOTO), [VisualFeatureTypes.faces]
            )
        assert exc_info.value.error.error.innererror.code == "NotSupportedVisualFeature"

    @pytest.mark.parametrize(
        ("query", "inner", "message"),
        [
            ({}, "NotSupportedVisualFeature", "Categories (without visualFeatures)"),
            ({"visualFeatures": "Objects,Read"}, "NotSupportedVisualFeature", "here: Read;"),
            ({"visualFeatures": ","}, "NotSupportedVisualFeature", "Categories"),
            ({**OBJECTS, "details": "Celebrities"}, "InvalidDetails", "details=Celebrities"),
            ({**OBJECTS, "language": "es"}, "NotSupportedLanguage", "'es'"),
            ({"visualFeatures": "Brands", "language": "ja"}, "NotSupportedLanguage", "'ja'"),
            ({**OBJECTS, "model-version": "2020-01-01"}, "BadArgument", "2021-05-01"),
        ],
        ids=[
            "no features",
            "unknown",
            "empty features",
            "details",
            "objects",
            "brands",
            "model-version",
        ],
    )
    def test_a_bad_query_is_refused_by_name(
        self,
        gateway: str,
        http: httpx.Client,
        query: dict[str, str],
        inner: str,
        message: str,
    ) -> None:
        """A parameter of the query that is missing or not available here is refused by name."""
        reply = http.post(f"{gateway}{ROOT}/analyze", params=query, content=PHOTO)
        assert message in refusal(reply, 400, inner)

    def test_what_the_sdk_sends_by_itself_is_accepted(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str
    ) -> None:
        """The SDK names language and model by itself, and may exclude what descriptions would
        say."""
        answer = azure_v32(gateway).analyze_image_in_stream(
            io.BytesIO(PHOTO),
            [VisualFeatureTypes.objects],
            description_exclude=[Details.celebrities],
            model_version="2021-04-01",
        )
        assert answer.objects


BAD = {
    "garbage": ("InvalidImageFormat", b"no picture at all"),
    "truncated": ("InvalidImageFormat", PHOTO[: len(PHOTO) // 2]),
    "another format": ("InvalidImageFormat", blank(100, 100, "WEBP")),
    "under 50 px": ("InvalidImageSize", blank(200, 49)),
    "no bytes": ("InvalidImageSize", b""),
    "over 4 MiB": ("InvalidImageSize", PHOTO + bytes(4 * 1024 * 1024)),
}


class TestPhotos:
    @pytest.mark.parametrize("case", BAD)
    def test_bad_photos_have_azures_codes(
        self, gateway: str, http: httpx.Client, case: str
    ) -> None:
        """Photos that Azure would refuse are refused under its codes."""
        inner, data = BAD[case]
        reply = http.post(f"{gateway}{ROOT}/analyze", params=OBJECTS, content=data)
        refusal(reply, 400, inner)

    def test_the_sdk_shows_the_fault(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str
    ) -> None:
        """The SDK shows what was wrong."""
        with pytest.raises(
            ComputerVisionErrorResponseException, match="Image format is not valid"
        ) as exc_info:
            azure_v32(gateway).detect_objects_in_stream(io.BytesIO(b"no picture at all"))
        assert exc_info.value.error.error.innererror.code == "InvalidImageFormat"

    @pytest.mark.parametrize("url", ["ftp://example.com/a.jpg", "http://169.254.169.254/a.jpg"])
    def test_a_url_that_may_not_be_fetched_is_refused(
        self, azure_v32: Callable[..., ComputerVisionClient], gateway: str, url: str
    ) -> None:
        """A URL that may not be fetched is refused as one that is not accessible."""
        with pytest.raises(ComputerVisionErrorResponseException) as exc_info:
            azure_v32(gateway).detect_objects(url)
        assert exc_info.value.error.error.innererror.code == "InvalidImageUrl"

    @pytest.mark.parametrize("body", [b"", b"{}", b'{"url": ""}', b'{"url": 1}', b"[]"])
    def test_json_without_a_url_is_refused(
        self, gateway: str, http: httpx.Client, body: bytes
    ) -> None:
        """JSON without a URL is refused with the expected form."""
        headers = {"Content-Type": "application/json"}
        reply = http.post(f"{gateway}{ROOT}/detect", headers=headers, content=body)
        assert '{"url":' in refusal(reply, 400)

    @pytest.mark.parametrize(
        ("kind", "body", "message"),
        [
            ("text/plain", PHOTO, "application/octet-stream"),
            ("multipart/form-data; boundary=b", b"x", "multipart"),
            ("multipart/form-data; boundary=b", FORM % b"", "0 files"),
        ],
        ids=["text", "no form", "no file"],
    )
    def test_a_body_without_a_photo_is_refused(
        self, gateway: str, http: httpx.Client, kind: str, body: bytes, message: str
    ) -> None:
        """A body that holds no photo is refused with what is expected."""
        headers = {"Content-Type": kind}
        reply = http.post(f"{gateway}{ROOT}/detect", headers=headers, content=body)
        assert message in refusal(reply, 400)


class TestKeys:
    def test_keys_are_those_of_the_dialect_azure(
        self, azure_v32: Callable[..., ComputerVisionClient], closed: str
    ) -> None:
        """A key of the dialect azure opens both versions."""
        answer = azure_v32(closed, "az-shop").detect_objects_in_stream(io.BytesIO(PHOTO))
        assert answer.objects

    @pytest.mark.parametrize("key", ["wrong", "key-shop"])
    def test_a_wrong_key_is_refused_as_azure_does(
        self, azure_v32: Callable[..., ComputerVisionClient], closed: str, key: str
    ) -> None:
        """A wrong key, or one of another dialect, is refused as Azure refuses it."""
        with pytest.raises(
            ComputerVisionErrorResponseException,
            match="Access denied due to invalid subscription key",
        ) as exc_info:
            azure_v32(closed, key).detect_objects_in_stream(io.BytesIO(PHOTO))
        assert exc_info.value.response.status_code == 401


class TestRetries:
    """These SDKs repeat a request by themselves after 408, and after any 5xx but 501 and 505."""

    def test_a_full_buffer_is_429_with_the_time_to_wait(
        self, serve: Callable[..., str], http: httpx.Client
    ) -> None:
        """A full buffer is 429 with the time to wait."""
        address = serve(buffer={"max_bytes": 10})
        reply = http.post(f"{address}{ROOT}/detect", content=PHOTO)
        assert (reply.status_code, reply.json()["error"]["code"]) == (429, "429")
        assert int(reply.headers["Retry-After"]) >= 1

    def test_a_failed_provider_is_not_asked_again(
        self, azure_v32: Callable[..., ComputerVisionClient], serve: Callable[..., str]
    ) -> None:
        """A call that may have been billed has a status after which no SDK sends it again."""
        client = azure_v32(
            serve(ScriptedProvider(errors=repeat(Unavailable("down"))), route={"deadline_ms": 300}),
            retries=3,
        )
        with pytest.raises(ComputerVisionErrorResponseException) as exc_info:
            client.detect_objects_in_stream(io.BytesIO(PHOTO))
        reply = exc_info.value.response
        assert reply.status_code == 501
        assert not reply.raw.retries.history
        assert exc_info.value.error.error.innererror.code == "FailedToProcess"

    @pytest.mark.parametrize("kind", [BilledUnknown, DeadlineExceeded, DeadLetter])
    def test_what_may_have_been_billed_is_not_sent_again(self, kind: type[GatewayError]) -> None:
        """An error after which something may be billed has a status that no SDK repeats, and no
        time to wait."""
        reply = DIALECT.render_error(kind("failed"))
        assert reply.status not in ClientRetryPolicy().policy.status_forcelist
        assert "Retry-After" not in reply.headers
