"""A config file to change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.configs import ROUTE


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write(**changes)`: a config file that works, but for the changes; None takes a key away."""

    def make(**changes: object) -> Path:
        content = {
            "threads": 2,
            "providers": {"eye": {"kind": "shapes"}},
            "routes": [ROUTE],
            **changes,
        }
        file = tmp_path / "imgrid.yaml"
        file.write_text(
            yaml.safe_dump({key: value for key, value in content.items() if value is not None})
        )
        return file

    return make
