"""The scores of a strategy, wherever its answers come from: cost, precision, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from gateway.config.errors import ConfigError
from thresholds import cascade as cascades
from thresholds.cascade import Cascade
from thresholds.metrics.agreement import mean_agreement
from thresholds.metrics.average_precision import (
    AveragePrecision,
    PhotoDetections,
    coco_average_precision,
)
from thresholds.samples.ground_truth import Known


@dataclass(frozen=True, slots=True)
class Strategy:
    """A cascade to evaluate, its name, and the file it was read from."""

    name: str
    cascade: Cascade
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The scores of one strategy: images billed a photo, precision where there is ground truth, and
    agreement with the answers that all are compared with."""

    name: str
    images: float
    precision: AveragePrecision | None
    agrees: float


class ScoreTable(NamedTuple):
    """The scores of several strategies. The others are compared with the first."""

    rows: Sequence[ScoreRow]
    title: str
    caption: str | None = None


def read_cascades(files: Sequence[Path]) -> list[Strategy]:
    """The cascades of the files. Raises ConfigError, naming the file, where one cannot be read."""
    try:
        return [Strategy(file.stem, cascades.load(file), file) for file in files]
    except ValueError as error:
        raise ConfigError(f"--cascade {error}") from None


def precision_of(known: Mapping[str, Known], answers: PhotoDetections) -> AveragePrecision | None:
    """Precision against ground truth; None where that has no object."""
    if not any(truth.objects for truth in known.values()):
        return None
    return coco_average_precision(
        {photo: truth.objects for photo, truth in known.items()},
        answers,
        {photo: truth.labels for photo, truth in known.items()},
        {photo: truth.crowds for photo, truth in known.items()},
    )


def score_row(
    name: str,
    images: float,
    groupings: Sequence[PhotoDetections],
    *,
    base: PhotoDetections,
    known: Mapping[str, Known],
) -> ScoreRow:
    """The means over the answers of each grouping; `base` has the answers that they agree with."""
    precisions = []
    for answers in groupings:
        if (figures := precision_of(known, answers)) is not None:
            precisions.append(figures)
    mean = None
    if precisions:
        mean = AveragePrecision(
            fmean(p.ap50 for p in precisions), fmean(p.mean for p in precisions)
        )
    agrees = fmean(mean_agreement(base, answers) for answers in groupings) if base else 0.0
    return ScoreRow(name, images, mean, agrees)
