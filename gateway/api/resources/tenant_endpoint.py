"""Endpoints that are no questions about photos: the tenant first, then the answer, errors in a
dialect's form."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.authenticate import head_of, operator_of, tenant_of
from gateway.api.connection_register import identify
from gateway.api.intake import ClientLeft
from gateway.api.request_record import record_of
from gateway.core.errors import GatewayError
from gateway.core.exchange import Reply
from gateway.core.model import Tenant
from gateway.dialects.base import Dialect
from gateway.dialects.headers import tags_of
from gateway.dialects.native.dialect import DIALECT as NATIVE
from gateway.security.keyring import Keyring

log = logging.getLogger("imgrid")

TenantHandler = Callable[[Request, Tenant], Awaitable[Response]]
HttpHandler = Callable[[Request], Awaitable[Response]]


def tenant_endpoint(
    handler: TenantHandler,
    keyring: Keyring,
    on_refusal: Callable[[GatewayError], None] = lambda error: None,
    *,
    dialect: Dialect = NATIVE,
    operators: bool = False,
) -> HttpHandler:
    """An HTTP handler that authenticates each request and hands it to `handler` with its tenant, or
    where it serves `operators` too, with one of them.

    Keys and errors have the dialect's form; `on_refusal` is called with each GatewayError.
    """

    async def endpoint(request: Request) -> Response:
        record = record_of(request)
        record.dialect = dialect.name
        try:
            head = head_of(request)
            operator = operator_of(head, keyring) if operators else None
            tenant = operator or tenant_of(head, dialect, keyring)
            tenant = replace(tenant, tags=tags_of(head))
            record.tenant = tenant.name
            identify(request)
            return await handler(request, tenant)
        except ClientLeft:
            return Response(status_code=499)
        except GatewayError as error:
            on_refusal(error)
            record.outcome = error.code
            return http_response(dialect.render_error(error))
        except Exception:
            log.exception("a request failed")
            record.outcome = GatewayError.code
            return http_response(dialect.render_error(GatewayError()))

    return endpoint


def http_response(reply: Reply) -> Response:
    """The reply as Starlette sends it."""
    return Response(reply.body, reply.status, reply.headers)
