"""How many examples a property is tried with."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def examples(count: int, **options: Any) -> settings:
    """Settings with `count` examples, or in a profile of fewer than hypothesis's usual 100 with the
    same share of them."""
    return settings(max_examples=max(1, count * settings().max_examples // 100), **options)
