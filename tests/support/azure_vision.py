"""Azure Image Analysis as the tests ask it: a photo, the request about it, and its replies."""

from __future__ import annotations

from typing import Any

import httpx
from azure.ai.vision.imageanalysis.models import VisualFeatures

from gateway.testing.pictures import Block, drawn, encoded

IMAGE = drawn((400, 200), Block("red", 40, 20, 120, 180), Block("blue", 200, 50, 230, 80))
PHOTO = encoded(IMAGE, "JPEG")
"""Scores in it: red 1.0; blue (30 px) 0.75."""
OBJECTS = [VisualFeatures.OBJECTS]
PATH = "/computervision/imageanalysis:analyze"
QUERY = {"api-version": "2023-10-01", "features": "objects"}
RAW = {"Content-Type": "application/octet-stream"}


def content_of(reply: httpx.Response) -> dict[str, Any]:
    """The JSON of a reply that answers."""
    assert reply.status_code == 200, reply.text
    content: dict[str, Any] = reply.json()
    return content


def refusal(reply: httpx.Response, status: int, inner: str | None = None) -> str:
    """The message of an error in Azure's form, which no SDK is to send again."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"].startswith("application/json")
    assert "Retry-After" not in reply.headers
    error = reply.json()["error"]
    assert error["code"] == "InvalidRequest"
    assert error.get("innererror", {}).get("code") == inner
    message: str = error["message"]
    return message
