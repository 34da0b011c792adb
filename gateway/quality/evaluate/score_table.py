"""What `imgrid evaluate` tells of every strategy, wherever its answers come from: costs, precision,
agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rich.box import SIMPLE_HEAD
from rich.table import Table

from gateway.config.errors import ConfigError
from thresholds import cascade as cascades
from thresholds.cascade import Cascade
from thresholds.metrics.average_precision import By, Precision, agreement, precision
from thresholds.samples.ground_truth import Known


@dataclass(frozen=True, slots=True)
class Strategy:
    """What is tried: a name for people, the cascade, and the file that it is from."""

    name: str
    cascade: Cascade
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """What came of one strategy: images billed for a photo, and its quality; no precision without
    ground truth."""

    name: str
    images: float
    precision: Precision | None
    agrees: float


def read_cascades(files: Sequence[Path]) -> list[Strategy]:
    """Raises ConfigError, naming the file, for one that cannot be read."""
    try:
        return [Strategy(file.stem, cascades.load(file), file) for file in files]
    except ValueError as error:
        raise ConfigError(f"--cascade {error}") from None


def precise(known: Mapping[str, Known], found: By) -> Precision | None:
    """Precision by ground truth, of which there may be none, or none with an object in it."""
    if not any(each.objects for each in known.values()):
        return None
    return precision(
        {photo: each.objects for photo, each in known.items()},
        found,
        {photo: each.labels for photo, each in known.items()},
        {photo: each.crowds for photo, each in known.items()},
    )


def row(
    name: str, images: float, found: Sequence[By], *, base: By, known: Mapping[str, Known]
) -> ScoreRow:
    """`found` are the answers in each grouping, which the figures are the means over; `base` the
    answers alone."""
    each = [figures for answers in found if (figures := precise(known, answers)) is not None]
    mean = (
        Precision(fmean(one.ap50 for one in each), fmean(one.mean for one in each))
        if each
        else None
    )
    return ScoreRow(
        name, images, mean, fmean(agreement(base, answers) for answers in found) if base else 0.0
    )


def table(rows: Sequence[ScoreRow], title: str, caption: str | None = None) -> Table:
    """The seed paper's table (EECS-2023-182, section 4): strategy, inferences per photo, saved,
    precision and change.

    The first row is what the others are compared with. Without ground truth there is agreement with
    it alone. It fits 80 columns.
    """
    before = rows[0].precision
    made = Table(
        title=title + ("" if before else ", no ground truth"), box=SIMPLE_HEAD, caption=caption
    )
    made.add_column("strategy", overflow="fold")
    for column in (
        "images",
        "saved",
        *(("AP50", "change", "mAP", "change") if before else ()),
        "agrees",
    ):
        made.add_column(column, justify="right", no_wrap=True)
    for each in rows:
        cells = [each.name, f"{each.images:.3f}", f"{1 - each.images:.1%}"]
        for new, old in zip(each.precision or (), before or (), strict=True):
            cells += [f"{new:.3f}", f"{new - old:+.3f}"]
        made.add_row(*cells, f"{each.agrees:.3f}")
    return made
