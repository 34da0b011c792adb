"""The dialects that keys can be made for."""

from __future__ import annotations

from enum import StrEnum


class KeyDialect(StrEnum):
    """A dialect whose clients send a key."""

    NATIVE = "native"
    AZURE = "azure"
    GOOGLE = "google"
    REKOGNITION = "rekognition"
