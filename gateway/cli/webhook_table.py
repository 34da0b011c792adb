"""Dead deliveries on the console."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.markup import escape
from rich.table import Table

from gateway.store.jobs import Delivery


def delivery_table(dead: Sequence[Delivery]) -> Table:
    """A row a delivery, in the order given. It fits 80 columns, and no id is broken: people copy
    it."""
    table = Table(title=f"{len(dead)} dead deliveries", show_lines=len(dead) > 1)
    table.add_column("id", no_wrap=True)
    table.add_column("what, where to, and why it failed", overflow="fold")
    for delivery in dead:
        event = delivery.kind
        if delivery.kind == "photo.settled":
            event = f"{delivery.kind} {delivery.index}"
        since = datetime.fromtimestamp(delivery.created_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        lines = (
            f"{event} of {delivery.tenant}",
            delivery.job,
            delivery.url,
            f"{delivery.attempts} attempts since {since}",
            delivery.last_error,
        )
        table.add_row(escape(delivery.id), escape("\n".join(lines)))
    return table
