"""Bulk analysis: the operations of Amazon Rekognition about media analysis jobs, by its service
model 2016-06-27, and the manifests that such a job reads and writes. Pure.

https://docs.aws.amazon.com/rekognition/latest/dg/bulk-analysis.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from gateway.core.errors import BadManifest, BadRequest
from gateway.core.locations import s3_url
from gateway.dialects.json_messages import decode_json
from gateway.dialects.rekognition.request import MODERATION_MIN_CONFIDENCE, S3Object
from gateway.dialects.rekognition.text_filters import Percent

MAX_MANIFEST_BYTES = 4 << 20
MAX_LINES = 10_000
MAX_LINE_BYTES = 8192
"""A key of 1024 bytes takes up six times as much where every character of it is escaped."""
MAX_PAGE = 100

JobId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9-_]+$")]
JobName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.\-]+$")]
JobStatus = Literal["QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED"]
"""Of the vendor's five; a job that is CREATED is queued here at once."""
FailureCode = Literal[
    "INTERNAL_ERROR",
    "INVALID_S3_OBJECT",
    "INVALID_MANIFEST",
    "INVALID_OUTPUT_CONFIG",
    "INVALID_KMS_KEY",
    "ACCESS_DENIED",
    "RESOURCE_NOT_FOUND",
    "RESOURCE_NOT_READY",
    "THROTTLED",
]


class ModerationConfig(Struct, rename="pascal", frozen=True, omit_defaults=True):
    min_confidence: Percent | None = None
    project_version: str | None = None


class OperationsConfig(Struct, rename="pascal", frozen=True, omit_defaults=True):
    detect_moderation_labels: ModerationConfig | None = None


class ManifestObject(Struct, frozen=True):
    s3_object: S3Object = msgspec.field(name="S3Object")


class OutputConfig(Struct, frozen=True, omit_defaults=True):
    s3_bucket: Annotated[str, Meta(min_length=3, max_length=255, pattern=r"^[0-9A-Za-z.\-_]+$")] = (
        msgspec.field(name="S3Bucket")
    )
    s3_key_prefix: Annotated[str, Meta(max_length=800, pattern=r"^\S*$")] = msgspec.field(
        default="", name="S3KeyPrefix"
    )

    def key(self, job_id: str, name: str) -> str:
        """The key of a file of the job's results."""
        slash = "/" if self.s3_key_prefix and not self.s3_key_prefix.endswith("/") else ""
        return f"{self.s3_key_prefix}{slash}{job_id}/{name}"


class StartMediaAnalysisJob(Struct, rename="pascal", frozen=True, kw_only=True, omit_defaults=True):
    operations_config: OperationsConfig
    input: ManifestObject
    output_config: OutputConfig
    client_request_token: JobId | None = None
    job_name: JobName | None = None
    kms_key_id: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None

    @property
    def moderation(self) -> ModerationConfig:
        """The configuration of the operation. Raises BadRequest for another one, or for what is
        not done here."""
        moderation = self.operations_config.detect_moderation_labels
        if moderation is None:
            raise BadRequest("OperationsConfig must name DetectModerationLabels.")
        if moderation.project_version is not None:
            raise BadRequest(
                "OperationsConfig.DetectModerationLabels.ProjectVersion: there are no adapters "
                "here; leave it out."
            )
        if self.kms_key_id is not None:
            raise BadRequest(
                "KmsKeyId: photos are not encrypted with it here; leave it out, and encrypt the "
                "results by the default encryption of their bucket."
            )
        return moderation

    @property
    def confidence_threshold(self) -> float:
        """In percent. Raises BadRequest."""
        least = self.moderation.min_confidence
        return MODERATION_MIN_CONFIDENCE if least is None else least


class GetMediaAnalysisJob(Struct, rename="pascal", frozen=True):
    job_id: JobId


class ListMediaAnalysisJobs(Struct, rename="pascal", frozen=True):
    next_token: Annotated[str, Meta(max_length=1024)] | None = None
    max_results: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = MAX_PAGE


MediaAnalysisInput = StartMediaAnalysisJob | GetMediaAnalysisJob | ListMediaAnalysisJobs
JOB_OPERATIONS: Mapping[str, type[MediaAnalysisInput]] = {
    form.__name__: form
    for form in (StartMediaAnalysisJob, GetMediaAnalysisJob, ListMediaAnalysisJobs)
}
"""The operations about jobs that are answered here."""


def read_input(operation: str, body: bytes) -> MediaAnalysisInput:
    """The input of one of JOB_OPERATIONS. Raises BadRequest."""
    form: Any = JOB_OPERATIONS[operation]
    call: MediaAnalysisInput = decode_json(body, form, "Request has invalid parameters: ")
    return call


class _ManifestLine(Struct, frozen=True):
    source_ref: str = msgspec.field(name="source-ref")


class ManifestPhoto(NamedTuple):
    """A line of a manifest: the photo's `source_ref` as it stands there and its URL, or the error
    of a line that names none."""

    source_ref: str
    url: str | BadManifest


def read_manifest(data: bytes) -> list[ManifestPhoto]:
    """The photos of a manifest, in JSON lines, one for each line.

    Raises BadManifest where it has no line or too many.
    """
    lines = data.removesuffix(b"\n").split(b"\n") if data.strip() else []
    if not 1 <= len(lines) <= MAX_LINES:
        raise BadManifest(
            f"Input.S3Object: the manifest has {len(lines)} lines; it may have 1 to {MAX_LINES}, "
            "one for each photo. Split a larger one into several jobs."
        )
    return [_manifest_photo(line, number) for number, line in enumerate(lines, 1)]


def _manifest_photo(line: bytes, number: int) -> ManifestPhoto:
    if len(line) > MAX_LINE_BYTES:
        return ManifestPhoto(
            "", BadManifest(f"Line {number} is longer than {MAX_LINE_BYTES} bytes.")
        )
    try:
        source_ref = msgspec.json.decode(line, type=_ManifestLine).source_ref
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return ManifestPhoto("", BadManifest(f"Line {number} is no source-ref in JSON: {error}"))
    scheme, _, place = source_ref.partition("://")
    bucket, _, key = place.partition("/")
    if scheme != "s3" or not bucket or not key:
        return ManifestPhoto(
            source_ref, BadManifest(f"Line {number}: write its source-ref as s3://BUCKET/KEY.")
        )
    return ManifestPhoto(source_ref, s3_url(bucket, key))
