"""The provider `google`: its errors by REST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from providers.base import Provider
from providers.detection import Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from tests.support.google_replies import PICTURE, error_details, error_reply, reply_with
from tests.support.providers import ask_once
from tests.support.services import Reply

pytestmark = pytest.mark.sdk  # those too that only make a provider


class TestErrors:
    """Errors of Google, by REST."""

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (error_reply(400, "Bad image data."), PictureRefused),
            (
                error_reply(400, "Request payload size exceeds the limit: 10485760 bytes."),
                PictureRefused,
            ),
            (error_reply(413, "too large"), PictureRefused),
            (error_reply(400, "Invalid JSON payload received."), Misconfigured),
            (
                error_reply(400, "API key not valid.", **error_details("API_KEY_INVALID")),
                Misconfigured,
            ),
            (
                error_reply(400, "No image for you.", **error_details("BILLING_DISABLED")),
                Misconfigured,
            ),
            (error_reply(403, "Permission denied"), Misconfigured),
            (error_reply(404, "Not found"), Misconfigured),
            (error_reply(501, "Not here"), Misconfigured),
            (error_reply(429, "Quota exceeded"), Throttled),
            (error_reply(500, "Internal error"), Unavailable),
            ((502, {}, b"<html>bad gateway</html>"), Unavailable),
            ((503, {}, b""), Unavailable),
            (error_reply(504, "Deadline exceeded"), NoAnswer),
            ((500, {}, {"error": "of another kind"}), NoAnswer),
            ((200, {}, b""), NoAnswer),
            ((200, {}, b"{not json"), NoAnswer),
            ((200, {}, {}), NoAnswer),
            ((200, {}, {"responses": []}), NoAnswer),
            (
                (200, {}, {"responses": [{"localizedObjectAnnotations": [{"name": "Dog"}]}]}),
                NoAnswer,
            ),
            ((200, {"Content-Length": 1000}, {"responses": [{}]}), NoAnswer),
            (None, NoAnswer),
        ],
    )
    def test_every_error_becomes_a_common_one(
        self,
        cloud: SimpleNamespace,
        ask_google: Callable[..., list[Detection]],
        reply: Reply,
        error: type,
    ) -> None:
        """Every error of a call becomes the common one that says what to do about it, after one
        call."""
        cloud.reply = reply
        with pytest.raises(error):
            ask_google()
        assert len(cloud.requests) == 1

    @pytest.mark.parametrize("key", [None, "AIza"])
    def test_a_401_is_misconfigured(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]], key: str | None
    ) -> None:
        """A 401 is an error of the configured credentials, whatever the SDK makes of it."""
        cloud.reply = error_reply(401, "Request had invalid authentication credentials.")
        with pytest.raises(Misconfigured):
            ask_google(api_key=key)

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            (3, PictureRefused),
            (4, NoAnswer),
            (7, Misconfigured),
            (8, Throttled),
            (13, Unavailable),
            (14, Unavailable),
            (16, Misconfigured),
        ],
    )
    def test_a_pictures_error_within_a_good_answer_stands_alone(
        self,
        cloud: SimpleNamespace,
        ask_google: Callable[..., list[Detection]],
        code: int,
        error: type,
    ) -> None:
        """An error of the one picture, within an otherwise good answer, becomes the common error
        with its message."""
        cloud.reply = reply_with(error={"code": code, "message": f"said {code}"})
        with pytest.raises(error, match=f"said {code}"):
            ask_google()

    def test_a_refused_extra_is_the_pictures_error(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """Google's refusal of an extra concerns the one question, not the whole configuration."""
        cloud.reply = error_reply(400, "aspectRatios must not be negative.")
        with pytest.raises(PictureRefused, match="aspectRatios"):
            ask_google(Task.EXTRAS, ["CROP_HINTS"])
        cloud.reply = error_reply(400, "API key not valid.", **error_details("API_KEY_INVALID"))
        with pytest.raises(Misconfigured):
            ask_google(Task.EXTRAS, ["CROP_HINTS"])

    def test_messages_are_googles_own(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """The address that the SDK puts before a message is left out."""
        cloud.reply = error_reply(403, "Permission denied")
        with pytest.raises(Misconfigured, match=r"^Permission denied$"):
            ask_google()

    def test_a_pause_is_passed_on(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """The pause that comes with a refusal is passed on."""
        cloud.reply = 429, {"Retry-After": "7"}, {}
        with pytest.raises(Throttled) as raised:
            ask_google()
        assert raised.value.retry_after_s == 7

    def test_silence_may_have_been_billed(
        self, cloud: SimpleNamespace, ask_google: Callable[..., list[Detection]]
    ) -> None:
        """A call that was sent and not answered in time is told apart from one that failed."""
        cloud.wait.clear()
        with pytest.raises(NoAnswer):
            ask_google(timeout_ms=60)

    def test_an_address_without_connection_is_unavailable(
        self, make: Callable[..., Provider], tmp_path: Path
    ) -> None:
        """An address that takes no connection is unavailable, and not ready."""
        provider = make("google", tmp_path, endpoint="http://127.0.0.1:9", transport="rest")
        with pytest.raises(Unavailable):
            asyncio.run(provider.ready())
        with pytest.raises(Unavailable):
            asyncio.run(ask_once(provider, PICTURE, Task.OBJECTS))
