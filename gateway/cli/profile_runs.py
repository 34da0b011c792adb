"""Profiles on the console: photos that are left out, prices, progress, tables and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import TimeRemainingColumn

from gateway.cli.profile_tables import classes_table, groups_table, probe_table, profile_table
from gateway.cli.progress import Bars, confirmation, print_unreadable
from gateway.core.model import Route
from gateway.quality import canvas_probe, profile, profile_classes, profile_groups
from gateway.quality.collect.photos import LabelledPhotos, read_photos
from gateway.quality.profile import ProfileOptions, ProfileResult
from gateway.quality.profile_classes import ClassProfileOptions
from gateway.quality.profile_groups import GroupProfileOptions
from gateway.wiring.routes import Routing
from providers.prices import Price
from thresholds.plan.certificate import Certificate
from thresholds.plan.recall import positives_needed
from thresholds.plan.sample_size import photos_for_promise
from thresholds.shape import ALONE, Shape


def run_profile(
    routing: Routing,
    route: Route,
    photos: tuple[Sequence[Path], Sequence[Path]],
    options: ProfileOptions,
    *,
    folder: Path,
    max_drop: float,
    confirmed: bool,
    console: Console,
) -> ProfileResult:
    """Profiles a route of a task with boxes, and prints what was measured. `photos` are folders
    and their truths. First it says how many photos a promise to lose no more than `max_drop`
    takes."""
    read = _read_photos(*photos, console)
    price = routing.providers[route.provider].about.price_of(route.task)
    console.print(promise_outlook(len(read.photos), options.images_per_photo, max_drop, price))
    result = profile.run(
        routing,
        route,
        read,
        options,
        folder=folder,
        confirm=confirmation(console, confirmed=confirmed),
        progress=Bars(console, TimeRemainingColumn),
    )
    console.print(profile_table(result))
    if (probe := result.profile.probe) is not None:
        console.print(probe_table(probe), canvas_probe.advice(probe, result.canvas_px))
    return result


def promise_outlook(photos: int, images_per_photo: float, max_drop: float, price: Price) -> str:
    """How many photos a promise is likely to need, and what those cost that are not here."""
    needed = photos_for_promise(max_drop)
    start = f"a promise of at most {max_drop:g} lost takes about {needed:,} photos"
    if needed <= photos:
        return f"{start}; here are {photos:,}"
    images = (needed - photos) * images_per_photo
    usd = f", {images * price.usd_per_image:,.2f} USD" if price.usd_per_image else ""
    return (
        f"{start}, and here are {photos:,}: {needed - photos:,} more would cost about "
        f"{images:,.0f} images{usd}. They can be added later; nothing is paid for twice"
    )


def run_group_profile(
    routing: Routing,
    route: Route,
    folders: Sequence[Path],
    options: GroupProfileOptions,
    *,
    folder: Path,
    confirmed: bool,
    console: Console,
) -> None:
    """Profiles a route of a task that judges a whole picture, and writes its cascade."""
    profile_groups.check_options(route, options)
    result = profile_groups.run(
        routing,
        route,
        _read_photos(folders, (), console),
        options,
        folder=folder,
        confirm=confirmation(console, confirmed=confirmed),
        progress=Bars(console, TimeRemainingColumn),
    )
    console.print(groups_table(result))
    best, count = result.best, len(result.answers.positives)
    if best.threshold.promised < options.recall:
        least = positives_needed(options.recall)
        console.print(
            f"[yellow]a recall of {best.threshold.promised:.3f} is promised, for {count} photos "
            f"are flagged alone; {options.recall:g} takes {least} of them, {least - count} more[/]"
        )
    console.print(certificate_text(result.certificate, options.recall))
    file = result.write_cascade()
    images = f"{best.images(options.rate):.2f} images a photo"
    console.print(f"expected: {images} at {options.rate:.1%} flagged photos")
    print_cascade(file, console)


def run_class_profile(
    routing: Routing,
    route: Route,
    photos: tuple[Sequence[Path], Sequence[Path]],
    options: ClassProfileOptions,
    *,
    folder: Path,
    confirmed: bool,
    console: Console,
) -> None:
    """Profiles a route of labels for a cascade of models, and prints what each answers and costs.
    `photos` are folders and their truths."""
    profile_classes.stage_names(routing, route, options)
    sample = profile_classes.run(
        routing,
        route,
        _read_photos(*photos, console),
        options,
        folder=folder,
        confirm=confirmation(console, confirmed=confirmed),
        progress=Bars(console, TimeRemainingColumn),
    )
    console.print(classes_table(sample))


def certificate_text(certificate: Certificate, target: float) -> str:
    """What the flagged photos of a sample certify, and how many certify the target."""
    level = f"{1 - certificate.delta:.0%}"
    start = (
        f"{certificate.found} of {certificate.photos} flagged photos are found by plans made "
        f"without them: a recall of {certificate.recall:.3f} is certified, with {level} confidence"
    )
    if certificate.recall >= target:
        return start
    more = certificate.photos_needed(target) - certificate.photos
    return f"{start}; {more:,} more flagged photos would certify {target:g}, if all are found"


def default_cascade(shapes: Sequence[Shape]) -> list[Shape]:
    """The coarsest shape, then 1x1."""
    return [max(shapes, key=lambda shape: shape.cells), ALONE]


def print_cascade(file: Path, console: Console) -> None:
    console.print(f"wrote {file}; use it in a route as  [bold]cascade: {file}[/]")


def _read_photos(
    folders: Sequence[Path], truths: Sequence[Path], console: Console
) -> LabelledPhotos:
    """The photos of the folders. Those that are left out are named."""
    photos = read_photos(folders, truths)
    print_unreadable(photos, console)
    return photos
