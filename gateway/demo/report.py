"""The demo's page: what was billed, the canvases, and every client's answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gateway.quality.report.document import (
    DocumentParts,
    data_uri,
    document,
    resource,
    template,
)

MONTHLY = 1_000_000
"""Photos a month that costs are given for."""


@dataclass(frozen=True)
class CanvasSheet:
    """One canvas as it was sent, drawn on by `annotate`, as PNG or JPEG."""

    image: bytes
    title: str
    caption: str


@dataclass(frozen=True)
class Summary:
    """A run in figures. `billed` is the number of images paid for, `alone` that of one call a
    photo.

    `shapes` counts canvases by shape; `asked_again` counts photos that reached a later stage;
    `quality` is one sentence on how good the answers were.
    """

    title: str
    task: str
    provider: str
    photos: int
    clients: int
    billed: int
    alone: int
    usd_per_1000: float
    seconds: float
    p50_ms: float
    p99_ms: float
    quality: str
    shapes: Mapping[str, int]
    asked_again: int

    @property
    def saved(self) -> float:
        """The share of the bill that was saved, such as 0.75 for four photos in one image; negative
        where the gateway cost more."""
        return 1 - self.billed / self.alone if self.alone else 0.0

    def monthly_usd(self, images: int) -> float:
        """The costs of a million photos, where this run's photos take that many images."""
        return MONTHLY * images / self.photos * self.usd_per_1000 / 1000 if self.photos else 0.0


@dataclass(frozen=True)
class AnswerRow:
    """One client's answer about one photo. `share` is the photo's part of the bill, in images."""

    client: str
    photo: str
    thumbnail: bytes
    shape: str
    stage: int
    detections: str
    share: float
    waited_ms: float
    composed_ms: float
    asked_ms: float


def page(summary: Summary, sheets: Sequence[CanvasSheet], answers: Sequence[AnswerRow]) -> str:
    """The page as HTML, which stands alone."""
    body = template("gateway.demo", "body.html").substitute(
        numbers=_numbers(summary),
        bars=_bars(summary),
        facts=_facts(summary),
        sheets=lines(_sheet(number, sheet) for number, sheet in enumerate(sheets, 1)),
        answers=lines(map(_row, answers)),
        note=_note(summary),
    )
    style, scripts = resource("gateway.demo", "page.css"), resource("gateway.demo", "zoom.html")
    return document(summary.title, _lead(summary), DocumentParts(body, style, scripts))


def _lead(summary: Summary) -> str:
    clients, photos = count_text(summary.clients, "client"), count_text(summary.photos, "photo")
    return (
        f"{clients} asked for {summary.task} in {photos}. "
        f"The gateway packed photos into shared pictures and asked {summary.provider} once a "
        "picture. Each client got the part that was theirs."
    )


def _numbers(summary: Summary) -> str:
    alone, through = summary.monthly_usd(summary.alone), summary.monthly_usd(summary.billed)
    price = f"${summary.usd_per_1000:,.2f} per 1,000"
    note = (
        f"on a million photos at {price}: {_usd(alone)} alone, {_usd(through)} through the gateway"
    )
    saved, clients = f"{100 * summary.saved:.3g}%", count_text(summary.clients, "client")
    return lines(
        (
            number_card(
                "Saved", saved, "of the images that would have been billed", "number chief card"
            ),
            number_card("Photos asked about", f"{summary.photos:,}", f"by {clients}"),
            number_card("Images billed", f"{summary.billed:,}", f"instead of {summary.alone:,}"),
            number_card("Saved a month", _usd(alone - through), note),
        )
    )


def number_card(name: str, value: str, note: str, css: str = "number card") -> str:
    """A figure with its name above and a note below."""
    return (
        f'<div class="{css}"><dt>{escape(name)}</dt>'
        f'<dd><span class="big">{escape(value)}</span><small>{escape(note)}</small></dd></div>'
    )


def _bars(summary: Summary) -> str:
    most = max(summary.alone, summary.billed, 1)
    return lines(
        (
            bar("Each photo alone", summary.alone / most, _images(summary.alone), "alone"),
            bar("Through the gateway", summary.billed / most, _images(summary.billed), "through"),
        )
    )


def _images(number: int) -> str:
    return count_text(number, "image")


def bar(name: str, share: float, amount: str, css: str) -> str:
    """A bar over this share of its track. The drawing is hidden from screen readers, because the
    amount beside it says the same."""
    width = 100 * share
    return (
        f'<div class="bar"><span>{escape(name)}</span>'
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="10"></rect>'
        f'<rect class="{css}" width="{width:.2f}" height="10"></rect></svg>'
        f"<b>{escape(amount)}</b></div>"
    )


def _facts(summary: Summary) -> str:
    shapes = ", ".join(f"{count:,} of {shape}" for shape, count in summary.shapes.items())
    facts = {
        "Quality": summary.quality,
        "Canvases by shape": shapes or "none",
        "Asked again at a later stage": count_text(summary.asked_again, "photo"),
        "An answer took": f"{ms_text(summary.p50_ms)} (p50), {ms_text(summary.p99_ms)} (p99)",
        "The whole run took": f"{summary.seconds:,.1f} s",
    }
    return fact_list(facts)


def fact_list(facts: Mapping[str, str]) -> str:
    """Small figures by their names."""
    return lines(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )


def _sheet(number: int, sheet: CanvasSheet) -> str:
    title, caption = escape(sheet.title), escape(sheet.caption)
    alt = escape(f"Canvas {number}, {sheet.title}: {sheet.caption}")
    return (
        f'<figure class="sheet card" id="canvas-{number}">'
        f'<a href="#canvas-{number}" title="Enlarge">'
        f'<img src="{data_uri(sheet.image)}" alt="{alt}"></a>'
        f"<figcaption><h3>{title}</h3><p>{caption}</p></figcaption></figure>"
    )


def _row(answer: AnswerRow) -> str:
    photo = escape(answer.photo)
    detections = escape(answer.detections) or "nothing"
    times = (answer.waited_ms, answer.composed_ms, answer.asked_ms)
    cells = (
        f'<th scope="row">{escape(answer.client)}</th>',
        f'<td><img src="{data_uri(answer.thumbnail)}" alt="{photo}"></td>',
        f'<td class="name">{photo}</td>',
        f'<td><span class="pill">{escape(answer.shape)}</span></td>',
        _number_cell(str(answer.stage)),
        f'<td class="found">{detections}</td>',
        _number_cell(f"{answer.share:.3g}"),
        *(_number_cell(ms_text(time_ms)) for time_ms in times),
    )
    return f"<tr>{''.join(cells)}</tr>"


def _number_cell(number: str) -> str:
    return f'<td class="n">{number}</td>'


def _note(summary: Summary) -> str:
    return escape(
        "The costs are this run's share of billed images at the list price of "
        f"${summary.usd_per_1000:,.2f} per 1,000 images, for {MONTHLY:,} photos a month. "
        "Volume discounts and free tiers are left out."
    )


def _usd(amount: float) -> str:
    """Whole dollars, with cents below 100; a loss has its sign in front."""
    sign, size = "-" if amount < 0 else "", abs(amount)
    return f"{sign}${size:,.0f}" if size >= 100 or size == 0 else f"{sign}${size:,.2f}"


def count_text(number: int, noun: str) -> str:
    """The number with its noun, in the singular for 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def ms_text(time_ms: float) -> str:
    """The time in milliseconds, from 10 s on in seconds."""
    return f"{time_ms:,.0f} ms" if time_ms < 10_000 else f"{time_ms / 1000:,.1f} s"


def lines(parts: Iterable[str]) -> str:
    """The parts, each on a line of its own."""
    return "\n".join(parts)
