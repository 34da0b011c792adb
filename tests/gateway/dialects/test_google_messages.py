"""Google's dialect reads and writes the same in messages as in JSON."""

from __future__ import annotations

from typing import Any

from google.cloud import vision
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.core.exchange import Incoming
from gateway.core.model import Photo, Size
from gateway.core.question import TaskRequest
from gateway.dialects.base import Dialect
from gateway.dialects.google.dialect import DIALECT
from gateway.dialects.google.grpc import METHOD, SERVICE, GoogleGrpc
from gateway.dialects.google.request import GoogleReplyOptions
from providers.detection import Box, Detection, Landmark, Task
from tests.support.examples import examples
from tests.support.questions import answered, uniform_question

PATH = f"/{SERVICE}/{METHOD}"
MESSAGES = GoogleGrpc()

photos = st.binary(max_size=6)
features = st.builds(
    vision.Feature,
    type_=st.integers(0, 21),
    max_results=st.integers(-2, 5),
    model=st.sampled_from(["", "x"]),
)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "language_hints": st.lists(st.sampled_from(["en", "de"]), max_size=2),
        "crop_hints_params": st.just({"aspect_ratios": [0.5, 2]}),
        "web_detection_params": st.just({"include_geo_results": True}),
        "lat_long_rect": st.just({"max_lat_lng": {"longitude": -1.5}}),
        "product_search_params": st.just(
            {"product_set": "a", "bounding_poly": {"vertices": [{"x": 1}]}}
        ),
        "text_detection_params": st.just({"advanced_ocr_options": ["x"]}),
    },
)
sources = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(["gs://b/o", "ftp://x", ""])
        for name in ("image_uri", "gcs_image_uri")
    },
)
image_members = st.fixed_dictionaries({}, optional={"content": photos, "source": sources})
sdk_requests = st.builds(
    lambda image, features, context: vision.AnnotateImageRequest(
        image=image, features=features, image_context=context
    ),
    image_members,
    st.lists(features, max_size=4),
    contexts,
)


def spliced(request: vision.AnnotateImageRequest, place: int, insertion: bytes) -> bytes:
    """A valid message with foreign bytes in the middle."""
    good = vision.BatchAnnotateImagesRequest.serialize({"requests": [request]})
    return good[:place] + insertion + good[place:]


def parsed(
    dialect: Dialect | GoogleGrpc, body: bytes
) -> tuple[list[tuple[Any, tuple[TaskRequest, ...]]], Any] | str:
    """The items and options of the question that a body asks, or the error that refuses it."""
    try:
        question = dialect.parse(Incoming("POST", PATH, "", {}, body))
    except GatewayError as error:
        return repr(error)
    items = [
        (repr(item.photo) if isinstance(item.photo, GatewayError) else item.photo, item.requests)
        for item in question.items
    ]
    return items, question.options


@given(requests=st.lists(sdk_requests, max_size=17))
@examples(60)
def test_a_message_asks_the_same_as_json(requests: list[vision.AnnotateImageRequest]) -> None:
    """The same request asks the same, whether it comes as JSON or as a message."""
    batch = vision.BatchAnnotateImagesRequest(requests=requests)
    body = json_format.MessageToJson(
        vision.BatchAnnotateImagesRequest.pb(batch), use_integers_for_enums=True
    ).encode()
    assert parsed(MESSAGES, vision.BatchAnnotateImagesRequest.serialize(batch)) == parsed(
        DIALECT, body
    )


@given(
    body=st.binary(max_size=60)
    | st.builds(spliced, sdk_requests, st.integers(0, 200), st.binary(max_size=3))
)
@examples(150)
def test_any_message_gives_a_question_or_a_gateway_error(body: bytes) -> None:
    """Any message is read as a question or refused with one of the gateway's own errors."""
    assert parsed(MESSAGES, body)


numbers = st.floats(-2, 3) | st.sampled_from([float("nan"), float("inf"), -float("inf")])
boxes = st.tuples(*[numbers] * 4).map(lambda sides: Box(*sides))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
marks = st.builds(
    Landmark, st.sampled_from(["LEFT_EYE", "CHIN_GNATHION", "eyeLeft"]), numbers, numbers, numbers
)
emotions = st.dictionaries(st.sampled_from(["joy", "anger"]), numbers)
raws = st.fixed_dictionaries(
    {}, optional={"rollAngle": numbers, "joyLikelihood": st.integers(-1, 7) | words}
)
details = (
    st.just({})
    | st.fixed_dictionaries({"likelihood": st.integers(-1, 7)})
    | st.fixed_dictionaries({"vendor": st.just("google"), "raw": raws})
    | st.fixed_dictionaries({"mid": words, "topicality": numbers, "emotions": emotions})
)
detection_lists = st.lists(
    st.builds(
        Detection,
        st.sampled_from(["adult", "racy", "red"]) | words,
        numbers,
        boxes,
        kind=st.sampled_from(["LABEL", "LINE", ""]),
        key=st.integers(0, 2),
        details=details,
        landmarks=st.lists(marks, max_size=2).map(tuple),
    ),
    max_size=3,
)
tasks = st.sampled_from(
    [Task.OBJECTS, Task.LABELS, Task.LOGOS, Task.FACES, Task.MODERATION, Task.TEXT]
)


@given(
    task=tasks,
    detections=detection_lists,
    size=st.builds(Size, st.integers(1, 9000), st.integers(1, 9000)),
)
@examples(150)
def test_both_forms_of_an_answer_are_the_same(
    task: Task, detections: list[Detection], size: Size
) -> None:
    """Whatever a provider returns, both forms of the answer can be read, have no unknown member,
    and are the same; no pixel lies outside the photo."""
    photo = Photo("id", b"", "JPEG", size)
    question = uniform_question(task, [b""], options=GoogleReplyOptions(({task: 0},), {}))
    answers = [answered(photo, task, detections)]
    by_rest = vision.BatchAnnotateImagesResponse.pb()()
    body = DIALECT.render(question, answers).body
    json_format.Parse(body, by_rest, ignore_unknown_fields=False)
    assert "NaN" not in body.decode() or any("NaN" in each.label for each in detections)
    by_grpc = type(by_rest).FromString(MESSAGES.render(question, answers).body)
    assert by_grpc == by_rest
    for annotation in (
        *by_grpc.responses[0].face_annotations,
        *by_grpc.responses[0].logo_annotations,
    ):
        for point in annotation.bounding_poly.vertices:
            assert 0 <= point.x <= size.width_px
            assert 0 <= point.y <= size.height_px
