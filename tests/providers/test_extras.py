"""Packages that only some configurations need."""

from __future__ import annotations

import pytest

from providers.errors import Misconfigured
from providers.extras import import_package


def test_a_missing_package_is_named_with_its_extra() -> None:
    """The error about a package that is not installed names it, the extra that brings it, and how
    to install that with and without a checkout."""
    with pytest.raises(
        Misconfigured, match=r"no_such_reader.*'imgrid-gateway\[ocr\]', or .* -e '\.\[ocr\]'"
    ):
        import_package("no_such_reader", "ocr")
