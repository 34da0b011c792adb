"""Google's dialect over REST: the requests that it accepts, and the refusals that clients show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import repeat
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import vision
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import Resource, build
from googleapiclient.errors import HttpError

from gateway.core.errors import (
    BilledUnknown,
    BufferAway,
    Busy,
    DeadLetter,
    DeadlineExceeded,
    GatewayError,
    Stopping,
    UpstreamFailed,
)
from gateway.dialects.google.dialect import DIALECT
from gateway.testing.provider import ScriptedProvider
from providers.errors import Misconfigured, ProviderError, Throttled
from tests.support.google_vision import (
    CONTENT,
    OBJECTS_REQUEST,
    PATH,
    PHOTO,
    image_request,
    object_names,
    refusal,
    responses_of,
)


@pytest.fixture(scope="module")
def discovered() -> Iterator[Callable[[str, str], Any]]:
    """`discovered(address, key)`: the older client, made from the API's discovery document."""
    with ExitStack() as stack:

        def client(address: str, key: str) -> Resource:
            options = {"api_endpoint": address}
            return stack.enter_context(
                build("vision", "v1", developerKey=key, client_options=options)
            )

        yield client


class TestRequests:
    @pytest.mark.parametrize(
        "path",
        [
            "/v1/projects/p/images:annotate",
            "/v1/projects/p/locations/eu/images:annotate",
            "/gcv/v1/images:annotate",
            "/a/b/v1/projects/p/images:annotate",
        ],
    )
    def test_projects_locations_and_prefixes_are_served(
        self, annotate: Callable[..., httpx.Response], path: str
    ) -> None:
        """It is served for projects and their locations, and under any prefix."""
        assert responses_of(annotate(OBJECTS_REQUEST, path=path))[0]["localizedObjectAnnotations"]

    def test_the_sdks_endpoint_may_have_a_path(
        self, google: Callable[..., vision.ImageAnnotatorClient], gateway: str
    ) -> None:
        """The SDK's endpoint may have a path, and its call a parent."""
        client = google(gateway, path="/gcv")
        answer = client.batch_annotate_images(
            {"requests": [image_request(PHOTO)], "parent": "projects/p/locations/eu"}
        )
        assert object_names(answer.responses[0]) == ["red", "blue"]

    @pytest.mark.parametrize(
        "query",
        [
            "$alt=json;enum-encoding=int",
            "$alt=json%3Benum-encoding%3Dint",
            "$.xgafv=2",
            "quotaUser=me",
            "prettyPrint=false&fields=&alt=json",
        ],
    )
    def test_googles_standard_parameters_change_nothing(
        self, annotate: Callable[..., httpx.Response], query: str
    ) -> None:
        """Google's standard parameters are accepted, and change nothing."""
        assert responses_of(annotate(OBJECTS_REQUEST, path=f"{PATH}?{query}"))[0][
            "localizedObjectAnnotations"
        ]

    @pytest.mark.parametrize(
        "content",
        [
            CONTENT.rstrip("="),
            CONTENT.replace("+", "-").replace("/", "_"),
            CONTENT[:76] + "\r\n" + CONTENT[76:],
        ],
        ids=["not padded", "URL alphabet", "in lines"],
    )
    def test_both_alphabets_of_base64_are_accepted(
        self, annotate: Callable[..., httpx.Response], content: str
    ) -> None:
        """Bytes come in either alphabet of base64, padded or not, in lines or not."""
        assert responses_of(annotate({**OBJECTS_REQUEST, "image": {"content": content}}))[0][
            "localizedObjectAnnotations"
        ]

    @pytest.mark.parametrize("content", ["data:image/jpeg;base64,AAAA", "AAAAA", "é"])
    def test_bad_base64_is_refused_by_its_place(
        self, annotate: Callable[..., httpx.Response], content: str
    ) -> None:
        """Bad base64 is refused by its place, as Google's own parser does."""
        message = refusal(
            annotate(OBJECTS_REQUEST, {**OBJECTS_REQUEST, "image": {"content": content}})
        )
        assert (
            message
            == "Invalid value at 'requests[1].image.content' (TYPE_BYTES), Base64 decoding failed."
        )

    def test_content_wins_over_the_source(self, annotate: Callable[..., httpx.Response]) -> None:
        """If an image has content and a source, the content counts."""
        image = {"content": CONTENT, "source": {"imageUri": "gs://bucket/photo.jpg"}}
        assert responses_of(annotate({**OBJECTS_REQUEST, "image": image}))[0][
            "localizedObjectAnnotations"
        ]

    @pytest.mark.parametrize(
        "image",
        [{}, None, {"source": {}}, {"content": ""}, {"content": None, "source": None}],
        ids=["no members", "null", "empty source", "empty content", "null members"],
    )
    def test_an_empty_image_has_its_own_error(
        self,
        annotate: Callable[..., httpx.Response],
        image: dict[str, Any] | None,
    ) -> None:
        """An empty image has its own error."""
        (answer,) = responses_of(annotate({**OBJECTS_REQUEST, "image": image}))
        assert answer["error"]["code"] == 3

    def test_members_without_effect_are_ignored(
        self, annotate: Callable[..., httpx.Response]
    ) -> None:
        """Members that do not affect the answer are ignored: the parent, labels, contexts and
        hints."""
        request = {
            **OBJECTS_REQUEST,
            "imageContext": {"languageHints": ["en"]},
            "image_context": None,
        }
        assert responses_of(
            annotate(json={"requests": [request], "parent": "projects/p", "labels": {"a": "b"}})
        )

    @pytest.mark.parametrize(
        "body",
        [
            "[]",
            "{",
            '"',
            "null",
            '{"requests": {}}',
            '{"requests": [1]}',
            f'{{"requests": [{{"features": [{{"type": 1{"0" * 5000}}}]}}]}}',
            f'{{"requests": [{{"features": [{{"type": "{"x" * 65}"}}]}}]}}',
        ],
        ids=[
            "list",
            "cut off",
            "half a text",
            "null",
            "object of requests",
            "number as request",
            "huge number",
            "long type",
        ],
    )
    def test_json_of_another_form_is_refused(
        self, annotate: Callable[..., httpx.Response], body: str
    ) -> None:
        """JSON of another form is refused in Google's words."""
        assert refusal(annotate(content=body)).startswith("Invalid JSON payload received.")

    def test_a_request_over_10_mb_is_refused(self, annotate: Callable[..., httpx.Response]) -> None:
        """A request of over 10 MB is refused in Google's words, with the limit."""
        body = json.dumps({"requests": [OBJECTS_REQUEST], "parent": "x" * 10_485_760})
        assert (
            refusal(annotate(content=body))
            == "Request payload size exceeds the limit: 10485760 bytes."
        )


class TestDiscovery:
    """google-api-python-client."""

    def test_feature_names_and_a_key_in_the_query_are_accepted(
        self, discovered: Callable[[str, str], Any], closed: str
    ) -> None:
        """This client sends names of features, and its key in the query."""
        answer = (
            discovered(closed, "g-shop")
            .images()
            .annotate(body={"requests": [OBJECTS_REQUEST]})
            .execute()
        )
        assert [
            annotation["name"]
            for annotation in answer["responses"][0]["localizedObjectAnnotations"]
        ] == ["red", "blue"]

    def test_the_parent_may_be_in_the_path(
        self, discovered: Callable[[str, str], Any], closed: str
    ) -> None:
        """This client puts the parent into the path."""
        images = discovered(closed, "g-shop").projects().locations().images()
        answer = images.annotate(
            parent="projects/p/locations/eu", body={"requests": [OBJECTS_REQUEST]}
        ).execute()
        assert answer["responses"][0]["localizedObjectAnnotations"]

    def test_a_wrong_key_shows_why(
        self, discovered: Callable[[str, str], Any], closed: str
    ) -> None:
        """This client shows why a wrong key is refused."""
        with pytest.raises(HttpError, match="API key not valid") as exc_info:
            discovered(closed, "wrong").images().annotate(
                body={"requests": [OBJECTS_REQUEST]}
            ).execute()
        assert exc_info.value.status_code == 400


class TestKeys:
    def test_a_tenants_key_is_accepted(
        self, google: Callable[..., vision.ImageAnnotatorClient], closed: str
    ) -> None:
        """A request with a tenant's key is answered."""
        assert object_names(google(closed, "g-shop").annotate_image(image_request(PHOTO)))

    def test_a_key_may_be_a_bearer_token(
        self, google: Callable[..., vision.ImageAnnotatorClient], closed: str
    ) -> None:
        """The key may come as a bearer token."""
        assert object_names(
            google(closed, credentials=Credentials("g-shop")).annotate_image(image_request(PHOTO))
        )

    @pytest.mark.parametrize("key", ["wrong", "key-shop", "az-shop"])
    def test_a_wrong_key_is_refused_as_google_does(
        self, google: Callable[..., vision.ImageAnnotatorClient], closed: str, key: str
    ) -> None:
        """A wrong key, or one of another dialect, is refused as Google refuses it."""
        with pytest.raises(
            exceptions.BadRequest, match=r"API key not valid\. Please pass a valid API key\."
        ) as exc_info:
            google(closed, key).annotate_image(image_request(PHOTO))
        assert (exc_info.value.reason, exc_info.value.domain) == (
            "API_KEY_INVALID",
            "googleapis.com",
        )

    def test_a_missing_key_is_403_and_not_401(
        self, google: Callable[..., vision.ImageAnnotatorClient], closed: str
    ) -> None:
        """A request without a key is refused with the name of its header, with a status that makes
        no client fetch a new token."""
        with pytest.raises(exceptions.Forbidden, match="x-goog-api-key: KEY") as exc_info:
            google(closed, key="").annotate_image(image_request(PHOTO))
        assert exc_info.value.reason == "API_KEY_INVALID"

    @pytest.mark.parametrize(
        "query", ["key=g-shop", "a=b&key=g%2Dshop", "key=other&key=g-shop", "access_token=g-shop"]
    )
    def test_a_key_may_be_in_the_query(self, closed: str, http: httpx.Client, query: str) -> None:
        """The key may be in the query."""
        assert responses_of(
            http.post(f"{closed}{PATH}?{query}", json={"requests": [OBJECTS_REQUEST]})
        )

    def test_a_missing_key_is_refused_first(self, closed: str, http: httpx.Client) -> None:
        """A request without a key is refused before anything else is checked."""
        assert "unregistered callers" in refusal(
            http.post(f"{closed}{PATH}?key="), 403, "PERMISSION_DENIED"
        )
        refusal(http.post(f"{closed}{PATH}?key=wrong", content=b"{"))

    def test_a_google_key_opens_no_other_dialect(self, closed: str, http: httpx.Client) -> None:
        """A key of this dialect opens no other."""
        reply = http.post(f"{closed}/v1/detect", headers={"X-Api-Key": "g-shop"}, content=PHOTO)
        assert reply.status_code == 401


class TestFailures:
    def test_a_full_buffer_is_429_without_a_retry(
        self, google: Callable[..., vision.ImageAnnotatorClient], serve: Callable[..., str]
    ) -> None:
        """A full buffer is an exhausted resource, which the SDK does not request again."""
        with pytest.raises(exceptions.TooManyRequests):
            google(serve(buffer={"max_bytes": 10})).batch_annotate_images(
                requests=[image_request(PHOTO)]
            )

    @pytest.mark.parametrize(
        ("error", "code"),
        [(Throttled("slow down"), 8), (Misconfigured("secret details"), 13)],
        ids=["throttled", "misconfigured"],
    )
    def test_a_failed_provider_fails_each_image(
        self,
        google: Callable[..., vision.ImageAnnotatorClient],
        serve: Callable[..., str],
        error: ProviderError,
        code: int,
    ) -> None:
        """A provider that throttles or fails is an error of each of the images that were sent to
        it."""
        provider = ScriptedProvider(errors=repeat(error))
        client = google(serve(provider, route={"deadline_ms": 300}))
        answer = client.batch_annotate_images(
            requests=[image_request(PHOTO), image_request(b"no picture")]
        )
        assert [response.error.code for response in answer.responses] == [code, 3]
        assert "secret details" not in answer.responses[0].error.message

    def test_a_passed_deadline_is_the_images_error(
        self, google: Callable[..., vision.ImageAnnotatorClient], serve: Callable[..., str]
    ) -> None:
        """A deadline that passes is an error of the image too."""
        client = google(serve(ScriptedProvider(gate=asyncio.Event()), route={"deadline_ms": 200}))
        assert client.annotate_image(image_request(PHOTO)).error.code == 4

    @pytest.mark.parametrize(
        ("kind", "status", "name"),
        [
            (Busy, 429, "RESOURCE_EXHAUSTED"),
            (Stopping, 503, "UNAVAILABLE"),
            (BufferAway, 503, "UNAVAILABLE"),
            (DeadlineExceeded, 504, "DEADLINE_EXCEEDED"),
            (UpstreamFailed, 500, "INTERNAL"),
            (BilledUnknown, 500, "INTERNAL"),
            (DeadLetter, 500, "INTERNAL"),
        ],
    )
    def test_a_failed_call_has_googles_status(
        self, kind: type[GatewayError], status: int, name: str
    ) -> None:
        """A failed call has Google's status; 503, after which the SDK asks again, only if nothing
        was accepted."""
        reply = DIALECT.render_error(kind("failed"))
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["code"], error["status"], error["message"]) == (
            status,
            status,
            name,
            "failed",
        )
