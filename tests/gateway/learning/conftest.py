"""The store that the tests of the learner use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.learning import LearningStore
from tests.support.learning import stores


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LearningStore]:
    async with stores(tmp_path) as (store,):
        yield store
