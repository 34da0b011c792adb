"""The demo's page: one file with the requests, the bill, and each client's answer."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from gateway.demo.report import AnswerRow, CanvasSheet, Summary, page

VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = """<script>alert("1")</script>'&$title"""

SUMMARY = Summary(
    title="Forty clients, one small bill",
    task="text",
    provider="rapidocr",
    photos=240,
    clients=40,
    billed=66,
    alone=240,
    usd_per_1000=1.5,
    seconds=84.25,
    p50_ms=1312.4,
    p99_ms=12_400,
    quality="231 of 240 words read",
    shapes={"2x2": 58, "1x1": 8},
    asked_again=7,
)


def image_bytes(form: str) -> bytes:
    """A small image in this format."""
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 80, 40)).save(file, form)
    return file.getvalue()


CANVAS = CanvasSheet(
    image_bytes("PNG"), "2x2 · stage 1 · 4 photos · 812 ms", "client 01, client 02"
)
ANSWER = AnswerRow(
    "client 07",
    "receipt-02",
    image_bytes("JPEG"),
    "2x2",
    1,
    "TOTAL 35.76",
    0.25,
    41.2,
    12.6,
    2513.0,
)


class Page(HTMLParser):
    """Reads a page and checks that every tag is closed; has the attributes, and the text outside
    scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.texts))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.attributes if name == tag]


def read_page(**changes: object) -> Page:
    """The page of the summary with these changes."""
    return Page(page(replace(SUMMARY, **changes), [CANVAS], [ANSWER]))


def test_the_page_is_well_formed() -> None:
    """Every tag is closed in order, ids are unique, and there is one main heading."""
    html_page = read_page()
    ids = [attributes["id"] for _, attributes in html_page.attributes if "id" in attributes]
    assert html_page.open == []
    assert len(set(ids)) == len(ids)
    assert len(html_page.all("h1")) == 1


def test_the_page_loads_nothing() -> None:
    """The page refers to nothing outside itself, and a policy forbids it to."""
    html = page(SUMMARY, [CANVAS], [ANSWER])
    html_page = Page(html)
    sources = [
        value
        for _, attributes in html_page.attributes
        for key, value in attributes.items()
        if key in ("src", "href")
    ]
    assert not re.search(r"https?:|url\(|@import|//cdn", html)
    assert all(source and source.startswith(("data:image/", "#")) for source in sources)
    assert html_page.all("meta")[3]["content"].startswith("default-src 'none'")


def test_the_headline_names_the_saving() -> None:
    """The headline names photos, billed images, the share saved, and the cost of a million photos a
    month."""
    text = read_page().text
    assert "Saved 72.5% of the images" in text
    assert "Photos asked about 240 by 40 clients" in text
    assert "Images billed 66 instead of 240" in text
    assert (
        "Saved a month $1,088 on a million photos at $1.50 per 1,000: $1,500 alone, "
        "$412 through the gateway" in text
    )


@pytest.mark.parametrize(
    ("billed", "alone", "saved"),
    [(60, 240, "75%"), (240, 240, "0%"), (252, 240, "-5%"), (1, 1000, "99.9%"), (0, 0, "0%")],
)
def test_the_share_saved_is_of_the_bill_alone(billed: int, alone: int, saved: str) -> None:
    """The share saved is 1 - billed / alone, and negative when the gateway cost more."""
    assert f"Saved {saved} of" in read_page(billed=billed, alone=alone).text


def test_a_loss_is_a_negative_saving() -> None:
    """If more was billed than alone, the month's saving is negative."""
    assert "Saved a month -$75.00" in read_page(billed=252).text


def test_monthly_costs_follow_the_images_per_photo() -> None:
    """The month's costs follow the images billed per photo, alone as well as through the
    gateway."""
    assert (replace(SUMMARY, photos=100, alone=120).monthly_usd(120), SUMMARY.monthly_usd(0)) == (
        1800.0,
        0.0,
    )


def test_bars_are_as_long_as_the_images_billed() -> None:
    """The bars are as long as the images billed, and the longer one fills its track."""
    bars = {attributes["class"]: attributes["width"] for attributes in read_page().all("rect")}
    assert (bars["alone"], bars["through"]) == ("100.00", "27.50")


def test_the_page_names_quality_canvases_and_times() -> None:
    """The page names quality, canvases by shape, photos asked again, and times."""
    text = read_page().text
    for fact in (
        "231 of 240 words read",
        "58 of 2x2, 8 of 1x1",
        "7 photos",
        "1,312 ms (p50), 12.4 s (p99)",
        "84.2 s",
    ):
        assert fact in text


def test_each_canvas_is_shown_once() -> None:
    """Each canvas is shown once, with its title, its caption, and an alternative text of both."""
    html_page = Page(page(SUMMARY, [CANVAS, replace(CANVAS, image=image_bytes("JPEG"))], []))
    pictures = [image for image in html_page.all("img") if image.get("src")]
    assert [image["src"].split(";")[0] for image in pictures] == [
        "data:image/png",
        "data:image/jpeg",
    ]
    assert base64.b64decode(pictures[0]["src"].split(",")[1]) == CANVAS.image
    assert pictures[1]["alt"] == "Canvas 2, 2x2 · stage 1 · 4 photos · 812 ms: client 01, client 02"
    assert html_page.text.count(CANVAS.title) == 2


def test_each_answer_is_a_row() -> None:
    """A row has the client, the photo, its shape and stage, the detections, the share and the
    times."""
    assert "client 07 receipt-02 2x2 1 TOTAL 35.76 0.25 41 ms 13 ms 2,513 ms" in read_page().text


def test_an_answer_without_detections_says_nothing() -> None:
    """The row of an answer without detections says "nothing"."""
    assert "nothing 0.25" in Page(page(SUMMARY, [], [replace(ANSWER, detections="")])).text


def test_hostile_texts_are_shown_as_they_are() -> None:
    """Markup in any text is shown, never run, wherever the text stands."""
    summary = replace(
        SUMMARY, title=HOSTILE, task=HOSTILE, provider=HOSTILE, quality=HOSTILE, shapes={HOSTILE: 1}
    )
    answer = replace(ANSWER, client=HOSTILE, photo=HOSTILE, shape=HOSTILE, detections=HOSTILE)
    html_page = Page(page(summary, [replace(CANVAS, title=HOSTILE, caption=HOSTILE)], [answer]))
    assert len(html_page.all("script")) == 1
    assert html_page.open == []
    assert html_page.text.count(HOSTILE) >= 11
    assert not [
        name
        for _, attributes in html_page.attributes
        for name in attributes
        if name.startswith("on")
    ]


def test_a_run_without_photos_has_a_page() -> None:
    """A run without photos has a page, not an error."""
    text = Page(page(replace(SUMMARY, photos=0, billed=0, alone=0, shapes={}), [], [])).text
    assert "$0 alone, $0 through the gateway" in text
    assert "Canvases by shape none" in text


def test_a_count_of_one_is_singular() -> None:
    """One client, one photo and one image are in the singular."""
    text = read_page(clients=1, photos=1, billed=1, alone=1, asked_again=1).text
    assert "1 client asked for text in 1 photo." in text
    assert not re.search(r"\b1 (clients|photos|images)\b", text)
