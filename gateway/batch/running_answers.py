"""Running answers over the rows of a run."""

from __future__ import annotations

from threading import Lock

from gateway.batch.aggregate import Aggregate, Estimate, PhotoAnswer
from gateway.batch.rows import Row, detections_of


class RowAggregate:
    """An aggregate that takes rows. Holds it, and a lock: one thread adds, another one reads."""

    def __init__(self, aggregate: Aggregate) -> None:
        self._aggregate = aggregate
        self._lock = Lock()

    def on_row(self, row: Row) -> None:
        error = "" if row["error"] is None else row["error"]["code"]
        answer = PhotoAnswer(row["key"], row["position"], detections_of(row), error)
        with self._lock:
            self._aggregate.add(answer)

    def done(self) -> bool:
        with self._lock:
            return self._aggregate.done()

    @property
    def counted(self) -> int:
        """The number of rows that the estimates are from."""
        return self._aggregate.counted

    def estimates(self) -> tuple[Estimate, ...]:
        """The estimates as of now."""
        with self._lock:
            return self._aggregate.estimates()
