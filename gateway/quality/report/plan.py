"""A plan as one page: what to do, the front drawn, and the photos that it loses and gains most on.
Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.config.errors import ConfigError
from gateway.quality.collect.photo_list import PhotoList
from gateway.quality.next_step import NextStep, PlanFiles, Shortfall, after_plan
from gateway.quality.plan_summary import (
    FrontRow,
    cells,
    cheap_point,
    conclusion,
    front_rows,
    metric_name,
    shown_rows,
    traffic_rows,
    traffic_title,
    verdict,
)
from gateway.quality.report import page as report
from gateway.quality.report.contact_sheet import sheet_parts
from gateway.quality.report.front import front, left_out
from gateway.quality.report.page import PageCommand, PageSection, PageTable, picture
from gateway.quality.report.plan_sheet import PlanSheet
from thresholds.plan.candidates import OperatingPoint
from thresholds.plan.planner import Exploration, Plan
from thresholds.plan.selection import held_out_photos


def show(plan: Plan, missing: Shortfall | None, files: PlanFiles, page: Path) -> Path:
    """Writes the page and its picture, and returns the page's path. Raises ConfigError."""
    step = after_plan(plan, missing, files)
    lead = f"{conclusion(plan, missing)} {step.text}."
    try:
        photo_list = PhotoList.load(files.profile)
        sections = list(_sections(plan, missing, step, photo_list))
        return report.write(page, f"Plan: {plan.picked.point.candidate.name}", lead, sections)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"--report {page}: cannot be written ({error.strerror})") from None


def _sections(
    plan: Plan, missing: Shortfall | None, step: NextStep, photo_list: PhotoList
) -> Iterator[PageSection]:
    metric, point = metric_name(plan), cheap_point(plan, missing)
    yield PageSection("Run next", "", [PageCommand(step.command)])
    yield _front(plan, metric)
    if point.candidate is not plan.explored.study.alone:
        yield _sheet(plan, point, photo_list)
    yield PageSection(
        "What it saves by traffic",
        f"{traffic_title(plan, point)}. Photos that come slowly leave canvases half empty. The "
        "table is for photos at random times; a longer wait (max_wait_ms) fills more, and "
        "--photos-per-second plans for it.",
        [PageTable(("photos a second", "images a photo", "saved"), traffic_rows(plan, point))],
        folded=True,
    )
    yield PageSection(
        "What was selected", ". ".join(map(str, verdict(plan, missing))) + ".", folded=True
    )
    yield PageSection("What was tried", _tried(plan.explored), folded=True)
    yield PageSection(
        "All rows of the front",
        "All cascades that nothing beats, the cheapest first. One image a photo is what asking "
        "about each alone costs.",
        [_table(plan, front_rows(plan.explored))],
        folded=True,
    )
    yield PageSection(
        "What the front is held against",
        "Flat grids, and the seed paper's cascades.",
        [
            PageTable(
                ("cascade", "images", "saved", metric, "change"),
                [cells(point) for point in plan.explored.references],
            )
        ],
        folded=True,
    )


def _front(plan: Plan, metric: str) -> PageSection:
    outside = left_out(plan)
    beyond = f" {outside} cascades that cost or lose more are outside of the drawing." * bool(
        outside
    )
    alt = f"Dots of {metric} over images a photo; the front rises from left to right."
    return PageSection(
        "What saving costs",
        "Each dot is a cascade. To the left is cheaper, up is better; the line joins those that "
        f"nothing beats, with their numbers in the table. {metric} is estimated by models that had "
        "not seen the photo that they judged, but the best of many estimates flatter. Take another "
        f"row with --take and its number.{beyond}",
        [
            picture("plan-front", front(plan), alt, front(plan, narrow=True)),
            _table(plan, shown_rows(plan)),
        ],
    )


def _tried(explored: Exploration) -> str:
    fit, held = len(explored.study.training.photos), len(held_out_photos(explored.study))
    promise = f"; {held} more were held out for the promise" if held else ""
    points = len(explored.points)
    return f"{points} cascades, simulated over the stored answers about {fit} photos{promise}."


def _sheet(plan: Plan, point: OperatingPoint, photo_list: PhotoList) -> PageSection:
    """The photos that a point's cascade loses and gains most on."""
    sheet = PlanSheet(plan.explored, point.candidate, photo_list.files)
    parts, absent = sheet_parts(sheet.sheets(), sheet.names, photo_list.files)
    metric = metric_name(plan)
    return PageSection(
        "Where it loses and gains most",
        f"{point.candidate.name} against 1x1. The number is the photo's part in {metric}, the mean "
        "over its groupings; the boxes are those of the grouping that lost or gained most, of a "
        f"score of {sheet.least_score:g} or more.{absent}",
        parts,
    )


def _table(plan: Plan, rows: Sequence[FrontRow]) -> PageTable:
    columns = ("row", "cascade", "images", "saved", metric_name(plan), "change")
    points = [row.point for row in rows]
    strong = next((at for at, point in enumerate(points) if point is plan.picked.point), None)
    return PageTable(columns, [[str(row.number), *cells(row.point)] for row in rows], 1, strong)
