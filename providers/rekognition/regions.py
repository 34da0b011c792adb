"""Names of AWS regions, and a hint where one is misspelt."""

from __future__ import annotations

import difflib
import re
from typing import Annotated

from pydantic import AfterValidator

FORM = re.compile(
    r"(af|ap|ca|cn|eu|il|me|mx|sa|us|eusc-de)(-gov|-iso[a-z]?)?"
    r"-(central|east|west|north(east|west)?|south(east|west)?)-\d+"
)
"""The form of a region's name. Regions that are opened later have it too."""
USUAL = (
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "ap-south-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "us-gov-west-1",
)
"""Regions that serve Rekognition, as suggestions only."""


def check_region(region: str) -> str:
    """The region. Raises ValueError with the likely one where its name is that of no region but
    similar to one; a name that resembles none is that of a service with the same API."""
    if FORM.fullmatch(region) is None:
        similar = difflib.get_close_matches(region.lower(), USUAL, n=1, cutoff=0.75)
        if similar:
            raise ValueError(f"there is no region {region!r} (did you mean {similar[0]}?)")
    return region


Region = Annotated[str, AfterValidator(check_region)]
"""A region's name, not a misspelt one."""
