"""`imgrid profile show`: a profile as figures, and one page of them. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.quality.canvas_probe import advice
from gateway.quality.report import figures, page
from gateway.quality.report.page import FigureImage, PageSection, PageTable, picture
from providers.options import parse_size
from thresholds.profile.profile import FILE, Profile
from thresholds.profile.shape_stats import AtShape

REPORT = "report"


def show(folder: Path) -> Path:
    """Writes the figures and the page into the profile's folder; the page's path. Raises
    ConfigError."""
    profile = _read(folder / FILE)
    title = f"Profile of {profile.provider}"
    lead = (
        f"{profile.photos} photos at {len(profile.shapes)} shapes on canvases of {profile.canvas} pixels. "
        f"Detections that score less than {profile.floor:g} do not count as found."
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
            f"{file}: has nothing to show; run the same imgrid profile again, which costs nothing for "
            "what was answered before"
        )
    return profile


def sections(profile: Profile) -> Iterator[PageSection]:
    """What there is to show, the most telling first."""
    shapes = sorted(profile.shapes, key=lambda at: at.shape.cells)
    known = any(at.ap50 is not None for at in shapes)
    truth = "the ground truth" if known else "the answer alone (there was no ground truth)"
    yield PageSection(
        "How good answers are",
        "The more photos share a canvas, the less is paid for each and the fewer of their objects are found. AP50 is "
        "COCO's average precision at an IoU of 0.5; agreement is the mean F1, at the same IoU, of boxes that score 0.5 "
        "or more against those of the photo alone.",
        [
            picture("quality", figures.quality(shapes), "Lines of AP50 and agreement by shape."),
            _numbers(shapes),
        ],
    )
    if profile.probe:
        alt = "Lines of AP50 and agreement by size of canvas."
        yield PageSection(
            "How large a canvas has to be",
            "Providers scale pictures to a size of their own, which they do not tell. What is sent beyond it is lost "
            f"on the way in: {advice(profile.probe, parse_size(profile.canvas))}.",
            [picture("canvas", figures.canvas(profile.probe, profile.canvas), alt)],
        )
    if profile.groups:
        yield PageSection(
            "What an object scores, and where it is lost",
            "Each panel has a label's objects, and how many there are. A row holds those that are found up to one "
            "shape and no larger one: from left to right, what they score at each shape up to that. The last number of "
            f"a row is the rule imgrid's threshold. Slanted numbers are means of fewer than {figures.FEW}.",
            [
                picture(
                    "scores-by-label",
                    figures.heat(profile),
                    "Heat maps of mean scores, one a label.",
                )
            ],
        )
    yield PageSection(
        "What scores mean",
        f"First: of detections with such a score, the share that is true by {truth}; on the dotted line a score would "
        "be that share. Then: what the same object scores alone, on average; above the dotted line a grid takes away "
        "from scores.",
        list(_meanings(shapes)),
    )
    if any(at.leaks for at in shapes):
        yield PageSection(
            "What neighbours do",
            "Left: of objects that are found alone, the share that a grid loses, where they touch their photo's edge "
            "and where others of their sizes do not. Right: boxes that are found in the grid and not alone, and are "
            "not true either; those that lie at a seam right across from a neighbour's object of the same label have "
            "leaked in. Called so by chance are those that would be, had other photos been the neighbours.",
            [
                picture(
                    "seams",
                    figures.seams(shapes),
                    "Bars of losses at edges and of leaked boxes by shape.",
                )
            ],
        )


def _meanings(shapes: list[AtShape]) -> Iterator[FigureImage]:
    yield picture(
        "reliability",
        figures.reliability(shapes),
        "Share of true detections by score, a panel a shape.",
    )
    if grids := [at for at in shapes if at.shape.cells > 1]:
        yield picture(
            "scores-alone",
            figures.scores(grids),
            "Score alone by score at a shape, a panel a shape.",
        )


def _numbers(shapes: list[AtShape]) -> PageTable:
    columns = (
        "shape",
        "answers",
        "AP50",
        "agrees with 1x1",
        "smallest found, % of the photo's side",
        "the same in canvas pixels",
        "half are found from, canvas pixels",
    )
    return PageTable(columns, [_row(at) for at in shapes])


def _row(at: AtShape) -> list[str]:
    small = at.smallest
    half = small.half_px if small else None
    return [
        str(at.shape),
        f"{at.answers:,}",
        "" if at.ap50 is None else f"{at.ap50:.3f}",
        "" if at.agreement is None else f"{at.agreement:.3f}",
        f"{100 * small.side:.1f}" if small else "",
        f"{small.side_px:.0f}" if small else "",
        "" if half is None else f"{half:.0f}",
    ]
