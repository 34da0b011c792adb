"""`GET /v1/usage`: the ledger, for a tenant its own accounts, for an operator all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.api.authenticate import head_of
from gateway.api.resources.tenant_endpoint import tenant_endpoint
from gateway.core.errors import BadRequest, NotFound
from gateway.core.model import Tenant
from gateway.dialects.native.parse import read_options
from gateway.dialects.openapi_parts import (
    SECURED,
    error_responses,
    query_parameters,
)
from gateway.dialects.query import values_of
from gateway.ledger import focus, usage
from gateway.ledger.accounts import Account, LedgerRow
from gateway.ledger.usage import FIGURES, csv_of, figures_of
from gateway.security.keyring import Keyring
from gateway.store.ledger import Ledger, LedgerQuery

if TYPE_CHECKING:
    from fastapi import FastAPI

PATH = "/v1/usage"


class UsageQuery(Struct, forbid_unknown_fields=True):
    """The query for the ledger."""

    first_day: str = field(default="", name="from")
    last_day: str = field(default="", name="to")
    by: tuple[str, ...] = ()
    tenant: str = ""
    tag: str = ""
    format: Literal["json", "csv", "focus"] = "json"


PARAMETERS = {
    "from": "The first day (2026-11-30) or month (2026-11), UTC; without it all that is kept",
    "to": "The last day or month",
    "by": f"Rows by these, with commas: {', '.join(usage.DIMENSIONS)}, tag:NAME",
    "tenant": "For operators: one tenant's accounts only",
    "tag": "Only requests with this tag, such as team=search",
    "format": "json, csv (the rows), or focus (FOCUS 1.2 as CSV, by day)",
}
_FIGURES_OUT = {name: {"type": "number"} for name in FIGURES}
_USAGE: dict[str, Any] = {
    "type": "object",
    "properties": {**_FIGURES_OUT, "rows": {"type": "array", "items": {"type": "object"}}},
    "required": list(FIGURES),
}
USAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Answered",
        "content": {
            "application/json": {"schema": _USAGE},
            "text/csv": {"schema": {"type": "string"}},
        },
    },
    # the native dialect's type, which is in every document
    **error_responses({"$ref": "#/components/schemas/Failure"}),
}


@dataclass(frozen=True, slots=True)
class UsageApi:
    """The endpoint. `kinds` are the kinds of the providers, by name."""

    ledger: Ledger
    keyring: Keyring
    kinds: Mapping[str, str]

    def add_to(self, app: Starlette) -> None:
        """Adds the endpoint."""
        endpoint = tenant_endpoint(self._usage, self.keyring, operators=True)
        route = Route(PATH, endpoint, include_in_schema=False)
        route.methods = {"GET"}  # Starlette adds HEAD
        app.router.routes.append(route)

    def describe(self, api: FastAPI) -> None:
        """Adds the endpoint's description."""
        api.get(
            PATH,
            tags=["native"],
            summary="What was answered, paid and saved for you",
            openapi_extra={
                "security": SECURED,
                "parameters": query_parameters(UsageQuery, PARAMETERS),
            },
            responses=USAGE,
            operation_id="usage",
        )(tenant_endpoint(self._usage, self.keyring, operators=True))

    async def _usage(self, request: Request, tenant: Tenant) -> Response:
        query = read_options(values_of(head_of(request).query), UsageQuery)
        by = _dimensions(query)
        rows: Sequence[LedgerRow] = await self.ledger.rows(_ledger_query(query, tenant))
        if query.tag:
            rows = [row for row in rows if usage.has_tag(row, query.tag)]
        if query.format == "focus":
            return _csv(csv_of(focus.focus_rows(rows, self.kinds), focus.COLUMNS))
        records = usage.records_of(usage.grouped(rows, by), by)
        if query.format == "csv":
            return _csv(csv_of(records, (*by, *FIGURES)))
        total: dict[str, Any] = {**figures_of(sum((row.account for row in rows), Account()))}
        return JSONResponse({**total, "rows": records} if query.by else total)


def _dimensions(query: UsageQuery) -> Sequence[str]:
    """What the rows are by. Raises BadRequest."""
    try:
        return [usage.check_dimension(name) for name in query.by]
    except ValueError as error:
        raise BadRequest(f"by: {error}.") from None


def _ledger_query(query: UsageQuery, tenant: Tenant) -> LedgerQuery:
    """The accounts that the tenant may see of those it asks for. Raises BadRequest, and NotFound
    for another tenant's."""
    try:
        first_day = usage.parse_bound(query.first_day)
        last_day = usage.parse_bound(query.last_day, is_last=True)
    except ValueError as error:
        raise BadRequest(f"from, to: {error}.") from None
    if not tenant.is_operator and query.tenant not in ("", tenant.name):
        raise NotFound(f"tenant: there is none named {query.tenant!r} whose accounts you may see.")
    return LedgerQuery(first_day, last_day, query.tenant if tenant.is_operator else tenant.name)


def _csv(text: str) -> Response:
    headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
