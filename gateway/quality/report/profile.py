"""A profile as figures, and one page of them. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.config.defaults import DEFAULT_DROP
from gateway.config.errors import ConfigError
from gateway.quality.canvas_probe import advice
from gateway.quality.collect.photo_list import PhotoList
from gateway.quality.next_step import after_profile
from gateway.quality.plan_summary import percent
from gateway.quality.report import figures, page
from gateway.quality.report.contact_sheet import sheet_parts
from gateway.quality.report.page import FigureImage, PageCommand, PageSection, PageTable, picture
from gateway.quality.report.profile_sheet import ShapeSheet
from providers.options import parse_size
from thresholds.metrics.agreement import CONFIDENCE
from thresholds.profile.input_size import Probe
from thresholds.profile.profile import FILE, Profile
from thresholds.profile.shape_stats import AtShape
from thresholds.samples.sample import FILE as SAMPLE
from thresholds.samples.sample import Sample
from thresholds.shape import ALONE, Shape

REPORT = "report"


def show(folder: Path) -> Path:
    """Writes figures and page into the profile's folder, and returns the page's path. Raises
    ConfigError."""
    profile = _read(folder / FILE)
    step, shape = after_profile(folder), cheapest_grid(profile)
    lead = f"{conclusion(profile, shape)} {step.text}."
    first = PageSection("Run next", "", [PageCommand(step.command)])
    try:
        sheet = [] if shape is None else _sheet(folder, shape.shape)
        quality, *others = sections(profile)
        folded = [replace(section, folded=True) for section in others]
        parts = [first, quality, *sheet, *folded]
        return page.write(
            folder / REPORT / page.PAGE, f"Profile of {profile.provider}", lead, parts
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"{folder / REPORT}: cannot be written ({error.strerror})") from None


def cheapest_grid(profile: Profile) -> AtShape | None:
    """The coarsest shape of more than one photo that loses no more than a plan by default may, or
    the finest where each loses more; None without any, or without answers alone."""
    by_cells = sorted(profile.shapes, key=lambda at: -at.shape.cells)
    grids = [at for at in by_cells if at.shape.cells > 1]
    alone = next((at for at in by_cells if at.shape == ALONE), None)
    if alone is None or not grids:
        return None
    keeps = [at for at in grids if _change(at, alone) >= -DEFAULT_DROP]
    return keeps[0] if keeps else grids[-1]


def _change(at: AtShape, alone: AtShape) -> float:
    """The change of AP50 against 1x1, or without ground truth that of agreement."""
    if at.ap50 is not None and alone.ap50 is not None:
        return at.ap50 - alone.ap50
    return (at.agreement or 0.0) - (alone.agreement or 0.0)


def conclusion(profile: Profile, grid: AtShape | None) -> str:
    """One sentence: what the best flat grid saves and loses, on how many photos."""
    if grid is None:
        return f"{profile.photos} photos were asked about alone only, which saves nothing."
    alone = next(at for at in profile.shapes if at.shape == ALONE)
    metric = "agreement" if grid.ap50 is None else "AP50"
    saved = percent(1 - 1 / grid.shape.cells)
    return (
        f"Without a cascade, {grid.shape} for every photo saves {saved} of the images in full "
        f"canvases and changes {metric} by {_change(grid, alone):+.3f}, on {profile.photos} photos."
    )


def _sheet(folder: Path, shape: Shape) -> list[PageSection]:
    """The photos that the shape loses and gains most on. Raises ValueError where the profile's
    sample cannot be read."""
    files = PhotoList.load(folder).files
    sheet = ShapeSheet(Sample.load(folder / SAMPLE), shape, files)
    parts, absent = sheet_parts(sheet.sheets(), sheet.names, files)
    text = (
        f"{shape} against 1x1. The number is the change of the photo's F1, the mean over its "
        "groupings; the boxes are those of the grouping that lost or gained most, of a score of "
        f"{CONFIDENCE:g} or more.{absent}"
    )
    return [PageSection("Where it loses and gains most", text, parts)]


def _read(file: Path) -> Profile:
    try:
        profile = Profile.load(file)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not profile.shapes:
        raise ConfigError(
            f"{file}: has nothing to show; run the same imgrid profile again, which costs nothing "
            "for what was answered before"
        )
    return profile


def sections(profile: Profile) -> Iterator[PageSection]:
    """All sections that the profile has data for."""
    shapes = sorted(profile.shapes, key=lambda at: at.shape.cells)
    yield _quality(shapes)
    if profile.probe:
        yield _canvas(profile.probe, profile.canvas)
    if profile.groups:
        yield _scores_by_label(profile)
    yield _score_meanings(shapes)
    if any(at.leaks for at in shapes):
        yield _neighbours(shapes)


def _quality(shapes: Sequence[AtShape]) -> PageSection:
    figure = figures.quality(shapes)
    return PageSection(
        "How good answers are",
        "The more photos share a canvas, the less is paid for each and the fewer of their objects "
        "are found. AP50 is COCO's average precision at an IoU of 0.5; agreement is the mean F1, "
        "at the same IoU, of boxes that score 0.5 or more against those of a look at the photo "
        "alone.",
        [
            picture(
                "quality",
                figure,
                "Lines of AP50 and agreement by shape.",
                figures.quality(shapes, width=4.4),
            ),
            _table(shapes),
        ],
    )


def _canvas(probe: Probe, configured: str) -> PageSection:
    figure = figures.canvas(probe, configured)
    return PageSection(
        "How large a canvas has to be",
        "Providers scale pictures to a size of their own, which they do not tell. What is sent "
        f"beyond it is lost on the way in: {advice(probe, parse_size(configured))}.",
        [picture("canvas", figure, "Lines of AP50 and agreement by size of canvas.")],
    )


def _scores_by_label(profile: Profile) -> PageSection:
    figure = figures.heat(profile)
    return PageSection(
        "What an object scores, and where it is lost",
        "Each panel has a label's objects, and how many there are. A row holds those that are "
        "found up to one shape and no larger one: from left to right, what they score at each "
        "shape up to that. The last number of a row is the rule imgrid's threshold. Slanted "
        f"numbers are means of fewer than {figures.FEW}.",
        [picture("scores-by-label", figure, "Heat maps of mean scores, one a label.")],
    )


def _score_meanings(shapes: Sequence[AtShape]) -> PageSection:
    known = any(at.ap50 is not None for at in shapes)
    truth = "the ground truth" if known else "the answer alone (there was no ground truth)"
    return PageSection(
        "What scores mean",
        f"First: of detections with such a score, the share that is true by {truth}; on the dotted "
        "line a score would be that share. Then: what the same object scores alone, on average; "
        "above the dotted line a grid takes away from scores.",
        list(_score_pictures(shapes)),
    )


def _score_pictures(shapes: Sequence[AtShape]) -> Iterator[FigureImage]:
    reliability = figures.reliability(shapes)
    yield picture("reliability", reliability, "Share of true detections by score, a panel a shape.")
    if grids := [at for at in shapes if at.shape.cells > 1]:
        scores = figures.scores(grids)
        yield picture("scores-alone", scores, "Score alone by score at a shape, a panel a shape.")


def _neighbours(shapes: Sequence[AtShape]) -> PageSection:
    figure = figures.seams(shapes)
    return PageSection(
        "What neighbours do",
        "Left: of objects that are found alone, the share that a grid loses, where they touch "
        "their photo's edge and where others of their sizes do not. Right: boxes that are found in "
        "the grid and not alone, and are not true either; those that lie at a seam right across "
        "from a neighbour's object of the same label have leaked in. Called so by chance are those "
        "that would be, had other photos been the neighbours.",
        [picture("seams", figure, "Bars of losses at edges and of leaked boxes by shape.")],
    )


def _table(shapes: Sequence[AtShape]) -> PageTable:
    columns = (
        "shape",
        "answers",
        "AP50",
        "agrees",
        "smallest found, % of the photo's side",
        "the same in canvas pixels",
        "half are found from, canvas pixels",
    )
    return PageTable(columns, [_row(at) for at in shapes])


def _row(at: AtShape) -> list[str]:
    side = side_px = half_px = ""
    if at.smallest:
        side, side_px = f"{100 * at.smallest.side:.1f}", f"{at.smallest.side_px:.0f}"
        if at.smallest.half_px is not None:
            half_px = f"{at.smallest.half_px:.0f}"
    return [
        str(at.shape),
        f"{at.answers:,}",
        "" if at.ap50 is None else f"{at.ap50:.3f}",
        "" if at.agreement is None else f"{at.agreement:.3f}",
        side,
        side_px,
        half_px,
    ]
