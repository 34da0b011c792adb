"""How much of one kind of work may be under way. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Slots:
    """At most `most` pieces of work at a time. Holds how many are in flight."""

    most: int
    in_flight: int = 0

    @property
    def free_slots(self) -> int:
        """How many more may begin; below 0 where some began ahead of their slot."""
        return self.most - self.in_flight

    def take_slot(self) -> None:
        """Begins a piece of work."""
        self.in_flight += 1

    def release_slot(self) -> None:
        """Ends it."""
        self.in_flight -= 1
