"""A profile as figures, and one page of them. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.quality.canvas_probe import advice
from gateway.quality.report import figures, page
from gateway.quality.report.page import FigureImage, PageSection, PageTable, picture
from providers.options import parse_size
from thresholds.profile.input_size import Probe
from thresholds.profile.profile import FILE, Profile
from thresholds.profile.shape_stats import AtShape

REPORT = "report"


def show(folder: Path) -> Path:
    """Writes figures and page into the profile's folder, and returns the page's path. Raises
    ConfigError."""
    profile = _read(folder / FILE)
    title = f"Profile of {profile.provider}"
    lead = (
        f"{profile.photos} photos at {len(profile.shapes)} shapes on canvases of {profile.canvas} "
        f"pixels. Detections that score less than {profile.floor:g} do not count as found."
    )
    try:
        return page.write(folder / REPORT / page.PAGE, title, lead, list(sections(profile)))
    except OSError as error:
        raise ConfigError(f"{folder / REPORT}: cannot be written ({error.strerror})") from None


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
        [picture("quality", figure, "Lines of AP50 and agreement by shape."), _table(shapes)],
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
