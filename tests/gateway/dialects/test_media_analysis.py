"""The forms of media analysis jobs are those of Rekognition's service model; manifests are read
line by line."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadFormat, BadManifest, BadRequest
from gateway.core.locations import location_of
from gateway.dialects.rekognition.media_analysis import (
    MAX_LINE_BYTES,
    MAX_LINES,
    FailureCode,
    JobStatus,
    StartMediaAnalysisJob,
    read_input,
    read_manifest,
)
from gateway.dialects.rekognition.media_analysis_output import (
    FailureDetails,
    JobState,
    LineResult,
    description_of,
    results_file,
    summary_file,
)
from tests.support.examples import examples
from tests.support.rekognition_model import MODEL, content_of

START = {
    "OperationsConfig": {"DetectModerationLabels": {"MinConfidence": 60.5}},
    "Input": {"S3Object": {"Bucket": "shop", "Name": "m.jsonl", "Version": "3"}},
    "OutputConfig": {"S3Bucket": "shop", "S3KeyPrefix": "results"},
    "JobName": "night",
}
LIMITED = {
    "ClientRequestToken": ("ClientRequestToken",),
    "JobName": ("JobName",),
    "KmsKeyId": ("KmsKeyId",),
    "MinConfidence": ("OperationsConfig", "DetectModerationLabels", "MinConfidence"),
    "Bucket": ("Input", "S3Object", "Bucket"),
    "Name": ("Input", "S3Object", "Name"),
    "Version": ("Input", "S3Object", "Version"),
    "S3Bucket": ("OutputConfig", "S3Bucket"),
    "S3KeyPrefix": ("OutputConfig", "S3KeyPrefix"),
}
"""The members that the model limits, by their paths."""


def start_of(**changes: Any) -> StartMediaAnalysisJob:
    request = read_input("StartMediaAnalysisJob", json.dumps({**START, **changes}).encode())
    assert isinstance(request, StartMediaAnalysisJob)
    return request


def with_member(path: tuple[str, ...], value: Any) -> bytes:
    """The body of a start with one member changed."""
    body = json.loads(json.dumps(START))
    container = body
    for name in path[:-1]:
        container = container[name]
    container[path[-1]] = value
    return json.dumps(body).encode()


def limits_of(path: tuple[str, ...]) -> tuple[Any, Any]:
    """The least and the greatest value of a member by the service model."""
    shape = MODEL.operation_model("StartMediaAnalysisJob").input_shape
    for name in path:
        shape = shape.members[name]
    least, most = shape.metadata.get("min", 0), shape.metadata["max"]
    return (least, most) if shape.type_name == "float" else ("a" * least, "a" * most)


class TestRequests:
    @pytest.mark.parametrize("path", LIMITED.values(), ids=LIMITED)
    def test_a_member_has_the_models_limits(self, path: tuple[str, ...]) -> None:
        """A member takes the least and the greatest value of the model, and nothing beyond."""
        least, most = limits_of(path)
        for value in (least, most):
            read_input("StartMediaAnalysisJob", with_member(path, value))
        beyond = [most + "a"] if isinstance(most, str) else [least - 1, most + 1]
        beyond += [""] if least else []
        for value in beyond:
            with pytest.raises(BadRequest):
                read_input("StartMediaAnalysisJob", with_member(path, value))

    @pytest.mark.parametrize("member", ["OperationsConfig", "Input", "OutputConfig"])
    def test_the_models_members_are_required(self, member: str) -> None:
        """What the model requires is required."""
        assert member in MODEL.operation_model("StartMediaAnalysisJob").input_shape.required_members
        body = {name: value for name, value in START.items() if name != member}
        with pytest.raises(BadRequest, match=member):
            read_input("StartMediaAnalysisJob", json.dumps(body).encode())

    def test_statuses_and_codes_are_the_models(self) -> None:
        """Statuses are some of the model's, and the codes of failures all of them."""
        members = MODEL.operation_model("GetMediaAnalysisJob").output_shape.members
        assert set(get_args(JobStatus)) <= set(members["Status"].enum)
        assert [*get_args(FailureCode)] == members["FailureDetails"].members["Code"].enum

    @pytest.mark.parametrize(
        ("prefix", "key"),
        [("", "j/r"), ("a", "a/j/r"), ("a/", "a/j/r"), ("a/b", "a/b/j/r"), ("/", "/j/r")],
    )
    def test_results_have_a_folder_for_each_job(self, prefix: str, key: str) -> None:
        """The key of a file is the prefix, the job's id and the file's name, with one slash
        between."""
        config = start_of(OutputConfig={"S3Bucket": "shop", "S3KeyPrefix": prefix}).output_config
        assert config.key("j", "r") == key


class TestDescriptions:
    @pytest.mark.parametrize(
        "state",
        [
            JobState("QUEUED", 1.5),
            JobState("SUCCEEDED", 1.5, 2.5, model_version="7.0"),
            JobState("FAILED", 1.5, 2.5, FailureDetails("ACCESS_DENIED", "no")),
        ],
        ids=lambda state: state.status,
    )
    def test_a_description_has_the_models_members_only(self, state: JobState) -> None:
        """What is sent has the members of the model, and the request's members as they came."""
        answer = msgspec.json.decode(
            msgspec.json.encode(description_of("job_1", start_of(), state)), type=dict[str, Any]
        )
        content_of("GetMediaAnalysisJob", answer)
        assert {name: answer[name] for name in START} == START
        assert ("Results" in answer) == (state.status == "SUCCEEDED")
        assert ("FailureDetails" in answer) == (state.status == "FAILED")


class TestManifests:
    @given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    @examples(200)
    def test_any_bytes_are_lines_or_no_manifest(self, data: bytes) -> None:
        """Whatever the bytes, each line is a photo or has its error, or the manifest is refused."""
        try:
            photos = read_manifest(data)
        except BadManifest:
            assert not data.strip()
            return
        assert len(photos) == data.removesuffix(b"\n").count(b"\n") + 1
        assert all(
            isinstance(photo.url, BadManifest) or photo.url.startswith("s3://") for photo in photos
        )

    @given(key=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
    @examples(200)
    def test_a_key_is_read_as_it_is(self, key: str) -> None:
        """A key in a manifest is not percent-encoded: all its characters are the key's."""
        line = json.dumps({"source-ref": f"s3://shop/{key}", "label": 1}).encode()
        if len(key.encode()) > 1024 or {".", ".."} & {*key.replace("\\", "/").split("/")}:
            return
        (photo,) = read_manifest(line)
        assert isinstance(photo.url, str)
        assert (location_of(photo.url).bucket, location_of(photo.url).key) == ("shop", key)

    def test_a_long_line_fails_alone(self) -> None:
        """A line over the limit is not parsed, and costs the others nothing."""
        long = json.dumps({"source-ref": "s3://shop/a", "x": "x" * MAX_LINE_BYTES}).encode()
        photos = read_manifest(long + b'\n{"source-ref": "s3://shop/b"}\r\n')
        assert isinstance(photos[0].url, BadManifest)
        assert str(photos[0].url) == f"Line 1 is longer than {MAX_LINE_BYTES} bytes."
        assert photos[1].url == "s3://shop/b"

    def test_a_manifest_may_have_as_many_lines_as_documented(self) -> None:
        """A manifest may have MAX_LINES lines, with or without a newline at its end."""
        line = b'{"source-ref": "s3://shop/a"}\n'
        assert len(read_manifest(line * MAX_LINES)) == MAX_LINES
        with pytest.raises(BadManifest, match=f"1 to {MAX_LINES}"):
            read_manifest(line * MAX_LINES + b"x")


class TestFiles:
    LINES = (
        LineResult(1, "s3://shop/a", {"ModerationLabels": []}),
        LineResult(2, "s3://shop/b", BadFormat("no picture")),
        LineResult(3, "", BadManifest("no line")),
    )

    def test_a_line_has_its_answer_or_its_error(self) -> None:
        """A line of the results has the answer or the error of one photo."""
        assert [json.loads(row) for row in results_file(self.LINES).splitlines()] == [
            {"source-ref": "s3://shop/a", "detect-moderation-labels": {"ModerationLabels": []}},
            {
                "source-ref": "s3://shop/b",
                "error": {"code": "InvalidImageFormatException", "message": "no picture"},
            },
        ]

    def test_the_summary_has_every_error(self) -> None:
        """The summary has the counts, and each error with the number of its line."""
        assert json.loads(summary_file(self.LINES)) == {
            "version": "1.0",
            "statistics": {
                "total-json-lines": 3,
                "valid-json-lines": 1,
                "invalid-json-lines": 2,
            },
            "errors": [
                {
                    "line-number": 2,
                    "source-ref": "s3://shop/b",
                    "code": "InvalidImageFormatException",
                    "message": "no picture",
                },
                {"line-number": 3, "code": "InvalidManifestException", "message": "no line"},
            ],
        }
