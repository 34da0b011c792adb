"""How long work reports its progress. The caller decides whether and how to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[], None]
"""Marks one step of a stage as done; any thread may call it."""


class Progress(Protocol):
    """Receives the stages of a long piece of work, their steps, and warnings."""

    def stage(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """A stage of `total` steps, which ends with the block."""
        ...

    def warn(self, message: str) -> None:
        """Reports what will be missing from the result."""
        ...


class NoProgress:
    """Progress that is not shown."""

    @contextmanager
    def stage(self, label: str, total: int) -> Iterator[Advance]:
        yield lambda: None

    def warn(self, message: str) -> None:
        pass
