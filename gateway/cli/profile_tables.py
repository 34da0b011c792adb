"""Profiles on the console: tables by shape and by canvas size."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from gateway.quality.profile import ProfileResult
from gateway.quality.profile_groups import GroupProfileResult
from thresholds.classification.sample import ClassificationSample
from thresholds.plan.recall import RecallCascade
from thresholds.profile.input_size import Probe
from thresholds.shape import ALONE, Shape

RATES = (0.005, 0.02, 0.05, 0.2)
"""Shares of positive photos that costs are shown for."""


def profile_table(result: ProfileResult) -> Table:
    """A row a shape. It fits 80 columns. Without ground truth there is no AP50."""
    profile = result.profile
    table = Table(
        title=f"{profile.photos} photos, mean box area {profile.area.mean:.3f} of a photo",
        box=SIMPLE_HEAD,
    )
    for column in ("shape", "images", "found", "no further", "mean score", "AP50", "agrees"):
        table.add_column(column, justify="right", no_wrap=True)
    for at in profile.shapes:
        count, last, total = 0, 0, 0.0
        for group in profile.groups:
            if group.shape == at.shape:
                count += group.score.count
                total += group.score.count * group.score.mean
                last += group.score.count if group.largest == at.shape else 0
        mean = total / count if count else 0.0
        quality = ("" if figure is None else f"{figure:.3f}" for figure in (at.ap50, at.agreement))
        images = result.images[at.shape]
        table.add_row(str(at.shape), str(images), str(count), str(last), f"{mean:.3f}", *quality)
    return table


def probe_table(probe: Probe) -> Table:
    """A row a canvas size; the one that is enough is marked."""
    title = f"{probe.photos} photos in grids of {probe.shape}, by canvas size"
    table = Table(title=title, box=SIMPLE_HEAD)
    for column in ("canvas", "AP50", "agrees with largest", ""):
        table.add_column(column, justify="right")
    for index, size in enumerate(probe.sizes):
        ap50 = "" if size.ap50 is None else f"{size.ap50:.3f}"
        mark = "enough" if index == probe.enough else ""
        table.add_row(str(size), ap50, f"{size.agreement:.3f}", mark)
    return table


def groups_table(result: GroupProfileResult) -> Table:
    """A row a first shape, with images a photo at several shares of positive photos, in full
    groups. A score below `clear` clears a photo or, with a companion, such a probability does;
    `alone` are the clean photos that are asked about alone at once. It fits 80 columns."""
    answers, recall = result.answers, result.options.recall
    title = (
        f"{len(answers.positives)} of {answers.count} photos are flagged alone; "
        f"recall of {recall:g} is sought"
    )
    table = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True)
    rates = [f"{100 * rate:g}%" for rate in RATES]
    for column in ("first", "clear", "alone", "recall", "promised", "false", *rates):
        table.add_column(column, justify="right", no_wrap=True)
    able = {cascade.first: cascade for cascade in result.cascades}
    for shape in sorted(result.options.shapes, key=lambda shape: shape.cells):
        if shape in able:
            table.add_row(*_cells(shape, able[shape]))
        elif shape != ALONE:
            table.add_row(str(shape), "not seen", *[""] * (4 + len(RATES)))
    return table


def _cells(shape: Shape, cascade: RecallCascade) -> list[str]:
    threshold = cascade.threshold
    return [
        str(shape),
        f"{threshold.value:.2g}",
        f"{cascade.alone_negatives:.0%}",
        f"{threshold.recall:.3f}",
        f"{threshold.promised:.3f}",
        f"{cascade.false_flags:.1%}",
        *(f"{cascade.images(rate):.2f}" for rate in RATES),
    ]


def classes_table(sample: ClassificationSample) -> Table:
    """A row a stage, as it was profiled: how often its label is right, and what a photo costs."""
    right = "right" if sample.truths is not None else f"as {sample.reference}"
    table = Table(title=f"{len(sample.photos)} photos, each asked about alone", box=SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    for column in ("input", right, "ms", "GFLOPs", "USD per 1,000"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage, correct in zip(sample.stages, sample.answers.correct, strict=True):
        size = "" if stage.input_px is None else "x".join(map(str, stage.input_px))
        ms = "" if stage.seconds is None else f"{1000 * stage.seconds:.1f}"
        work = "" if stage.gflops is None else f"{stage.gflops:.2f}"
        usd = f"{1000 * stage.usd:.2f}"
        table.add_row(stage.provider, size, f"{correct.mean():.3f}", ms, work, usd)
    return table
