"""This gateway's own wire format: photos as raw bytes, multipart or JSON; the answer says where
each came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from python_multipart.multipart import parse_options_header

from gateway.core.errors import BadRequest, GatewayError
from gateway.core.exchange import Incoming, Reply
from gateway.core.model import Tenant
from gateway.core.question import Item, ItemAnswer, Question
from gateway.dialects.call_ids import MAX_ID_CHARS, marks
from gateway.dialects.credentials import holder_of
from gateway.dialects.headers import retry_after
from gateway.dialects.multipart import read_form
from gateway.dialects.native.parse import (
    _files,
    ask_of,
    key_of,
    named_in_turn,
    read_json,
    read_options,
    read_query,
    task_of,
)
from gateway.dialects.native.render import json_reply, outcome_of, photo_out
from gateway.dialects.native.schemas import MAX_PHOTOS, Answer, Body, Failure, Problem, Wanted
from gateway.dialects.openapi_parts import JSON, SECURED, answered, query_of, refused
from gateway.security.keyring import Keyring
from providers.base import Limits
from providers.detection import Task


class _Named(Struct):
    wanted: Wanted
    names: list[str]


OPTIONS = {
    "task": "what to look for",
    "min_score": "leave out what scores less",
    "max_results": "at most this many a photo, best first",
    "labels": "only these, comma-separated",
    "deadline_ms": "answer within this time; too little to wait for company means going alone",
    "quality": "exact: each photo alone; cheapest: no second question that is paid for; target",
}
"""What is said of each option."""
BINARY = {"type": "string", "format": "binary"}
KEPT = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS},
}


def _schema() -> dict[str, Any]:
    """The operation in OpenAPI's form, made from the types above so that it cannot differ from
    them."""
    refs, parts = msgspec.json.schema_components(
        [Body, Answer, Failure], ref_template="#/components/schemas/{name}"
    )
    query = query_of(Wanted, OPTIONS)
    fields = {each["name"]: each["schema"] for each in query}
    photos = {"type": "array", "items": BINARY, "minItems": 1, "maxItems": MAX_PHOTOS}
    form = {"type": "object", "properties": {"photo": photos, **fields}, "required": ["photo"]}
    return {
        "tags": ["native"],
        "summary": "What is on these photos?",
        "security": SECURED,
        "parameters": [
            *query,
            {
                **KEPT,
                "description": "the same on every try of one call, which is run and billed once",
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": BINARY},
                "image/*": {"schema": BINARY},
                "multipart/form-data": {"schema": form},
                JSON: {"schema": refs[0]},
            },
        },
        "responses": {"200": answered(refs[1]), **refused(refs[2])},
        "x-components": parts,
    }


class Native:
    """`POST /v1/detect`."""

    name = "native"
    paths = ("/v1/detect",)
    limits = Limits(
        formats=frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"}),
        turned=frozenset({"JPEG", "PNG", "WEBP"}),
    )
    openapi = _schema()

    def authenticate(self, incoming: Incoming, keyring: Keyring) -> Tenant:
        return holder_of(incoming, keyring, self.name, "X-Api-Key")

    def parse(self, incoming: Incoming) -> Question:
        kind, parameters = parse_options_header(incoming.headers.get("content-type", ""))
        body = incoming.body or b""
        if kind == b"application/json":
            if incoming.query:
                raise BadRequest(
                    "With a JSON body, options are members of it; the query must be empty."
                )
            asked = read_json(body, Body)
            wanted: Wanted = asked
            photos = [(photo.name, photo.content) for photo in asked.photos]
        elif kind == b"multipart/form-data":
            fields, photos = _files(read_form(body, parameters.get(b"boundary"), MAX_PHOTOS))
            wanted = read_options({**read_query(incoming.query), **fields}, Wanted)
        else:
            wanted, photos = read_options(read_query(incoming.query), Wanted), [("", body)]
        task, names = task_of(wanted), named_in_turn([name for name, _ in photos])
        deadline_s = wanted.deadline_ms / 1000 if wanted.deadline_ms else None
        asks = (ask_of(wanted, task),)
        items = tuple(Item(data, asks) for _, data in photos)
        return Question(items, _Named(wanted, names), deadline_s, wanted.quality)

    def render(self, question: Question, answers: Sequence[ItemAnswer]) -> Reply:
        if len(answers) == 1 and answers[0].error is not None:
            raise answers[0].error
        options: _Named = question.options
        task = Task(options.wanted.task)
        photos = [
            photo_out(
                name,
                outcome_of(answer, task),
                answer.photo.size if answer.photo else None,
                options.wanted,
            )
            for name, answer in zip(options.names, answers, strict=True)
        ]
        told = Answer(task, sum(answer.share for answer in answers), photos)
        return json_reply(200, told)

    def render_error(self, error: GatewayError) -> Reply:
        extra = retry_after(error)
        if error.status == 401:
            extra["WWW-Authenticate"] = "Bearer"
        return json_reply(error.status, Failure(Problem(error.code, str(error))), extra)

    def call_ids(self, incoming: Incoming) -> tuple[str, ...]:
        return marks(incoming, key_of(incoming))


DIALECT = Native()
