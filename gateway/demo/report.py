"""The demo's page: what was asked, what was billed, the canvases, and every client's answer, in one
HTML file.

Nothing is fetched: pictures are data URIs, styles and the few lines of script are in the page, and
a content security policy holds it to that. Every text that comes from outside is escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

MONTHLY = 1_000_000
"""Photos a month that the costs are told for."""


@dataclass(frozen=True)
class CanvasSheet:
    """One canvas as it was sent, drawn on by `annotate`. `png` may hold a JPEG as well, which is
    far smaller."""

    png: bytes
    title: str
    caption: str


@dataclass(frozen=True)
class Summary:
    """The run as a whole. `billed` counts images paid for, `alone` those that one call a photo
    would have paid for.

    `shapes` counts canvases by their shape ("2x2"); `asked_again` counts photos that went to a
    later stage; `quality` is one sentence on how good the answers were.
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
        """Share of the bill that was not paid: 0.75 where four photos cost one image; below 0 if it
        cost more."""
        return 1 - self.billed / self.alone if self.alone else 0.0

    def monthly_usd(self, images: int) -> float:
        """What a million photos cost where this run's photos take so many billed images."""
        return MONTHLY * images / self.photos * self.usd_per_1000 / 1000 if self.photos else 0.0


@dataclass(frozen=True)
class AnswerRow:
    """What one photo's client got back. `share` is its part of the bill, in images: 0.25 for a cell
    of a full 2x2."""

    client: str
    photo: str
    thumbnail: bytes
    shape: str
    stage: int
    found: str
    share: float
    waited_ms: float
    composed_ms: float
    asked_ms: float


def page(summary: Summary, sheets: Sequence[CanvasSheet], answers: Sequence[AnswerRow]) -> str:
    """A page that stands alone: it can be opened from a disk, mailed, or served as it is."""
    template = Template(files(__package__).joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=escape(summary.title),
        lead=_lead(summary),
        numbers=_numbers(summary),
        bars=_bars(summary),
        facts=_facts(summary),
        sheets=_lines(_sheet(number, sheet) for number, sheet in enumerate(sheets, 1)),
        answers=_lines(_row(answer) for answer in answers),
        note=_note(summary),
    )


def _lead(summary: Summary) -> str:
    asked = f"{_count(summary.clients, 'client')} asked for {summary.task} in {_count(summary.photos, 'photo')}."
    packed = f"The gateway packed photos into shared pictures and asked {summary.provider} once a picture."
    return escape(f"{asked} {packed} Each client got the part that was theirs.")


def _numbers(summary: Summary) -> str:
    alone, through = summary.monthly_usd(summary.alone), summary.monthly_usd(summary.billed)
    price = f"${summary.usd_per_1000:,.2f} per 1,000"
    kept = (
        f"on a million photos at {price}: {_usd(alone)} alone, {_usd(through)} through the gateway"
    )
    return _lines(
        (
            _number(
                "Saved",
                f"{100 * summary.saved:.3g}%",
                "of the images that would have been billed",
                "number chief card",
            ),
            _number(
                "Photos asked about",
                f"{summary.photos:,}",
                f"by {_count(summary.clients, 'client')}",
            ),
            _number("Images billed", f"{summary.billed:,}", f"instead of {summary.alone:,}"),
            _number("Saved a month", _usd(alone - through), kept),
        )
    )


def _number(name: str, value: str, note: str, css: str = "number card") -> str:
    return (
        f'<div class="{css}"><dt>{escape(name)}</dt>'
        f'<dd><span class="big">{escape(value)}</span><small>{escape(note)}</small></dd></div>'
    )


def _bars(summary: Summary) -> str:
    most = max(summary.alone, summary.billed, 1)
    return _lines(
        (
            _bar("Each photo alone", summary.alone, most, "alone"),
            _bar("Through the gateway", summary.billed, most, "through"),
        )
    )


def _bar(name: str, images: int, most: int, css: str) -> str:
    """One bar; the number beside it says the same, so the drawing itself is hidden from screen
    readers."""
    width = 100 * images / most
    return (
        f'<div class="bar"><span>{escape(name)}</span><svg viewBox="0 0 100 10" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect class="track" width="100" height="10"></rect>'
        f'<rect class="{css}" width="{width:.2f}" height="10"></rect></svg><b>{_count(images, "image")}</b></div>'
    )


def _facts(summary: Summary) -> str:
    shapes = ", ".join(f"{count:,} of {shape}" for shape, count in summary.shapes.items())
    facts = {
        "Quality": summary.quality,
        "Canvases by shape": shapes or "none",
        "Asked again at a later stage": _count(summary.asked_again, "photo"),
        "An answer took": f"{_ms(summary.p50_ms)} (p50), {_ms(summary.p99_ms)} (p99)",
        "The whole run took": f"{summary.seconds:,.1f} s",
    }
    return _lines(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )


def _sheet(number: int, sheet: CanvasSheet) -> str:
    alt = escape(f"Canvas {number}, {sheet.title}: {sheet.caption}")
    return (
        f'<figure class="sheet card" id="canvas-{number}"><a href="#canvas-{number}" title="Enlarge">'
        f'<img src="{_data_uri(sheet.png)}" alt="{alt}"></a>'
        f"<figcaption><h3>{escape(sheet.title)}</h3><p>{escape(sheet.caption)}</p></figcaption></figure>"
    )


def _row(answer: AnswerRow) -> str:
    times = (answer.waited_ms, answer.composed_ms, answer.asked_ms)
    return (
        f'<tr><th scope="row">{escape(answer.client)}</th>'
        f'<td><img src="{_data_uri(answer.thumbnail)}" alt="{escape(answer.photo)}"></td>'
        f'<td class="name">{escape(answer.photo)}</td><td><span class="pill">{escape(answer.shape)}</span></td>'
        f'<td class="n">{answer.stage}</td><td class="found">{escape(answer.found) or "nothing"}</td>'
        f'<td class="n">{answer.share:.3g}</td>{"".join(f"""<td class="n">{_ms(time)}</td>""" for time in times)}</tr>'
    )


def _note(summary: Summary) -> str:
    return escape(
        f"The costs are this run's share of billed images at the list price of ${summary.usd_per_1000:,.2f} per 1,000 "
        f"images, for {MONTHLY:,} photos a month. Volume discounts and free tiers are left out."
    )


def _data_uri(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{b64encode(image).decode()}"


def _usd(amount: float) -> str:
    """Whole dollars, with cents where they still matter; a loss keeps its sign in front."""
    sign, size = "-" if amount < 0 else "", abs(amount)
    return f"{sign}${size:,.0f}" if size >= 100 or size == 0 else f"{sign}${size:,.2f}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _ms(time_ms: float) -> str:
    return f"{time_ms:,.0f} ms" if time_ms < 10_000 else f"{time_ms / 1000:,.1f} s"


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)
