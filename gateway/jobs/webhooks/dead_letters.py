"""Dead deliveries, for people: what they are, and how they are sent again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.markup import escape
from rich.table import Table

from gateway.store.jobs import Delivery, DeliveryStore


def table(dead: Sequence[Delivery]) -> Table:
    """One row a delivery, in the order given."""
    made = Table(title=f"{len(dead)} dead deliveries")
    made.add_column("id", no_wrap=True)  # to be copied
    for column in ("tenant", "job", "event", "url", "attempts", "since", "why"):
        made.add_column(column, overflow="fold")
    for each in dead:
        event = f"{each.kind} {each.index}" if each.kind == "photo.settled" else each.kind
        since = datetime.fromtimestamp(each.created_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        cells = (
            each.id,
            each.tenant,
            each.job,
            event,
            each.url,
            str(each.attempts),
            since,
            each.last_error,
        )
        made.add_row(*map(escape, cells))
    return made


async def replay(store: DeliveryStore, ids: Sequence[str], *, everything: bool) -> int:
    """Makes these due now, or all. Raises ValueError unless it is one or the other: none named is
    not all."""
    if bool(ids) == everything:
        raise ValueError("name the deliveries to replay, or say --all")
    return await store.replay(ids)
