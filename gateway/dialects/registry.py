"""The dialects there are, found by the entry points `imgrid.dialects`."""

from __future__ import annotations

from typing import cast

from gateway.dialects.base import Dialect, DialectSpec, ReplyWriter, RequestReader
from providers.plugins import PluginGroup, members_of

_MEMBERS = (*members_of(DialectSpec), *members_of(RequestReader), *members_of(ReplyWriter))
DIALECTS = PluginGroup("imgrid.dialects", "dialect", _MEMBERS)


def load_all() -> list[Dialect]:
    """Every dialect that is installed, by name. Raises PluginError where one cannot be used."""
    return [cast(Dialect, DIALECTS.load(name)) for name in DIALECTS.names()]
