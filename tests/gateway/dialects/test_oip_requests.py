"""Requests of the Open Inference Protocol, to the byte."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest, Busy, NotServed
from gateway.core.exchange import Incoming
from gateway.core.question import ItemAnswer
from gateway.dialects.native.schemas import MAX_PHOTOS
from gateway.dialects.oip.dialect import DIALECT
from gateway.dialects.oip.request import LENGTH_HEADER, MAX_JSON_VALUES
from tests.support.examples import examples

PATH = "/v2/models/objects/infer"
MAX_BMP_OVERHEAD = 80
"""Bytes of a file of few pixels besides them."""


def element(content: bytes, length: int | None = None) -> bytes:
    """One element of a binary BYTES tensor, with its own length before it, or another one."""
    length = len(content) if length is None else length
    return length.to_bytes(4, "little") + content


def request(tensor: dict[str, Any], binary: bytes = b"", length: str | None = None) -> Incoming:
    """A request with that input, and after the JSON these bytes."""
    head = json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", **tensor}]}).encode()
    headers = {LENGTH_HEADER: str(len(head)) if length is None else length}
    return Incoming("POST", PATH, "", headers, head + binary)


def binary_request(binary: bytes, **tensor: Any) -> Incoming:
    """A request with a binary input."""
    return request({"parameters": {"binary_data_size": len(binary)}, **tensor}, binary)


def photos_of(incoming: Incoming) -> list[Any]:
    return [item.photo for item in DIALECT.parse(incoming).items]


photos = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


@given(contents=photos)
@examples(100)
def test_every_photo_arrives_as_it_was_sent(contents: Sequence[bytes]) -> None:
    """Photos arrive in order and to the byte, in binary and in JSON."""
    count = len(contents)
    binary = binary_request(b"".join(map(element, contents)), shape=[count, 1])
    texts = [base64.b64encode(content).decode() for content in contents]
    assert photos_of(binary) == [*contents]
    assert photos_of(request({"shape": [count], "data": texts})) == [*contents]


shapes = st.lists(
    st.sampled_from([-1, 0, 1, 2, 3, MAX_PHOTOS, 2**31, 2**63, 10**30]), max_size=5
) | st.sampled_from([[1], [2], [2, 1], [1, 1, 1, 3], [1, 2**31, 2**31, 3]])
elements = st.builds(
    element, st.binary(max_size=12), st.none() | st.sampled_from([0, 1, 5, 2**31, 2**32 - 1])
)
lengths = st.none() | st.integers(-1, 400).map(str) | st.sampled_from(["", "x", "1e3", "9" * 30])
sizes = st.none() | st.integers(-1, 60) | st.sampled_from([2**31, 2**70, 1.5, True, "7"])


@st.composite
def hostile_requests(draw: st.DrawFn) -> Incoming:
    """A request whose header, sizes, shape and elements need not fit each other."""
    binary = b"".join(draw(st.lists(elements, max_size=4))) + draw(st.binary(max_size=3))
    size = draw(st.just(len(binary)) | sizes)
    tensor = {
        "datatype": draw(st.sampled_from(["BYTES", "BYTES", "UINT8", "FP32", ""])),
        "shape": draw(shapes),
        "parameters": {} if size is None else {"binary_data_size": size},
    }
    if draw(st.booleans()):
        tensor["data"] = draw(st.lists(st.sampled_from(["", "AAAA", "!", 1, None, [], ["AAAA"]])))
    return request(tensor, binary, draw(st.none() | lengths))


@given(incoming=hostile_requests())
@examples(300)
def test_a_hostile_body_is_read_or_refused(incoming: Incoming) -> None:
    """Whatever lengths and shapes a body claims, it is read as so many photos or refused, and
    nothing is allocated for what it only claims."""
    try:
        contents = photos_of(incoming)
    except (BadRequest, NotServed):
        return
    assert 1 <= len(contents) <= MAX_PHOTOS
    assert incoming.body is not None
    assert sum(map(len, contents)) <= len(incoming.body) + MAX_BMP_OVERHEAD * len(contents)


@given(incoming=hostile_requests())
@examples(60)
@pytest.mark.slow
def test_no_hostile_body_is_a_fault_of_the_gateway(
    gateway: str, http: httpx.Client, incoming: Incoming
) -> None:
    """A gateway answers any such body, and refuses it as the client's error."""
    reply = http.post(f"{gateway}{PATH}", content=incoming.body, headers=dict(incoming.headers))
    assert reply.status_code < 500, reply.text


def test_an_element_is_bounded_by_the_body() -> None:
    """An element that claims more bytes than there are is refused by its index."""
    binary = element(b"one") + element(b"two", 2**32 - 1)
    with pytest.raises(BadRequest, match=r"image\[1\] goes beyond the 14 bytes"):
        DIALECT.parse(binary_request(binary, shape=[2]))


def test_bytes_after_the_last_element_are_refused() -> None:
    """Bytes after the last element are refused: one of the lengths must be wrong."""
    with pytest.raises(BadRequest, match="2 bytes after its 1 elements"):
        DIALECT.parse(binary_request(element(b"one") + b"xx", shape=[1]))


def test_pixels_must_fill_their_shape() -> None:
    """Pixels that are not as many as their shape needs are refused."""
    with pytest.raises(BadRequest, match=r"has 5 bytes; its shape .* needs 6"):
        DIALECT.parse(binary_request(b"abcde", datatype="UINT8", shape=[1, 1, 2, 3]))


def test_pixels_in_json_are_refused() -> None:
    """Pixels in JSON are refused, with the way out."""
    with pytest.raises(BadRequest, match="send UINT8 in binary"):
        DIALECT.parse(request({"datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 3]}))


def test_a_length_is_needed_before_binary_data() -> None:
    """A body with binary data and without the length of its JSON is no JSON."""
    incoming = binary_request(element(b"one"), shape=[1])
    with pytest.raises(BadRequest, match="not what is expected"):
        DIALECT.parse(Incoming("POST", PATH, "", {}, incoming.body))


def test_too_many_json_values_are_refused_before_they_are_read() -> None:
    """JSON with more values than any request needs is refused unread, for each takes dozens of
    bytes in memory."""
    with pytest.raises(BadRequest, match="send tensors in binary"):
        DIALECT.parse(request({"shape": [1], "data": [0] * (MAX_JSON_VALUES + 2)}))


@pytest.mark.parametrize("data", ["é", "!", 7, None, ["AAAA", "AAAA"]])
def test_text_that_is_no_base64_is_refused_by_its_index(data: Any) -> None:
    """An element in JSON that is no base64 is refused by its index."""
    with pytest.raises(BadRequest, match=r"image\[1\] is no base64"):
        DIALECT.parse(request({"shape": [2], "data": ["AAAA", data]}))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/v2/models/a%2Fb/infer", "no model 'a/b'"),
        ("/v2/models/objects/versions/7/infer", "no version '7'"),
        ("/v2/models/objects", "goes to /v2/models/MODEL/infer"),
    ],
)
def test_another_model_is_not_served(path: str, reason: str) -> None:
    """A model or version that does not exist is refused by its name, and so is another path."""
    valid = request({"shape": [1], "data": ["AAAA"]})
    with pytest.raises(NotServed, match=reason):
        DIALECT.parse(Incoming("POST", path, "", valid.headers, valid.body))


def test_a_photos_error_keeps_its_status_and_its_wait() -> None:
    """The error of one photo of several has its own status and wait, and the photo's index."""
    question = DIALECT.parse(request({"shape": [2], "data": ["AAAA", "AAAA"]}))
    answers = [ItemAnswer(None), ItemAnswer(None, refusal=Busy("all is full", 2.5))]
    reply = DIALECT.render(question, answers)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "3")
    assert json.loads(reply.body) == {"error": "image[1]: all is full"}
