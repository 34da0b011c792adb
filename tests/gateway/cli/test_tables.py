"""Tables fit a terminal of 80 columns, and what people copy from them is in one piece."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console, RenderableType

from gateway.cli.key_rows import KeyRow, key_table
from gateway.cli.stores import dead_letter_table, lane_table
from gateway.cli.usage_table import usage_table
from gateway.cli.webhook_table import delivery_table
from gateway.core.model import Lane
from gateway.ledger.accounts import Account
from gateway.ledger.usage import UsageLine
from gateway.store.codec import lane_key
from gateway.store.inspection import Backlog, DeadPhoto
from gateway.store.jobs import Delivery
from providers.detection import Task
from thresholds.shape import Shape

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SHOP = "shop-for-garden-furniture-in-europe"
JOB = "job_1k0yzn2nhndv18gm99p15zbd1q9"
ACCESS_KEY = "IGABCDEFGHIJKLMNOPQR"
LANE = Lane("rekognition-in-europe", Task.MODERATION, SHOP, Shape(5, 5))
KEYS = [
    KeyRow("tenants[10].keys[1]", SHOP, "rekognition", "in config", None, ACCESS_KEY, ()),
    KeyRow("key_1a2b3c4d", SHOP, "rekognition", "2026-11-30", NOW, ACCESS_KEY, ("eu-central-1",)),
]
DELIVERY = Delivery(
    id=f"{JOB}-999",
    tenant=SHOP,
    job=JOB,
    kind="photo.settled",
    index=999,
    url="https://shop.example/a/long/path/that/leads/to/the/receiver?with=a&query=too",
    attempts=8,
    due_at=0.0,
    created_at=NOW.timestamp(),
    last_error="the receiver answered 503 Service Unavailable after nine seconds and a half",
)
"""A delivery with everything as long as it is in practice."""
LETTER = DeadPhoto(f"{JOB}-999", SHOP, lane_key(LANE), JOB, NOW.timestamp(), 5)
ACCOUNT = Account(
    photos=12_345_678, answered=12_345_000, billed=3_456_789.25, unknown=1234.5, paid_usd=3456.7892
)


@pytest.mark.parametrize(
    ("table", "copied"),
    [
        (key_table(KEYS, NOW), ["tenants[10].keys[1]", "key_1a2b3c4d", ACCESS_KEY]),
        (delivery_table([DELIVERY, DELIVERY]), [DELIVERY.id]),
        (dead_letter_table([LETTER]), [LETTER.photo]),
        (lane_table({LANE: Backlog(12345, 0.0, 0.0, 1)}, 86400.5), ["12345", "86400.5 s"]),
        (
            usage_table([UsageLine(("2026-11-30", SHOP), ACCOUNT)], ["day", "tenant"]),
            ["12345678", "3456789.25", "3456.7892"],
        ),
    ],
    ids=["keys", "deliveries", "dead letters", "lanes", "usage"],
)
def test_a_table_fits_80_columns_and_breaks_no_key(
    table: RenderableType, copied: list[str]
) -> None:
    """No line is longer than 80 characters, and keys, ids and figures stand on one line."""
    console = Console(width=80, file=io.StringIO(), record=True, soft_wrap=True)
    console.print(table)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    for text in copied:
        assert any(text in line for line in lines), text
