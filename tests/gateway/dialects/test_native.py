"""The gateway's own dialect."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from gateway.testing.pictures import Block, drawn, encoded
from providers.detection import Box, Detection, Landmark
from tests.support.native_replies import ok, problem

IMAGE = drawn(
    (400, 200),
    Block("green", 300, 20, 320, 40),
    Block("red", 40, 20, 120, 180),
    Block("blue", 200, 50, 230, 80),
)
PHOTO = encoded(IMAGE)
"""Scores in it: green (20 px) 0.5, red 1.0, blue (30 px) 0.75; in reading order green and red come
first."""


def labels(photo: dict[str, Any]) -> list[str]:
    return [detection["label"] for detection in photo["detections"]]


@pytest.fixture(scope="module")
def detect(gateway: str, http: httpx.Client) -> Callable[..., httpx.Response]:
    """`detect(**request)`: the reply of `POST /v1/detect`."""
    return lambda **request: http.post(f"{gateway}/v1/detect", **request)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class TestBase64:
    @pytest.mark.parametrize(
        "form",
        [
            base64.encodebytes(PHOTO).decode(),
            base64.urlsafe_b64encode(PHOTO).decode(),
            b64(PHOTO).rstrip("="),
            f"data:image/png;base64,{b64(PHOTO)}",
        ],
        ids=["line breaks", "URL-safe", "no padding", "data URL"],
    )
    def test_every_common_form_is_read(
        self, detect: Callable[..., httpx.Response], form: str
    ) -> None:
        """Base64 is read with line breaks, in the URL-safe alphabet, without padding, and as a data
        URL."""
        (photo,) = ok(detect(json={"photos": [{"content": form}]}))["photos"]
        assert sorted(labels(photo)) == ["blue", "green", "red"]

    @pytest.mark.parametrize(
        "form", ["data:image/png,abc", "data:;base64", "no base64!", "a", "é" * 9]
    )
    def test_other_text_is_refused_by_its_place(
        self, detect: Callable[..., httpx.Response], form: str
    ) -> None:
        """Text that is no base64 is refused, and the photo named."""
        photos = [{"content": b64(PHOTO)}, {"content": form}]
        message = problem(detect(json={"photos": photos}), 400, "invalid_request")
        assert message == "photos[1].content is no base64."


class TestUrls:
    def test_a_url_takes_the_place_of_content(self, detect: Callable[..., httpx.Response]) -> None:
        """A photo may be named by its URL, which goes through the egress guard."""
        message = problem(
            detect(json={"photos": [{"url": "http://127.0.0.1/one.png"}]}),
            403,
            "source_not_allowed",
        )
        assert "not allowed" in message

    @pytest.mark.parametrize("photo", [{}, {"content": "", "url": "http://shop.example/a"}])
    def test_a_photo_has_either_content_or_url(
        self, detect: Callable[..., httpx.Response], photo: dict[str, str]
    ) -> None:
        """A photo with neither, or with both, is refused."""
        message = problem(detect(json={"photos": [photo]}), 400, "invalid_request")
        assert message == "photos[0] must have content or url, and not both."


class TestScores:
    def test_faint_detections_are_left_out_by_default(
        self, http: httpx.Client, serve: Callable[..., str]
    ) -> None:
        """Without `min_score` nothing under 0.25 is returned; with 0 everything is."""
        faint = [Detection("cat", score, Box(0.1, 0.1, 0.4, 0.4)) for score in (0.24, 0.25, 0.9)]
        url = f"{serve(lambda *_: faint)}/v1/detect"
        scores = [
            [
                each["score"]
                for each in ok(http.post(url + query, content=PHOTO))["photos"][0]["detections"]
            ]
            for query in ("", "?min_score=0")
        ]
        assert scores == [[0.9, 0.25], [0.9, 0.25, 0.24]]

    def test_coordinates_have_six_digits(
        self, http: httpx.Client, serve: Callable[..., str]
    ) -> None:
        """Places are rounded to six digits, which is less than a thousandth of a pixel."""
        box = Box(1 / 3, 0.1, 2 / 3, 0.7)
        url = serve(lambda *_: [Detection("cat", 0.9, box, polygon=((1 / 3, 1 / 7),))])
        (photo,) = ok(http.post(f"{url}/v1/detect", content=PHOTO))["photos"]
        (detection,) = photo["detections"]
        assert detection["box"]["x0"] == 0.333333
        assert detection["polygon"] == [[0.333333, 0.142857]]


class TestForms:
    def test_the_bytes_of_a_photo_are_a_request(
        self, detect: Callable[..., httpx.Response]
    ) -> None:
        """A photo's bytes are a request, and need no Content-Type."""
        answer = ok(detect(content=PHOTO))
        assert answer["task"] == "objects"
        (photo,) = answer["photos"]
        assert sorted(labels(photo)) == ["blue", "green", "red"]
        assert (photo["width"], photo["height"]) == (400, 200)

    def test_a_form_is_answered_file_by_file(self, detect: Callable[..., httpx.Response]) -> None:
        """A form with several files is answered photo by photo, in its order and under its
        names."""
        files = [
            (
                "photo",
                (f"{colour}.png", encoded(drawn((200, 200), Block(colour, 20, 20, 180, 180)))),
            )
            for colour in ("red", "green", "blue", "cyan", "magenta")
        ]
        answer = ok(detect(files=files, data={"task": "objects", "labels": "red,green"}))
        assert [(photo["name"], labels(photo)) for photo in answer["photos"] if labels(photo)] == [
            ("red.png", ["red"]),
            ("green.png", ["green"]),
        ]
        assert len(answer["photos"]) == 5
        assert answer["billed"] == pytest.approx(sum(photo["billed"] for photo in answer["photos"]))

    def test_a_form_wins_over_the_query(self, detect: Callable[..., httpx.Response]) -> None:
        """The options of a form may also be in the query; if both give an option, the form's
        counts."""
        files = {"photo": ("mine.png", PHOTO)}
        (photo,) = ok(detect(files=files, params={"labels": "red", "max_results": "1"}))["photos"]
        assert labels(photo) == ["red"]
        (photo,) = ok(detect(files=files, params={"labels": "red"}, data={"labels": "blue"}))[
            "photos"
        ]
        assert labels(photo) == ["blue"]

    def test_a_json_body_holds_photos_in_base64(
        self, detect: Callable[..., httpx.Response]
    ) -> None:
        """A JSON body holds photos in base64, with optional names."""
        photos = [{"content": b64(PHOTO), "name": "mine"}, {"content": b64(PHOTO)}]
        answer = ok(detect(json={"photos": photos, "labels": ["red"], "min_score": 0.9}))
        assert [photo["name"] for photo in answer["photos"]] == ["mine", "photo-1"]
        assert [labels(photo) for photo in answer["photos"]] == [["red"], ["red"]]

    def test_boxes_are_those_of_the_upright_photo(
        self, detect: Callable[..., httpx.Response]
    ) -> None:
        """Sizes and boxes are those of the photo as people see it, turned by its EXIF."""
        for orientation in (6, 8, 3):
            (photo,) = ok(detect(content=encoded(IMAGE, "JPEG", orientation=orientation)))["photos"]
            assert (photo["width"], photo["height"]) == (400, 200)
            red = next(
                detection for detection in photo["detections"] if detection["label"] == "red"
            )
            assert red["box"] == pytest.approx(
                {"x0": 0.1, "y0": 0.1, "x1": 0.3, "y1": 0.9}, abs=0.03
            )


class TestOptions:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("min_score=0.9", ["red"]),
            ("labels=blue,green", ["blue", "green"]),
            ("labels=BLUE,Green", ["blue", "green"]),
            ("labels=blue&labels=red", ["red", "blue"]),
            ("max_results=2", ["red", "blue"]),
            ("max_results=0", []),
        ],
        ids=[
            "min_score",
            "labels",
            "labels in any case",
            "labels twice",
            "max_results",
            "no results",
        ],
    )
    def test_query_parameters_are_the_options_of_a_raw_photo(
        self, detect: Callable[..., httpx.Response], query: str, expected: list[str]
    ) -> None:
        """The options of a raw photo are query parameters; the best results come first."""
        (photo,) = ok(detect(params=query, content=PHOTO))["photos"]
        assert labels(photo) == expected

    def test_text_keeps_its_reading_order(
        self, serve: Callable[..., str], http: httpx.Client
    ) -> None:
        """Text stays in its own order, each line before its words."""
        detections = [
            Detection("a b", 0.5, Box(0.1, 0.1, 0.5, 0.2), kind="LINE", key=0),
            Detection("a", 0.4, Box(0.1, 0.1, 0.2, 0.2), kind="WORD", parent=0),
            Detection("b", 0.9, Box(0.3, 0.1, 0.5, 0.2), kind="WORD", parent=0),
        ]
        address = serve(text=lambda *_: detections)
        (photo,) = ok(http.post(f"{address}/v1/detect?task=text", content=PHOTO))["photos"]
        assert [(detection["kind"], detection["label"]) for detection in photo["detections"]] == [
            ("LINE", "a b"),
            ("WORD", "a"),
            ("WORD", "b"),
        ]

    def test_a_part_names_its_whole(self, serve: Callable[..., str], http: httpx.Client) -> None:
        """A part names its whole, and the provider's landmarks and details are passed on; what the
        provider did not give is left out."""
        mark, details = Landmark("eyeLeft", 0.25, 0.5), {"raw": {"Smile": {"Value": True}}}
        detections = [
            Detection("a", 0.5, Box(0.1, 0.1, 0.5, 0.2), key=0, details=details, landmarks=(mark,)),
            Detection("b", 0.4, Box(0.1, 0.1, 0.2, 0.2), parent=0),
        ]
        (photo,) = ok(http.post(f"{serve(lambda *_: detections)}/v1/detect", content=PHOTO))[
            "photos"
        ]
        whole, part = (
            {key: each[key] for key in each.keys() - {"label", "score", "box", "pixels"}}
            for each in photo["detections"]
        )
        assert whole == {
            "key": 0,
            "details": details,
            "landmarks": [{"name": "eyeLeft", "x": 0.25, "y": 0.5, "z": 0}],
        }
        assert part == {"parent": 0}

    def test_pixels_are_fractions_times_the_size(
        self, detect: Callable[..., httpx.Response]
    ) -> None:
        """A detection's pixels are its fractions times the photo's size."""
        (photo,) = ok(detect(content=PHOTO))["photos"]
        for detection in photo["detections"]:
            box, pixels = detection["box"], detection["pixels"]
            assert [pixels[side] for side in ("x0", "x1")] == pytest.approx(
                [400 * box[side] for side in ("x0", "x1")]
            )
            assert [pixels[side] for side in ("y0", "y1")] == pytest.approx(
                [200 * box[side] for side in ("y0", "y1")]
            )

    def test_the_trail_shows_canvases_costs_and_times(
        self, detect: Callable[..., httpx.Response]
    ) -> None:
        """The answer shows on which canvases the photo was, what they cost, and where its time
        went."""
        answer = ok(detect(json={"photos": [{"content": b64(PHOTO)}] * 4}))
        trails = [photo["trail"] for photo in answer["photos"]]
        (step,) = trails[0]
        assert {
            key: step[key] for key in ("provider", "shape", "stage", "photos", "attempts", "share")
        } == {
            "provider": "objects",
            "shape": "2x2",
            "stage": 0,
            "photos": 4,
            "attempts": 1,
            "share": 0.25,
        }
        assert step["reason"]
        assert {trail[0]["canvas"] for trail in trails} == {step["canvas"]}
        assert all(step[key] >= 0 for key in ("waited_ms", "composed_ms", "asked_ms"))
        assert answer["billed"] == 1

    @pytest.mark.parametrize("place", ["header", "query", "json"])
    def test_a_photo_has_the_deadline_that_its_client_gives(
        self, serve: Callable[..., str], http: httpx.Client, place: str
    ) -> None:
        """A photo whose own deadline leaves no time for an answer is refused, though its route's
        would, in whichever way the deadline is given."""
        address = serve(route={"max_wait_ms": 60_000, "deadline_ms": 120_000})
        request = {
            "header": {"headers": {"X-Imgrid-Deadline-Ms": "1"}, "content": PHOTO},
            "query": {"params": {"deadline_ms": "1"}, "content": PHOTO},
            "json": {"json": {"photos": [{"content": b64(PHOTO)}], "deadline_ms": 1}},
        }[place]
        problem(http.post(f"{address}/v1/detect", **request), 504, "deadline_exceeded")

    @pytest.mark.parametrize("place", ["header", "query", "form", "json"])
    def test_exact_quality_sends_a_photo_alone(
        self, serve: Callable[..., str], http: httpx.Client, place: str
    ) -> None:
        """A client may ask for its photo alone, in whichever way it asks."""
        request = {
            "header": {"headers": {"X-Imgrid-Quality": "exact"}, "content": PHOTO},
            "query": {"params": {"quality": "exact"}, "content": PHOTO},
            "form": {"data": {"quality": "exact"}, "files": {"photo": ("a", PHOTO)}},
            "json": {"json": {"photos": [{"content": b64(PHOTO)}], "quality": "exact"}},
        }[place]
        address = serve(route={"max_wait_ms": 60_000, "deadline_ms": 120_000})
        (photo,) = ok(http.post(f"{address}/v1/detect", **request))["photos"]
        assert photo["trail"][0]["shape"] == "1x1"
        assert photo["trail"][0]["waited_ms"] < 60_000


class TestErrors:
    def test_the_error_of_a_single_photo_is_the_requests(
        self, detect: Callable[..., httpx.Response]
    ) -> None:
        """A single photo's error is the request's."""
        assert "format" in problem(detect(content=b"no picture"), 400, "invalid_format")
        problem(detect(content=b""), 400, "empty_photo")

    def test_a_bad_photo_among_several_fails_alone(
        self, detect: Callable[..., httpx.Response]
    ) -> None:
        """A bad photo among several has its error in its place, and the other photos have their
        answers."""
        photos = [
            {"content": b64(data)} for data in (PHOTO, b"no picture", PHOTO[: len(PHOTO) // 2], b"")
        ]
        answer = ok(detect(json={"photos": photos}))
        assert [photo.get("error", {}).get("code") for photo in answer["photos"]] == [
            None,
            "invalid_format",
            "invalid_format",
            "empty_photo",
        ]
        assert "red" in labels(answer["photos"][0])
        assert answer["billed"] == 1

    @pytest.mark.parametrize(
        ("request_", "fault"),
        [
            ({"json": {"photos": [{"content": ""}], "min_scor": 1}}, "min_scor"),
            ({"json": {"photos": [{"content": "", "nam": ""}]}}, "nam"),
            ({"json": {"photos": [{"content": "%"}]}}, "photos[0].content"),
            ({"json": {"photos": []}}, "photos"),
            ({"json": {"photos": [{"content": ""}] * 101}}, "100"),
            ({"json": {}}, "photos"),
            ({"json": {"photos": [{"content": ""}]}, "params": "task=text"}, "query must be empty"),
            ({"json": {"photos": [{"content": ""}], "min_score": 2}}, "min_score"),
            ({"content": b"{", "headers": {"Content-Type": "application/json"}}, "JSON"),
            ({"content": b' {"photos": []}'}, "Content-Type: application/json"),
            ({"params": "min_scor=1", "content": PHOTO}, "min_scor"),
            ({"params": "min_score=much", "content": PHOTO}, "min_score"),
            ({"params": "min_score=nan", "content": PHOTO}, "min_score"),
            ({"params": "max_results=-1", "content": PHOTO}, "max_results"),
            ({"params": "deadline_ms=0", "content": PHOTO}, "deadline_ms"),
            ({"params": "deadline_ms=nan", "content": PHOTO}, "deadline_ms"),
            ({"params": "deadline_ms=600001", "content": PHOTO}, "deadline_ms"),
            (
                {"headers": {"X-Imgrid-Deadline-Ms": "soon"}, "content": PHOTO},
                "x-imgrid-deadline-ms",
            ),
            (
                {"headers": {"X-Imgrid-Deadline-Ms": "nan"}, "content": PHOTO},
                "x-imgrid-deadline-ms",
            ),
            (
                {"headers": {"X-Imgrid-Quality": "best"}, "content": PHOTO},
                "exact, target or cheapest",
            ),
            ({"params": "quality=best", "content": PHOTO}, "quality"),
            ({"files": {"photo": ("", b"x")}}, "filename"),
            ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "boundary"),
        ],
        ids=[
            "unknown member",
            "unknown member of a photo",
            "bad base64",
            "no photos",
            "101 photos",
            "empty object",
            "query beside JSON",
            "min_score over 1",
            "broken JSON",
            "JSON without its header",
            "unknown parameter",
            "min_score in words",
            "min_score nan",
            "max_results below 0",
            "deadline 0",
            "deadline nan",
            "deadline too long",
            "deadline header in words",
            "deadline header nan",
            "quality header",
            "quality parameter",
            "no file name",
            "no boundary",
        ],
    )
    def test_a_bad_request_is_refused_with_its_fault(
        self, detect: Callable[..., httpx.Response], request_: dict[str, Any], fault: str
    ) -> None:
        """A bad request is refused with a message that names the fault."""
        assert fault in problem(detect(**request_), 400, "invalid_request")

    @pytest.mark.parametrize("task", ["cats", ""])
    def test_an_unknown_task_is_refused_with_the_known_ones(
        self, detect: Callable[..., httpx.Response], task: str
    ) -> None:
        """An unknown task is refused with a list of the tasks that exist."""
        assert "objects" in problem(detect(params={"task": task}, content=PHOTO), 404, "not_served")

    def test_a_task_without_a_route_is_refused(self, detect: Callable[..., httpx.Response]) -> None:
        """A task that no route serves is refused with a list of the served tasks."""
        assert "objects" in problem(
            detect(params={"task": "faces"}, content=PHOTO), 404, "not_served"
        )

    def test_a_full_buffer_is_429_with_retry_after(
        self, serve: Callable[..., str], http: httpx.Client
    ) -> None:
        """A full buffer is 429, and Retry-After gives the seconds to wait."""
        reply = http.post(
            f"{serve(buffer={'max_photos': 1})}/v1/detect",
            json={"photos": [{"content": b64(PHOTO)}] * 2},
        )
        problem(reply, 429, "busy")
        assert int(reply.headers["Retry-After"]) >= 1


class TestKeys:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Authorization": "Bearer key-shop"},
            {"authorization": "bearer  key-shop"},
            {"X-Api-Key": "key-press"},
        ],
        ids=["bearer", "lower case", "X-Api-Key"],
    )
    def test_a_key_is_a_bearer_token_or_x_api_key(
        self, closed: str, http: httpx.Client, headers: dict[str, str | bytes]
    ) -> None:
        """A key is accepted as a bearer token or as X-Api-Key."""
        ok(http.post(f"{closed}/v1/detect", headers=headers, content=PHOTO))

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer key-sho"},
            {"Authorization": "Bearer"},
            {"Authorization": "Basic key-shop"},
            {"Authorization": "key-shop"},
            {"X-Api-Key": "sk-shop"},
            {"X-Api-Key": b"\xff\xfe"},
        ],
        ids=["no key", "cut key", "bare Bearer", "Basic", "no scheme", "secret key", "not ASCII"],
    )
    def test_a_missing_or_wrong_key_is_401(
        self, closed: str, http: httpx.Client, headers: dict[str, str | bytes]
    ) -> None:
        """A request without a valid key is refused, with the authentication scheme to use."""
        reply = http.post(f"{closed}/v1/detect", headers=headers, content=PHOTO)
        problem(reply, 401, "unauthenticated")
        assert reply.headers["WWW-Authenticate"] == "Bearer"


class TestDocument:
    def test_the_document_describes_every_dialect(self, gateway: str, http: httpx.Client) -> None:
        """The OpenAPI document describes every dialect, and contains every type that it refers
        to."""
        document = ok(http.get(f"{gateway}/openapi.json"))
        assert {"/v1/detect", "/", "/v1/usage", "/v1/routes", "/readyz"} <= set(document["paths"])
        assert {"Answer", "PhotoOut", "Found", "Trail", "Problem", "Body"} <= set(
            document["components"]["schemas"]
        )
        for ref in refs(document):
            assert ref.removeprefix("#/components/schemas/") in document["components"]["schemas"]

    def test_an_answer_has_the_documented_members(
        self, gateway: str, detect: Callable[..., httpx.Response], http: httpx.Client
    ) -> None:
        """An answer has the members that the document gives it."""
        schemas = ok(http.get(f"{gateway}/openapi.json"))["components"]["schemas"]
        answer = ok(detect(content=PHOTO))
        (photo,) = answer["photos"]
        for value, name in (
            (answer, "Answer"),
            (photo, "PhotoOut"),
            (photo["trail"][0], "Trail"),
            (photo["detections"][0], "Found"),
        ):
            assert (
                set(schemas[name].get("required", ()))
                <= set(value)
                <= set(schemas[name]["properties"])
            )

    def test_the_document_is_readable_at_docs(self, gateway: str, http: httpx.Client) -> None:
        """People can read the document at /docs."""
        assert http.get(f"{gateway}/docs").status_code == 200


def refs(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)
