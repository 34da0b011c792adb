"""What a media analysis job writes and how it is described, by Amazon Rekognition's service model
2016-06-27. Pure.

https://docs.aws.amazon.com/rekognition/latest/dg/bulk-analysis-output-manifests.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from gateway.core.errors import GatewayError
from gateway.dialects.rekognition.errors import rekognition_error
from gateway.dialects.rekognition.media_analysis import (
    FailureCode,
    JobStatus,
    ManifestObject,
    OperationsConfig,
    OutputConfig,
    StartMediaAnalysisJob,
)
from gateway.dialects.rekognition.request import S3Object
from gateway.dialects.rekognition.response import Output

RESULTS_NAME, SUMMARY_NAME = "results.jsonl", "manifest-summary.json"
"""The last part of the keys of a job's two files."""


class LineResult(NamedTuple):
    """The result of a line of the manifest: the output of DetectModerationLabels, or an error.
    `number` counts lines from 1; `source_ref` is empty where the line has none."""

    number: int
    source_ref: str
    result: Output | GatewayError


class ModelVersions(Struct, rename="pascal", frozen=True):
    moderation: str


class ResultsOut(Struct, frozen=True, omit_defaults=True):
    s3_object: S3Object = msgspec.field(name="S3Object")
    model_versions: ModelVersions | None = msgspec.field(default=None, name="ModelVersions")


class FailureDetails(Struct, rename="pascal", frozen=True):
    code: FailureCode
    message: str


class JobState(NamedTuple):
    """How far a job is. Times are Unix seconds; `model_version` is empty where it was not looked
    up."""

    status: JobStatus
    created_at: float
    completed_at: float | None = None
    failure: FailureDetails | None = None
    model_version: str = ""


class JobDescription(Struct, rename="pascal", frozen=True, kw_only=True, omit_defaults=True):
    """A job, in a list or alone."""

    job_id: str
    operations_config: OperationsConfig
    status: JobStatus
    creation_timestamp: float
    input: ManifestObject
    output_config: OutputConfig
    job_name: str | None = None
    completion_timestamp: float | None = None
    failure_details: FailureDetails | None = None
    results: ResultsOut | None = None
    manifest_summary: ManifestObject | None = None


def description_of(job_id: str, start: StartMediaAnalysisJob, state: JobState) -> JobDescription:
    """The job that was started so. A job that succeeded has its two files."""
    results = summary = None
    if state.status == "SUCCEEDED":
        versions = ModelVersions(state.model_version) if state.model_version else None
        results = ResultsOut(_file_of(start.output_config, job_id, RESULTS_NAME), versions)
        summary = ManifestObject(_file_of(start.output_config, job_id, SUMMARY_NAME))
    return JobDescription(
        job_id=job_id,
        operations_config=start.operations_config,
        status=state.status,
        creation_timestamp=state.created_at,
        input=start.input,
        output_config=start.output_config,
        job_name=start.job_name,
        completion_timestamp=state.completed_at,
        failure_details=state.failure,
        results=results,
        manifest_summary=summary,
    )


def _file_of(config: OutputConfig, job_id: str, name: str) -> S3Object:
    return S3Object(config.s3_bucket, config.key(job_id, name))


def results_file(lines: Sequence[LineResult]) -> bytes:
    """The results in JSON lines, in the manifest's order. A line that names no photo has none."""
    rows = [_row(line) for line in lines if line.source_ref]
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def _row(line: LineResult) -> dict[str, Any]:
    if isinstance(line.result, GatewayError):
        return {"source-ref": line.source_ref, "error": _problem(line.result)}
    return {"source-ref": line.source_ref, "detect-moderation-labels": line.result}


def summary_file(lines: Sequence[LineResult]) -> bytes:
    """The counts of the manifest's lines, and the error of each that was not answered."""
    errors = [_error(line, line.result) for line in lines if isinstance(line.result, GatewayError)]
    statistics = {
        "total-json-lines": len(lines),
        "valid-json-lines": len(lines) - len(errors),
        "invalid-json-lines": len(errors),
    }
    return msgspec.json.encode({"version": "1.0", "statistics": statistics, "errors": errors})


def _error(line: LineResult, error: GatewayError) -> dict[str, Any]:
    source_ref = {"source-ref": line.source_ref} if line.source_ref else {}
    return {"line-number": line.number, **source_ref, **_problem(error)}


def _problem(error: GatewayError) -> dict[str, str]:
    return {"code": rekognition_error(error).type, "message": str(error)}
