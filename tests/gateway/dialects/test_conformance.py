"""Properties of every dialect, for any request."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import errors
from gateway.core.errors import BadRequest, GatewayError, Unauthenticated
from gateway.core.exchange import Incoming
from gateway.core.model import Tenant
from gateway.core.question import Forward, JobCall
from gateway.dialects.base import Dialect
from gateway.dialects.registry import load_all
from gateway.security.keyring import KeyPair, Keyring, digest
from tests.support.examples import examples

DIALECTS = load_all()
NAMED = {
    "argnames": "dialect",
    "argvalues": DIALECTS,
    "ids": [dialect.name for dialect in DIALECTS],
}
SOME = examples(150)

TENANT = Tenant("shop", "shop")
KEYS = {"native": "k1", "azure": "k2", "google": "k3"}
KEYRING = Keyring({digest(*pair): TENANT for pair in KEYS.items()}, {"AK": KeyPair("SK", TENANT)})

text = st.text(st.characters(max_codepoint=255), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
members = st.sampled_from(
    [
        "Image",
        "Bytes",
        "S3Object",
        "MaxLabels",
        "MinConfidence",
        "Features",
        "Settings",
        "GeneralLabels",
        "Filters",
        "RegionsOfInterest",
        "BoundingBox",
        "Polygon",
        "photos",
        "content",
        "name",
        "task",
        "min_score",
        "labels",
        "url",
        "requests",
        "image",
        "source",
        "features",
        "type",
        "maxResults",
        "max_results",
        "inputs",
        "outputs",
        "datatype",
        "shape",
        "data",
        "parameters",
    ]
)
likely = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "AAAA", "objects", "%", "TEXT_DETECTION", "19"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=4),
    max_leaves=12,
)
multipart = st.lists(
    st.sampled_from(
        [
            b"--b",
            b"--b--",
            b"\r\n",
            b"\r\n\r\n",
            b"x",
            b"Content-Disposition: form-data; ",
            b'name="photo"',
            b'; filename="a"',
            b"\xff",
            b"Content-Transfer-Encoding: base64",
            b'name="labels"',
        ]
    ),
    max_size=20,
).map(b"".join)
feature_lists = st.lists(
    st.fixed_dictionaries({"type": st.integers(0, 20) | likely}, optional={"maxResults": likely})
)
images = st.fixed_dictionaries(
    {"image": st.fixed_dictionaries({"content": likely}) | likely, "features": feature_lists}
)
batches = st.fixed_dictionaries({"requests": st.lists(images | likely, max_size=18)})
bodies = st.one_of(
    st.binary(max_size=200),
    multipart,
    (json_values | likely | batches).map(lambda value: json.dumps(value).encode()),
)
kinds = st.sampled_from(
    [
        "application/json",
        "application/json; charset=x",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary*=x''%",
        "image/jpeg",
        ";",
        '"',
        'a; b="c',
        "application/octet-stream",
    ]
)
targets = st.sampled_from(["RekognitionService.DetectLabels", "RekognitionService.DetectText"])
HEADER_NAMES = (
    "authorization",
    "x-api-key",
    "ocp-apim-subscription-key",
    "x-amz-date",
    "x-amz-content-sha256",
    "host",
)
other_headers = dict.fromkeys(HEADER_NAMES, text)
lengths = st.integers(-1, 60).map(str)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": kinds | text,
        "x-amz-target": targets | text,
        "inference-header-content-length": lengths | text,
        **other_headers,
    },
)
paths = text.map("/".__add__) | st.sampled_from(
    [
        "/v2/models/objects/infer",
        "/v2/models/labels/versions/1/infer",
        "/vision/v3.2/analyze",
        "/vision/v3.2/detect",
        "/vision/v3.2/describe",
    ]
)
pairs = st.tuples(
    st.sampled_from(
        [
            "api-version",
            "features",
            "visualFeatures",
            "details",
            "language",
            "model-version",
            "model-name",
            "task",
            "labels",
        ]
    ),
    st.sampled_from(
        [
            "2023-10-01",
            "2024-02-01",
            "Objects%2C",
            "read,people",
            "tags",
            "latest",
            "en",
            "%00",
            "%ff",
        ]
    ),
)
queries = st.one_of(
    text,
    st.sampled_from(
        ["task=text&labels=a,b", "min_score=1e999", "&" * 60, "a=1&" * 60, "%ff=%", "=", "task=%00"]
    ),
    st.lists(pairs, max_size=5).map(lambda pair_list: "&".join(map("=".join, pair_list))),
    pairs.map(lambda pair: f"api-version=2023-10-01&features=objects&{'='.join(pair)}"),
    pairs.map(lambda pair: f"visualFeatures=objects&{'='.join(pair)}"),
)
requests = st.builds(Incoming, st.just("POST"), paths, queries, headers, bodies)


@pytest.mark.parametrize(**NAMED)
@given(incoming=requests)
@SOME
@pytest.mark.slow
def test_any_request_gives_a_question_or_a_gateway_error(
    dialect: Dialect, incoming: Incoming
) -> None:
    """Any request that arrives is read as a question or refused with one of the gateway's own
    errors, and both have a reply, a question without photos too."""
    try:
        question = dialect.parse(incoming)
        result = (
            isinstance(question, Forward | JobCall)
            or question.items
            or dialect.render(question, []).body
        )
    except GatewayError as error:
        result = json.loads(dialect.render_error(error).body)
    assert result


BROKEN = (
    b'{"task": "\xff", "Image": {"S3Object": {"x": "\xff"}}, '
    b'"requests": [{"image": {"content": "\xff"}}]}'
)
"""Every dialect's members, with bytes that are not UTF-8."""


@pytest.mark.parametrize(**NAMED)
def test_json_that_is_not_utf8_is_a_bad_request(
    dialect: Dialect,
) -> None:
    """JSON that is not UTF-8 is refused like any other bad request."""
    headers = {
        "content-type": "application/json",
        "x-amz-target": "RekognitionService.DetectLabels",
    }
    with pytest.raises(BadRequest):
        dialect.parse(Incoming("POST", "/", "", headers, BROKEN))


@pytest.mark.parametrize(
    "key", ["unknown", "Image", "Filters", "Settings", "photos", "requests", "inputs"]
)
@pytest.mark.parametrize("opening", [b"[", b'{"S3Object":'], ids=["lists", "objects"])
@pytest.mark.parametrize(**NAMED)
def test_too_deeply_nested_json_is_refused(
    dialect: Dialect,
    key: str,
    opening: bytes,
) -> None:
    """JSON nested deeper than a parser can go is refused like any other bad request."""
    queries = ("", "", "api-version=2023-10-01&features=read")
    for operation, query in zip(("DetectLabels", "DetectText", ""), queries, strict=True):
        kind = {
            "content-type": "application/json",
            "x-amz-target": f"RekognitionService.{operation}",
        }
        refused = False
        try:
            dialect.parse(
                Incoming("POST", "/", query, kind, f'{{"{key}":'.encode() + opening * 100_000)
            )
        except GatewayError:  # a RecursionError's report would be longer than anybody could read
            refused = True
        except RecursionError:
            pass
        assert refused


CALL_HEADERS = {
    "rekognition": "amz-sdk-invocation-id",
    "azure": "x-ms-client-request-id",
    "azure_v32": "x-ms-client-request-id",
    "native": "idempotency-key",
    "google": "x-goog-request-id",
    "oip": "idempotency-key",
}
"""The header that marks the tries of a call."""
PLAIN = ("content-type", "x-imgrid-quality", "x-imgrid-deadline-ms")
ASKS = {
    "rekognition": ("x-amz-target", "x-imgrid-quality"),
    "azure": PLAIN,
    "azure_v32": PLAIN,
    "google": PLAIN,
    "native": PLAIN,
    "oip": (*PLAIN, "inference-header-content-length"),
}
"""The other headers that change the answer."""


@pytest.mark.parametrize(**NAMED)
@given(incoming=requests, given_id=text | st.sampled_from(["x" * 255, "x" * 256, "\0", ""]))
@examples(40)
def test_any_call_id_gives_few_ids_of_one_length(
    dialect: Dialect, incoming: Incoming, given_id: str
) -> None:
    """Any call id gives at most two ids of one length, and an invalid one is refused or left
    out."""
    headers = {**incoming.headers, **dict.fromkeys(CALL_HEADERS.values(), given_id)}
    try:
        ids = dialect.call_ids(replace(incoming, headers=headers))
    except BadRequest:
        assert not 1 <= len(given_id) <= 255
        return
    assert len(ids) <= 2
    assert bool(ids) == (1 <= len(given_id) <= 255)
    assert all(len(each) == 64 for each in ids)
    assert dialect.call_ids(replace(incoming, headers=dict.fromkeys(["x-other"], given_id))) == ()


@pytest.mark.parametrize(**NAMED)
def test_a_call_id_depends_on_the_whole_request(
    dialect: Dialect,
) -> None:
    """The same id marks the same call only with the same request: the same body, query, and headers
    that change the answer."""
    headers = {
        CALL_HEADERS[dialect.name]: "id",
        "x-amz-target": "RekognitionService.DetectText",
        "x-amz-date": STAMP,
    }
    incoming = Incoming("POST", "/", "a=1", headers, b"body")
    other_requests = [
        replace(incoming, body=b"other"),
        replace(incoming, query="a=2"),
        replace(incoming, path="/other"),
        *(
            replace(incoming, headers={**headers, name: "RekognitionService.DetectLabels"})
            for name in ASKS[dialect.name]
        ),
        replace(incoming, headers={**headers, CALL_HEADERS[dialect.name]: "other"}),
    ]
    (call_id,) = dialect.call_ids(incoming)
    assert dialect.call_ids(
        replace(incoming, headers={**headers, "x-amz-date": "later", "user-agent": "x"})
    ) == (call_id,)
    assert all(
        dialect.call_ids(other_request) not in ((), (call_id,)) for other_request in other_requests
    )


STAMP = "20261121T060000Z"
signed = st.builds(
    "AWS4-HMAC-SHA256 Credential=AK/{}/r/rekognition/aws4_request, "
    "SignedHeaders=host;x-amz-date;x-amz-target{}, Signature={}".format,
    st.sampled_from(["20261121", "20260230"]),
    st.sampled_from(["", ";x-amz-content-sha256", ";;", ";authorization"]),
    st.just("0" * 64),
)


@pytest.mark.parametrize(**NAMED)
@given(incoming=requests, authorization=signed, host=text)
@SOME
@pytest.mark.slow
def test_a_caller_without_a_key_is_always_unauthenticated(
    dialect: Dialect, incoming: Incoming, authorization: str, host: str
) -> None:
    """Whatever the headers are, a caller without a key is refused as unauthenticated, and no other
    error is raised."""
    signed_headers = {
        **incoming.headers,
        "authorization": authorization,
        "x-amz-date": STAMP,
        "host": host,
    }
    for given_headers in (incoming.headers, signed_headers):
        request = Incoming("POST", incoming.path, incoming.query, given_headers, incoming.body)
        with pytest.raises(Unauthenticated):
            dialect.authenticate(request, KEYRING)


def every(error: type[GatewayError]) -> list[type[GatewayError]]:
    return [error, *(below for child in error.__subclasses__() for below in every(child))]


@pytest.mark.parametrize(**NAMED)
@pytest.mark.parametrize("kind", every(errors.GatewayError), ids=lambda kind: kind.__name__)
def test_every_error_has_a_json_body(dialect: Dialect, kind: type[GatewayError]) -> None:
    """Every error has a status of 400 or more, and a JSON body with its message."""
    reply = dialect.render_error(kind("what went wrong"))
    assert reply.status >= 400
    assert "json" in reply.headers["Content-Type"]
    assert "what went wrong" in json.dumps(json.loads(reply.body))


@pytest.mark.parametrize(**NAMED)
@pytest.mark.parametrize("kind", every(errors.GatewayError), ids=lambda kind: kind.__name__)
def test_only_client_errors_have_a_4xx_status(dialect: Dialect, kind: type[GatewayError]) -> None:
    """An error is 4xx only if the client can change or retry its request, and 5xx otherwise."""
    reply = dialect.render_error(kind("what went wrong"))
    assert (reply.status < 500) == (kind.status < 500)


@pytest.mark.parametrize(**NAMED)
def test_a_dialect_is_described_and_named_after_its_folder(
    dialect: Dialect,
) -> None:
    """Every dialect describes itself for OpenAPI, and its name is its module's."""
    assert dialect.openapi["summary"]
    assert all(path.removeprefix("GET ").startswith("/") for path in dialect.paths)
    assert type(dialect).__module__ == f"gateway.dialects.{dialect.name}.dialect"
