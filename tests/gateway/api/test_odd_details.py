"""An answer that was paid for reaches its client, though a detail of it is of no known form; and a
forwarded call that its client leaves may be billed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from gateway.api.passthrough import Passthrough
from gateway.core.exchange import Incoming
from gateway.core.model import Route, Tenant
from gateway.core.question import Forward
from gateway.ledger.accounts import Account, AccountKey, Charges
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.base import ForwardCall, ForwardReply
from providers.detection import Box, Detection, Task
from providers.prices import Price
from thresholds.cascade import Cascade, Stage

FACE = Box(0.25, 0.25, 0.5, 0.5)
CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "faces", "provider": "eye", "stages": [{"shape": "1x1"}]}],
}


@pytest.mark.parametrize(
    ("vocabulary", "details"),
    [
        ("rekognition", {"vendor": "rekognition"}),
        ("google", {"vendor": "google", "raw": "none", "emotions": {"joy": "much"}}),
    ],
)
def test_odd_details_are_left_out(tmp_path: Path, vocabulary: Any, details: Any) -> None:
    """Details of no known form are left out of the answer, which is billed and given."""
    script = [Detection("Face", 0.75, FACE, details=details)]
    eye = ScriptedProvider(
        lambda picture, task: script, about=about(task=Task.FACES, vocabulary=vocabulary)
    )
    with serving(parts_of(tmp_path, CONFIG, {"eye": eye})) as url:
        client = boto3.client(
            "rekognition",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        output = client.detect_faces(Image={"Bytes": encoded(drawn((100, 100)))})
    assert [face["Confidence"] for face in output["FaceDetails"]] == [75.0]
    assert eye.calls == 1


async def test_a_forwarded_call_that_its_client_leaves_may_be_billed() -> None:
    """A forwarded call under way when its client leaves counts as images that may be billed."""
    charged: list[Charges] = []
    begun = asyncio.Event()

    async def send(provider: str, call: ForwardCall, timeout_s: float) -> ForwardReply:
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError("the client has left")

    route = Route(
        "extras",
        Task.EXTRAS,
        "aws",
        Cascade(stages=[Stage(shape="1x1")]),
        kind="rekognition",
        operations=frozenset({"CompareFaces"}),
    )

    async def hold(hold_id: str, key: AccountKey, account: Account, *, until: float) -> None:
        """There are no budgets."""

    def charge(charges: Charges, hold_id: str, *, at: float) -> None:
        charged.append(charges)

    prices = {"aws": Price(0.001)}
    passthrough = Passthrough([route], send, prices, hold, charge, time.time)
    call, incoming = Forward("CompareFaces", images=2), Incoming("POST", "/", "", {}, b"{}")
    tenant = Tenant("shop", "shop")
    replying = asyncio.create_task(passthrough.reply(call, incoming, tenant, "rekognition"))
    await begun.wait()
    replying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replying
    assert charged == [
        {AccountKey("shop", "", "", "extras", "aws", route.name): Account(photos=2, unknown=2)}
    ]
