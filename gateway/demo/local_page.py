"""The page of the local engine's demo: photos a second, and the answer to each photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gateway.demo.report import bar, count_text, fact_list, lines, ms_text, number_card
from gateway.demo.result import latencies_ms, thumbnail
from gateway.demo.run import ClientReply, DemoRun
from gateway.quality.report.document import (
    DocumentParts,
    data_uri,
    document,
    resource,
    template,
)

TITLE = "A network of your own behind the gateway"


@dataclass(frozen=True, slots=True)
class SpeedSummary:
    """A run beside what the machine's calibration foresees for it, without gateway and clients."""

    photos: int
    failures: int
    clients: int
    seconds: float
    p50_ms: float
    p99_ms: float
    foreseen_per_s: float
    machine: str

    @property
    def photos_per_s(self) -> float:
        """The photos a second that were answered."""
        return (self.photos - self.failures) / self.seconds

    @property
    def share(self) -> float:
        """The photos a second as a share of those foreseen."""
        return self.photos_per_s / self.foreseen_per_s


def speed_summary(run: DemoRun, foreseen_per_s: float, machine: str) -> SpeedSummary:
    """The run in figures."""
    p50_ms, p99_ms = latencies_ms(run.replies)
    return SpeedSummary(
        photos=len(run.replies),
        failures=sum(bool(reply.error) for reply in run.replies),
        clients=run.plan.clients,
        seconds=run.seconds,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        foreseen_per_s=foreseen_per_s,
        machine=machine,
    )


def first_replies(run: DemoRun) -> list[ClientReply]:
    """The first reply about each photo, in the photos' order."""
    first: dict[str, ClientReply] = {}
    for reply in run.replies:
        first.setdefault(reply.shot.name, reply)
    return [first[name] for name in sorted(first)]


def speed_page(summary: SpeedSummary, replies: Sequence[ClientReply]) -> str:
    """The page as HTML, which stands alone, with a row for each of the replies."""
    body = template("gateway.demo", "local.html").substitute(
        numbers=_numbers(summary),
        bars=_bars(summary),
        facts=_facts(summary),
        answers=lines(map(_row, replies)),
    )
    clients, photos = count_text(summary.clients, "client"), count_text(summary.photos, "photo")
    lead = (
        f"{clients} had {photos} moderated through boto3, by a network that the gateway runs "
        "itself, with the settings that were the fastest on this machine. Nothing is billed."
    )
    return document(TITLE, lead, DocumentParts(body, resource("gateway.demo", "page.css")))


def _numbers(summary: SpeedSummary) -> str:
    through, foreseen = f"{summary.photos_per_s:,.1f}", f"{summary.foreseen_per_s:,.1f}"
    note = f"through the gateway, with {count_text(summary.clients, 'client')} on this machine"
    return lines(
        (
            number_card("Photos a second", through, note, "number chief card"),
            number_card("Foreseen", foreseen, "by calibration: decoding and network alone"),
            number_card("Share", f"{summary.share:.0%}", "of what was foreseen"),
            number_card("An answer took", ms_text(summary.p50_ms), "half of them"),
        )
    )


def _bars(summary: SpeedSummary) -> str:
    rates = {"Foreseen": summary.foreseen_per_s, "Through the gateway": summary.photos_per_s}
    styles, most = ("alone", "through"), max(rates.values())
    return lines(
        bar(name, rate / most, _rate(rate), css)
        for (name, rate), css in zip(rates.items(), styles, strict=True)
    )


def _facts(summary: SpeedSummary) -> str:
    return fact_list(
        {
            "Machine": summary.machine,
            "Photos not answered": f"{summary.failures:,}",
            "99 % of answers took at most": ms_text(summary.p99_ms),
            "The whole run took": f"{summary.seconds:,.1f} s",
        }
    )


def _rate(photos_per_s: float) -> str:
    return f"{photos_per_s:,.1f} photos/s"


def _row(reply: ClientReply) -> str:
    photo = escape(reply.shot.name)
    return (
        f'<tr><td><img src="{data_uri(thumbnail(reply.shot.data))}" alt="{photo}"></td>'
        f'<td class="name">{photo}</td>'
        f'<td class="found">{escape(", ".join(reply.texts)) or "nothing"}</td>'
        f'<td class="n">{ms_text(1000 * reply.seconds)}</td></tr>'
    )
