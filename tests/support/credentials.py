"""Credentials of the vendors' SDKs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from azure.core.credentials import AccessToken


@dataclass(frozen=True)
class EntraToken:
    """A credential like those of Microsoft Entra, whose token is a key."""

    key: str

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken(self.key, 2_000_000_000)
