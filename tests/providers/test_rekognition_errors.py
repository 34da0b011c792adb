"""The provider `rekognition`: its errors, and its readiness after them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest

from providers.base import Provider
from providers.detection import Detection, Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.rekognition.forward import SignedConnection
from providers.rekognition.provider import Options, RekognitionProvider
from providers.remote.threaded import MISCONFIGURED_FOR_S
from tests.support.rekognition_replies import EXTRAS, LABELS, PICTURE, error_reply
from tests.support.services import Reply

pytestmark = pytest.mark.sdk  # those too that only make a provider


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (error_reply("InvalidImageFormatException"), PictureRefused),
        (error_reply("ImageTooLargeException"), PictureRefused),
        (error_reply("InvalidParameterException"), PictureRefused),
        (error_reply("ThrottlingException"), Throttled),
        (error_reply("ThrottlingException", 500), Throttled),
        (error_reply("ProvisionedThroughputExceededException"), Throttled),
        (error_reply("LimitExceededException"), Throttled),
        (error_reply("InternalServerError", 500), Unavailable),
        (error_reply("AccessDeniedException"), Misconfigured),
        (error_reply("UnrecognizedClientException"), Misconfigured),
        (error_reply("InvalidSignatureException"), Misconfigured),
        ((429, {}, b""), Throttled),
        ((502, {}, b"<html>bad gateway</html>"), Unavailable),
        ((503, {}, b""), Unavailable),
        ((200, {}, b""), NoAnswer),
        ((200, {}, b"{not json"), NoAnswer),
        ((200, {}, {"Labels": [{"Name": "Dog", "Instances": [{}]}]}), NoAnswer),
    ],
)
def test_every_error_becomes_a_common_one(
    cloud: SimpleNamespace,
    ask_rekognition: Callable[..., list[Detection]],
    reply: Reply,
    error: type,
) -> None:
    """Every error becomes the common one that says what to do about it, after one call."""
    cloud.reply = reply
    with pytest.raises(error):
        ask_rekognition()
    assert len(cloud.requests) == 1


def test_a_pause_is_passed_on_in_seconds(
    cloud: SimpleNamespace, ask_rekognition: Callable[..., list[Detection]]
) -> None:
    """A throttling answer's own pause is passed on, in seconds."""
    cloud.reply = error_reply("ThrottlingException", **{"x-amz-retry-after": "1500"})
    with pytest.raises(Throttled) as raised:
        ask_rekognition()
    assert raised.value.retry_after_s == 1.5


def test_silence_may_have_been_billed(
    cloud: SimpleNamespace, ask_rekognition: Callable[..., list[Detection]]
) -> None:
    """A call that was sent and not answered in time is told apart from one that failed."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        ask_rekognition(timeout_ms=60)


def test_an_address_without_connection_is_unavailable(
    make: Callable[..., Provider], tmp_path: Path
) -> None:
    """An address that takes no connection is unavailable, and not ready."""
    provider = make(
        "rekognition", tmp_path, endpoint="http://127.0.0.1:9", access_key="any", secret_key="any"
    )
    with pytest.raises(Unavailable):
        asyncio.run(provider.ready())
    with pytest.raises(Unavailable):
        asyncio.run(provider.detect(PICTURE, Task.OBJECTS))


Steps = Callable[[RekognitionProvider, SimpleNamespace], Awaitable[None]]
Watch = Callable[[Steps], None]


class TestReady:
    """Whether the provider could be asked now."""

    @pytest.fixture
    def watch(self, cloud: SimpleNamespace) -> Watch:
        """`watch(steps)`: runs the steps with a provider and a clock that is turned by hand
        (`clock.now`)."""
        clock = SimpleNamespace(now=1000.0)
        session = boto3.Session("any", "any", region_name="us-east-1")
        client = session.client("rekognition", endpoint_url=cloud.url)
        line = SignedConnection(client, session.get_credentials(), 5, connections=1, ca_bundle=None)
        provider = RekognitionProvider(
            "aws", Options(kind="rekognition"), client, line, clock=lambda: clock.now
        )

        async def run_steps(steps: Steps) -> None:
            try:
                await steps(provider, clock)
            finally:
                await provider.close()

        return lambda steps: asyncio.run(run_steps(steps))

    async def fail(self, provider: RekognitionProvider) -> None:
        """Asks about objects, and expects an error."""
        with pytest.raises(ProviderError):
            await provider.detect(PICTURE, Task.OBJECTS)

    def test_wrong_credentials_are_not_ready_for_a_while(
        self, cloud: SimpleNamespace, watch: Watch
    ) -> None:
        """After a call that was refused as misconfigured the provider is not ready for a while, and
        says why; then it may be tried again."""
        cloud.reply = error_reply("UnrecognizedClientException")

        async def steps(provider: RekognitionProvider, clock: SimpleNamespace) -> None:
            await provider.ready()
            await self.fail(provider)
            clock.now += MISCONFIGURED_FOR_S - 1
            with pytest.raises(Misconfigured, match="said UnrecognizedClientException"):
                await provider.ready()
            clock.now += 1
            await provider.ready()

        watch(steps)

    def test_each_refusal_counts_anew(self, cloud: SimpleNamespace, watch: Watch) -> None:
        """The while begins with the last call that was refused, not with the first."""
        cloud.reply = error_reply("AccessDeniedException")

        async def steps(provider: RekognitionProvider, clock: SimpleNamespace) -> None:
            await self.fail(provider)
            clock.now += MISCONFIGURED_FOR_S
            await self.fail(provider)
            with pytest.raises(Misconfigured):
                await provider.ready()

        watch(steps)

    def test_a_later_success_makes_it_ready(self, cloud: SimpleNamespace, watch: Watch) -> None:
        """A call that is answered shows that the mistake was put right."""
        cloud.reply = error_reply("AccessDeniedException")

        async def steps(provider: RekognitionProvider, clock: SimpleNamespace) -> None:
            await self.fail(provider)
            cloud.reply = (200, {}, LABELS)
            await provider.detect(PICTURE, Task.OBJECTS)
            await provider.ready()

        watch(steps)

    def test_refused_extras_leave_it_ready(self, cloud: SimpleNamespace, watch: Watch) -> None:
        """A mistake about extras may be one client's own options, and is no reason to send no other
        client here."""
        cloud.reply = error_reply("ValidationException")

        async def steps(provider: RekognitionProvider, clock: SimpleNamespace) -> None:
            with pytest.raises(Misconfigured):
                await provider.detect(PICTURE, *EXTRAS)
            await provider.ready()

        watch(steps)

    @pytest.mark.parametrize("kind", ["ThrottlingException", "InvalidImageFormatException"])
    def test_other_failures_leave_it_ready(
        self, cloud: SimpleNamespace, watch: Watch, kind: str
    ) -> None:
        """A failure that may pass, or is the picture's own, is no reason to send no client here."""
        cloud.reply = error_reply(kind)

        async def steps(provider: RekognitionProvider, clock: SimpleNamespace) -> None:
            await self.fail(provider)
            await provider.ready()

        watch(steps)

    def test_a_task_it_does_not_serve_leaves_it_ready(self, watch: Watch) -> None:
        """A question that was never sent says nothing of credentials."""

        async def steps(provider: RekognitionProvider, clock: SimpleNamespace) -> None:
            with pytest.raises(Misconfigured):
                await provider.detect(PICTURE, Task.LOGOS)
            await provider.ready()

        watch(steps)
