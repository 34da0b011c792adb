"""What the native API replies, held to its form."""

from __future__ import annotations

from typing import Any

import httpx


def ok(reply: httpx.Response) -> Any:
    """The body of an answer."""
    assert reply.status_code == 200, reply.text
    return reply.json()


def problem(reply: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal."""
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), reply.text
    assert reply.headers["Content-Type"] == "application/json"
    message: str = reply.json()["error"]["message"]
    return message
