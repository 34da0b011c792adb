"""The provider `google`: its questions, and their prices."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import pytest
from pydantic import ValidationError

from providers.base import Provider
from providers.detection import Detection, Task
from providers.errors import PictureRefused
from providers.google.provider import Options
from tests.support.google_replies import PICTURE, reply_with

pytestmark = pytest.mark.sdk  # those too that only make a provider


class TestQuestions:
    """Questions to Google, by REST."""

    @pytest.mark.parametrize(
        ("task", "number"),
        [
            (Task.OBJECTS, 19),
            (Task.PEOPLE, 19),
            (Task.FACES, 1),
            (Task.TEXT, 5),
            (Task.LOGOS, 3),
            (Task.LABELS, 4),
            (Task.MODERATION, 6),
        ],
    )
    def test_a_task_is_one_feature(
        self,
        cloud: SimpleNamespace,
        ask_google: Callable[..., list[Detection]],
        task: Task,
        number: int,
    ) -> None:
        """A task is one feature, which is one image on the bill, and asks for so many results that
        none is missing."""
        cloud.reply = reply_with(safeSearchAnnotation={})
        ask_google(task)
        (call,) = cloud.requests
        (request,) = json.loads(call.body)["requests"]
        assert call.path.startswith("/v1/images:annotate")
        assert request["features"] == [{"type": number, "maxResults": 1000}]
        assert base64.b64decode(request["image"]["content"]) == PICTURE.data

    def test_words_are_asked_for_with_their_scores(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """A question about text asks for the scores of words, which TEXT_DETECTION leaves out by
        default."""
        cloud.reply = reply_with()
        ask_google(Task.TEXT)
        (request,) = json.loads(cloud.requests[0].body)["requests"]
        assert request["imageContext"]["textDetectionParams"] == {
            "enableTextDetectionConfidenceScore": True
        }

    def test_several_extras_are_one_call(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """Several extras are one call, each with its own options; their contexts become the image's
        one."""
        cloud.reply = reply_with()
        hints = {"cropHintsParams": {"aspectRatios": [0.5]}, "languageHints": ["en"]}
        products = {"productSearchParams": {"filter": "a=1&b=2"}, "languageHints": ["en"]}
        extras = [
            "CROP_HINTS?" + urlencode({"max_results": 3, "context": json.dumps(hints)}),
            "PRODUCT_SEARCH?"
            + urlencode({"model": "builtin/latest", "context": json.dumps(products)}),
            "WEB_DETECTION",
            "WEB_DETECTION?max_results=7",
        ]
        ask_google(Task.EXTRAS, extras)
        (request,) = json.loads(cloud.requests[0].body)["requests"]
        assert request["features"] == [
            {"type": 9, "maxResults": 3},
            {"type": 12, "model": "builtin/latest"},
            {"type": 10},
        ]
        assert request["imageContext"] == {**hints, **products}

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ("max_results=many", "whole number"),
            ("context={", "no JSON"),
            ("context=[]", "no JSON object"),
            ("context=" + quote('{"tongue": "en"}'), "no ImageContext"),
            ("context=" + "[" * 100_000, "no JSON"),
            ("maxResults=3", "no option maxResults"),
        ],
    )
    def test_unknown_options_are_refused_before_the_call(
        self,
        cloud: SimpleNamespace,
        ask_google: Callable[..., list[Detection]],
        options: str,
        problem: str,
    ) -> None:
        """Options that Google does not have, or values that it does not take, are refused before
        anything is asked."""
        with pytest.raises(PictureRefused, match=problem):
            ask_google(Task.EXTRAS, [f"CROP_HINTS?{options}"])
        assert not cloud.requests

    @pytest.mark.parametrize("key", [None, "AIza"])
    def test_another_endpoint_gets_only_the_key(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]], key: str | None
    ) -> None:
        """A key is sent where there is one; another endpoint than Google's gets no other
        credentials."""
        cloud.reply = reply_with()
        ask_google(api_key=key)
        headers = cloud.requests[0].headers
        assert headers["x-goog-api-key"] == key
        assert headers["Authorization"] is None

    def test_without_credentials_it_cannot_be_made(self) -> None:
        """Where there are no credentials for Google itself, the provider cannot be made, and the
        error says so."""
        program = (
            "from pathlib import Path\n"
            "from providers.google.provider import Options, create\n"
            "create('g', Options(kind='google', endpoint='eu-vision.googleapis.com'), Path('.'))"
        )
        environment = {"NO_GCE_CHECK": "true", "HOME": "/nowhere", "PATH": ""}
        process = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        assert "Misconfigured" in process.stderr
        assert "or set api_key" in process.stderr

    def test_grpc_to_plain_http_is_refused(self) -> None:
        """gRPC to an address of plain http is refused in the configuration, and the error names the
        way out."""
        with pytest.raises(ValidationError, match="transport: rest"):
            Options(kind="google", endpoint="http://127.0.0.1:9000")

    def test_pictures_by_rest_are_smaller(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """By REST a picture must be smaller than by gRPC, as base64 must fit into 10 MB too."""
        rest, grpc_ = (
            make("google", tmp_path, transport=transport, api_key="any").about.limits
            for transport in ("rest", "grpc")
        )
        assert rest.max_bytes * 4 / 3 < 10_000_000 < grpc_.max_bytes <= 20_000_000

    def test_objects_cost_more_than_text(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """Objects cost half as much again as text, unless the operator sets the price."""
        about = make("google", tmp_path, api_key="any").about
        assert [about.price_of(task).usd_per_image for task in (Task.OBJECTS, Task.TEXT)] == [
            0.00225,
            0.0015,
        ]
        assert about.price_of(Task.OBJECTS).usd_per_month(6_000_000) == pytest.approx(12_750)
        assert about.price_of(Task.LABELS).usd_per_month(6_000_000) == pytest.approx(8_500)
        about = make("google", tmp_path, api_key="any", usd_per_image=0.5).about
        assert about.price_of(Task.OBJECTS).usd_per_image == 0.5

    def test_each_extra_is_billed_once(self, make: Callable[..., Provider], tmp_path: Path) -> None:
        """Every extra is billed, once each, and each counts its own images of a month."""
        extras = ["CROP_HINTS?max_results=3", "WEB_DETECTION", "CROP_HINTS"]
        price = make("google", tmp_path, api_key="any").about.price_of(Task.EXTRAS, extras)
        assert price.usd_per_image == pytest.approx(0.005)
        assert price.usd_per_month(6_000_000) == pytest.approx(7_500 + 600 + 21_000)
        about = make("google", tmp_path, api_key="any", usd_per_image=0.5).about
        assert about.price_of(Task.EXTRAS, extras).usd_per_image == 1.0
