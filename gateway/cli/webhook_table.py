"""Dead deliveries on the console."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.markup import escape
from rich.table import Table

from gateway.store.jobs import Delivery


def delivery_table(dead: Sequence[Delivery]) -> Table:
    """A row a delivery, in the order given."""
    table = Table(title=f"{len(dead)} dead deliveries")
    table.add_column("id", no_wrap=True)  # to be copied
    for column in ("tenant", "job", "event", "url", "attempts", "since", "why"):
        table.add_column(column, overflow="fold")
    for delivery in dead:
        event = delivery.kind
        if delivery.kind == "photo.settled":
            event = f"{delivery.kind} {delivery.index}"
        cells = (
            delivery.id,
            delivery.tenant,
            delivery.job,
            event,
            delivery.url,
            str(delivery.attempts),
            datetime.fromtimestamp(delivery.created_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
            delivery.last_error,
        )
        table.add_row(*map(escape, cells))
    return table
