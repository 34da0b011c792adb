"""`/docs` and `/openapi.json`. FastAPI makes them, and is imported with the first request for one,
because the import takes as long as a quarter of the gateway's start.

The page's script and style come from the package fastapi-offline, so that the page needs no network
and tells no other host who reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from fastapi import FastAPI

STATIC = "/docs/static"
FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
PATHS = (
    "/openapi.json",
    "/docs",
    "/docs/oauth2-redirect",
    *(f"{STATIC}/{file}" for file in FILES),
)


@dataclass
class Documentation:
    """The endpoints of the documentation. `describers` add what the native API has beside
    questions about photos.

    Holds the FastAPI app that makes it, once it was asked for.
    """

    describers: Sequence[Callable[[FastAPI], None]]
    api: FastAPI | None = None

    def add_to(self, app: Starlette) -> None:
        """Adds the endpoints."""
        for path in PATHS:
            app.router.routes.append(Route(path, self, methods=["GET"], include_in_schema=False))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.api is None:
            self.api = await asyncio.to_thread(self._make_api)
        await self.api(scope, receive, send)

    def _make_api(self) -> FastAPI:
        from fastapi_offline import FastAPIOffline

        from gateway.api.resources.openapi import describe

        api: FastAPI = FastAPIOffline(
            title="ImGrid gateway", version="1", redoc_url=None, static_url=STATIC
        )
        for add in self.describers:
            add(api)
        describe(api)
        return api
