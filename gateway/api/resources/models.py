"""What clients of the Open Inference Protocol ask about the server and its models; `dialects.oip`
has the inference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.resources.health import ReadinessProbe
from gateway.api.resources.tenant_endpoint import http_response, tenant_endpoint
from gateway.api.service import Service
from gateway.core.model import Tenant, Way
from gateway.core.question import TaskRequest
from gateway.dialects.json_messages import json_reply
from gateway.dialects.oip.dialect import DIALECT
from gateway.dialects.oip.models import (
    VERSION,
    model_config,
    model_metadata,
    server_metadata,
    task_of_model,
)
from gateway.security.keyring import Keyring
from providers.detection import Task

MODEL_PATHS = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")


@dataclass(frozen=True, slots=True)
class ModelsApi:
    """The endpoints. As at /healthz and /readyz, anybody may ask about the server's health, and is
    not told why it is not ready. Other keys and errors are those of the dialect `oip`."""

    service: Service
    readiness: ReadinessProbe
    keyring: Keyring

    def add_to(self, app: Starlette) -> None:
        """Adds the endpoints."""
        _add(app, "/v2/health/live", _live)
        _add(app, "/v2/health/ready", self._server_ready)
        _add(app, "/v2", self._endpoint(_server))
        for path in MODEL_PATHS:
            _add(app, path, self._endpoint(partial(self._describe, model_metadata)))
            _add(app, f"{path}/config", self._endpoint(partial(self._describe, model_config)))
            _add(app, f"{path}/ready", self._endpoint(self._model_ready))

    def _endpoint(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        return tenant_endpoint(handler, self.keyring, dialect=DIALECT)

    async def _server_ready(self, _: Request) -> Response:
        ready, _problems = await self.readiness.probe()
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def _describe(
        self, describe: Callable[[Task], dict[str, Any]], request: Request, tenant: Tenant
    ) -> Response:
        task, _ = self._model(request, tenant)
        return http_response(json_reply(200, describe(task)))

    async def _model_ready(self, request: Request, tenant: Tenant) -> Response:
        task, way = self._model(request, tenant)
        ready, problems = await self.readiness.probe()
        ready = ready and way.route.provider not in problems
        return JSONResponse({"name": task, "ready": ready}, 200 if ready else 503)

    def _model(self, request: Request, tenant: Tenant) -> tuple[Task, Way]:
        """The task of the model that a path names, and the way it is served to the tenant. Raises
        NotServed."""
        parameters = request.path_params
        task = task_of_model(parameters["model"], parameters.get("version", VERSION))
        return task, self.service.way(TaskRequest(task), tenant, "target", DIALECT.vendor)


async def _live(_: Request) -> Response:
    return JSONResponse({"live": True})


async def _server(_: Request, tenant: Tenant) -> Response:
    return http_response(json_reply(200, server_metadata()))


def _add(app: Starlette, path: str, handler: Callable[..., Any]) -> None:
    app.add_route(path, handler, methods=["GET"], include_in_schema=False)
