"""Draws signs, receipts, labels and notices to read. The demo needs no photos, and every word on
them is known.

A design is plain data: texts and blocks on a sheet of 640x480 pixels, or 480x640 if a block reaches
below 480. All designs are painted alike: the sheet is drawn at twice its size, tilted, laid with a
shadow on a blurred ground, lit unevenly and given grain. A kind has the name of its function.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter, ImageFont

Rgb = tuple[int, int, int]

OVERSAMPLE = 2
LARGE = 1.875
"""Scales a sheet of 640x480 to 1200x900. One sign in four is that large."""

WHITE, PAPER, INK = (255, 255, 255), (250, 247, 238), (34, 36, 42)
GREEN, BLUE, RED, BROWN = (12, 104, 70), (24, 72, 150), (176, 34, 40), (104, 66, 38)
TEAL, PLUM, NAVY, AMBER, STEEL = (
    (10, 110, 118),
    (104, 40, 96),
    (22, 36, 74),
    (246, 196, 66),
    (136, 140, 146),
)
GROUNDS = "#96b6ce #5c6e68,#ac8e6e #604a3a,#7c808a #464a54,#c4b8a6 #807870,#708674 #3a4c48"
STREETS = (
    "Maple,Harbor,Castle,Garden,Mill,Station,River,Market,Chapel,Orchard,Bridge,Meadow,Cedar,"
    "Winter,King"
)
SHOPS = (
    "Luna,Atlas,Marigold,Copper,Juniper,Hudson,Olive,Saffron,Willow,Pepper,Indigo,Harvest,"
    "Lantern,Nordic"
)
TRADES = "Bakery,Books,Coffee,Flowers,Records,Pharmacy,Optics,Cycles,Tailor,Cinema,Hardware,Grocer"
GOODS = (
    "Bread,Coffee,Butter,Apples,Cheese,Honey,Pasta,Lemons,Yogurt,Tomato,Olives,Muffin,Salmon,"
    "Mustard"
)
FLAVOURS = (
    "Wild Berry,Sea Salt,Dark Roast,Green Tea,Smoked Chili,Sweet Orange,Black Pepper,Forest Honey"
)
CITIES = (
    "Lisbon,Oslo,Vienna,Nairobi,Boston,Kyoto,Prague,Sydney,Denver,Athens,Quito,Geneva,Dublin,"
    "Tallinn"
)
PEOPLE = "Anna Berg,Omar Haddad,Julia Stone,Peter Novak,Mei Tanaka,Rosa Delgado,Samuel Grant"
MONTHS = "JAN,FEB,MAR,APR,MAY,JUN,JUL,AUG,SEP,OCT,NOV,DEC"


@dataclass(frozen=True)
class Sign:
    """One drawn photo and the words on it, in reading order, spelled as drawn."""

    name: str
    jpeg: bytes
    words: tuple[str, ...]


class Text(NamedTuple):
    """A text. `anchor` is Pillow's: mm centred on `xy`, lm to its right, rm to its left. A text
    wider than `room_px` is shrunk."""

    value: str
    xy: tuple[float, float]
    size_px: int
    ink: Rgb = INK
    anchor: str = "mm"
    room_px: float = 560
    bold: bool = True


class TextBlock(NamedTuple):
    """A filled rectangle (x0, y0, x1, y1), with round corners and an edge where they are given."""

    rect: tuple[float, float, float, float]
    fill: Rgb
    radius_px: float = 0
    edge: Rgb | None = None


Design = tuple[Text | TextBlock, ...]


def draw(count: int, seed: int = 7) -> list[Sign]:
    """`count` signs of all kinds in turn. With the same seed, a longer list begins with the shorter
    one."""
    return [_sign(number, Random(f"{seed}/{number}")) for number in range(1, count + 1)]


def _sign(number: int, rng: Random) -> Sign:
    design_of = KINDS[(number - 1) % len(KINDS)]
    design = design_of(rng)
    words = tuple(word for part in design if isinstance(part, Text) for word in part.value.split())
    return Sign(f"{design_of.__name__}-{number:02d}", _photograph(design, rng), words)


def _photograph(design: Design, rng: Random) -> bytes:
    """The design as a photo, in JPEG."""
    scale = LARGE if rng.random() < 0.25 else 1.0
    tall = any(part.rect[3] > 480 for part in design if isinstance(part, TextBlock))
    size = (
        (round(480 * scale), round(640 * scale))
        if tall
        else (round(640 * scale), round(480 * scale))
    )
    grain = np.random.default_rng(rng.getrandbits(32))
    photo = _ground(size, _one(rng, GROUNDS), grain)
    sheet = (
        _sheet(design, size, scale)
        .rotate(rng.uniform(-2.2, 2.2), Image.Resampling.BILINEAR)
        .reduce(OVERSAMPLE)
    )
    shadow = (
        sheet.getchannel("A")
        .point([a // 2 for a in range(256)])
        .filter(ImageFilter.GaussianBlur(9 * scale))
    )
    photo.paste((16, 16, 20), (round(5 * scale), round(9 * scale)), shadow)
    photo.paste(sheet, (0, 0), sheet)
    out = io.BytesIO()
    lit(photo, grain).save(out, "JPEG", quality=88)
    return out.getvalue()


def _ground(size: tuple[int, int], colours: str, grain: np.random.Generator) -> Image.Image:
    """A background out of focus: from one colour at the top to the other at the bottom, with soft
    blotches."""
    top, bottom = (np.array(ImageColor.getrgb(colour), float) for colour in colours.split())
    blend = np.linspace(0, 1, 5)[:, None, None]
    blotches = (
        top * (1 - blend)
        + bottom * blend
        + grain.normal(0, 14, (5, 6, 1))
        + grain.normal(0, 4, (5, 6, 3))
    )
    return Image.fromarray(blotches.clip(0, 255).astype(np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )


def _sheet(design: Design, size: tuple[int, int], scale: float) -> Image.Image:
    sheet = Image.new("RGBA", (size[0] * OVERSAMPLE, size[1] * OVERSAMPLE), (0, 0, 0, 0))
    for part in design:
        _paint(ImageDraw.Draw(sheet), part, scale * OVERSAMPLE)
    return sheet


def _paint(pen: ImageDraw.ImageDraw, part: Text | TextBlock, zoom: float) -> None:
    if isinstance(part, TextBlock):
        rect = [side * zoom for side in part.rect]
        pen.rounded_rectangle(
            rect, part.radius_px * zoom, part.fill, part.edge, round(6 * zoom) if part.edge else 0
        )
        return
    width_px = ImageFont.load_default(part.size_px).getlength(part.value)
    font = ImageFont.load_default(part.size_px * zoom * min(1, part.room_px / width_px))
    at = (part.xy[0] * zoom, part.xy[1] * zoom)
    stroke_px = part.size_px * zoom / 45 if part.bold else 0
    pen.text(at, part.value, part.ink, font, part.anchor, stroke_width=stroke_px)


def lit(photo: Image.Image, grain: np.random.Generator) -> Image.Image:
    """The photo with light that falls off towards one corner, and with a sensor's noise."""
    pixels = np.asarray(photo, np.float32)
    height, width = pixels.shape[:2]
    slope_y, slope_x = grain.uniform(-0.09, 0.09, 2)
    light = (
        0.98
        + slope_y * np.linspace(-1, 1, height)[:, None]
        + slope_x * np.linspace(-1, 1, width)[None, :]
    )
    noise = grain.standard_normal((height, width, 1), np.float32) * 3.5
    return Image.fromarray((pixels * light[:, :, None] + noise).clip(0, 255).astype(np.uint8))


def _one(rng: Random, choices: str) -> str:
    return rng.choice(choices.split(","))


def _goods(rng: Random, count: int) -> list[tuple[str, int]]:
    """Different names, and their prices in cents."""
    return [(good, rng.randint(110, 990)) for good in rng.sample(GOODS.split(","), count)]


def street(rng: Random) -> Design:
    return (
        TextBlock((296, 300, 344, 480), STEEL),
        TextBlock((34, 76, 606, 356), board := rng.choice((GREEN, BLUE, BROWN, PLUM)), 26),
        TextBlock((44, 86, 596, 346), board, 20, WHITE),
        Text(
            f"{_one(rng, STREETS)} {_one(rng, 'Street,Avenue,Road,Lane')}",
            (320, 160),
            74,
            WHITE,
            room_px=490,
        ),
        TextBlock((84, 218, 556, 222), WHITE),
        Text(f"{_one(rng, CITIES)} {rng.randint(12, 88)} km", (84, 280), 48, WHITE, "lm", 290),
        Text(f"Exit {rng.randint(12, 98)}", (556, 280), 48, WHITE, "rm", 160),
    )


def shop(rng: Random) -> Design:
    board, trim = rng.choice(
        ((NAVY, AMBER), (TEAL, WHITE), (RED, WHITE), (INK, AMBER), (PLUM, WHITE))
    )
    return (
        TextBlock((20, 40, 620, 262), board, 12),
        *(
            TextBlock((20 + 75 * i, 262, 95 + 75 * i, 332), board if i % 2 else WHITE)
            for i in range(8)
        ),
        TextBlock((14, 254, 626, 266), trim),
        Text(f"{_one(rng, SHOPS)} {_one(rng, TRADES)}", (320, 122), 86, trim, room_px=540),
        Text(f"Family shop since {rng.randint(1880, 1990)}", (320, 206), 38, WHITE),
        TextBlock((110, 364, 530, 444), PAPER, 14),
        Text(
            f"Open {rng.randint(7, 10)} AM to {rng.randint(5, 9)} PM", (320, 404), 44, room_px=390
        ),
    )


def receipt(rng: Random) -> Design:
    goods = _goods(rng, rng.randint(4, 6))
    end_y = 184 + 50 * len(goods)
    return (
        TextBlock((48, 16, 432, end_y + 140), PAPER),
        Text(f"{_one(rng, SHOPS)} Market", (240, 68), 46, room_px=350),
        Text(f"{rng.randint(12, 28)} {_one(rng, MONTHS)} 2025", (240, 118), 32, bold=False),
        TextBlock((72, 150, 408, 153), INK),
        *(
            part
            for row, good in enumerate(goods)
            for part in _priced(*good, (72, 408, 188 + 50 * row))
        ),
        TextBlock((72, end_y, 408, end_y + 3), INK),
        *_priced("TOTAL", sum(cents for _, cents in goods), (72, 408, end_y + 44), 44),
        Text("Thank you", (240, end_y + 102), 34, bold=False),
    )


def _priced(
    name: str, cents: int, row: tuple[float, float, float], size_px: int = 34, ink: Rgb = INK
) -> Design:
    """A name and its price at the two ends of a row, which is (left, right, y of its middle)."""
    left, right, y = row
    label_text = Text(name, (left, y), size_px, ink, "lm", right - left - 110, bold=False)
    price_text = Text(f"{cents / 100:.2f}", (right, y), size_px, ink, "rm", bold=False)
    return label_text, price_text


def label(rng: Random) -> Design:
    band, glass = rng.choice(
        ((GREEN, (214, 176, 92)), (RED, (206, 214, 216)), (NAVY, (196, 150, 110)), (TEAL, AMBER))
    )
    return (
        TextBlock((130, 14, 350, 90), band, 16),
        TextBlock((60, 70, 420, 626), glass, 54),
        TextBlock((60, 156, 420, 560), PAPER),
        TextBlock((60, 176, 420, 296), band),
        Text(_one(rng, SHOPS).upper(), (240, 236), 66, WHITE, room_px=320),
        Text(_one(rng, FLAVOURS), (240, 350), 52, room_px=320),
        Text(
            _one(rng, "Organic quality,Small batch,Hand picked,No added sugar"),
            (240, 416),
            36,
            band,
        ),
        Text(f"Net {rng.randrange(150, 950, 10)} grams", (240, 468), 36, bold=False),
        Text(f"Best before {_one(rng, MONTHS)} 2027", (240, 522), 34, bold=False, room_px=336),
    )


def parking(rng: Random) -> Design:
    return (
        TextBlock((222, 520, 258, 640), STEEL),
        TextBlock((70, 24, 410, 590), WHITE, 28),
        TextBlock((80, 34, 400, 580), WHITE, 22, ink := rng.choice((RED, INK, BLUE))),
        TextBlock((170, 62, 310, 202), RED, 70),
        TextBlock((194, 117, 286, 147), WHITE),
        Text(
            _one(rng, "No parking,No stopping,Tow away zone,No entry"),
            (240, 262),
            54,
            ink,
            room_px=280,
        ),
        Text(f"{_one(rng, 'Mon,Tue,Wed')} to {_one(rng, 'Fri,Sat')}", (240, 334), 46),
        Text(f"{rng.randint(6, 10)} AM to {rng.randint(3, 9)} PM", (240, 396), 44, room_px=280),
        Text(f"Max {rng.randrange(20, 95, 5)} minutes", (240, 460), 38, room_px=280),
        Text(f"Zone {rng.randint(12, 99)}", (240, 528), 44, ink),
    )


def boarding(rng: Random) -> Design:
    start, end = rng.sample(CITIES.split(","), 2)
    gate, seat = (
        f"{rng.choice('ACDEF')}{rng.randint(2, 49)}",
        f"{rng.randint(4, 39)}{rng.choice('ACDEF')}",
    )
    columns = (
        ("Gate", gate, 44),
        ("Seat", seat, 204),
        ("Boards", f"{rng.randint(10, 22)}:{rng.randint(10, 59)}", 344),
    )
    return (
        TextBlock((16, 50, 624, 430), PAPER, 24),
        TextBlock((16, 50, 624, 126), band := rng.choice((NAVY, TEAL, RED, PLUM)), 24),
        Text(f"{_one(rng, SHOPS)} Air", (44, 88), 44, WHITE, "lm"),
        Text("Boarding pass", (596, 88), 36, WHITE, "rm", bold=False),
        Text(_one(rng, PEOPLE), (44, 168), 38, anchor="lm", bold=False, room_px=430),
        Text(f"{start} to {end}", (44, 238), 58, band, "lm", 430),
        *(Text(name, (x, 312), 34, (92, 94, 100), "lm", bold=False) for name, _, x in columns),
        *(Text(value, (x, 368), 52, INK, "lm") for _, value, x in columns),
        *(TextBlock((510, y, 590, y + rng.choice((3, 5, 8))), INK) for y in range(150, 400, 13)),
    )


def menu(rng: Random) -> Design:
    chalk = rng.choice(((244, 240, 226), AMBER, (190, 226, 214)))
    dishes = [(f"{good} {_one(rng, 'soup,salad,toast')}", cents) for good, cents in _goods(rng, 3)]
    return (
        TextBlock((24, 24, 616, 456), (142, 98, 58), 10),
        TextBlock((42, 42, 598, 438), (38, 50, 46)),
        Text(f"Lunch at {_one(rng, SHOPS)}", (320, 104), 62, chalk, room_px=500),
        TextBlock((80, 150, 560, 154), chalk),
        *(
            part
            for row, dish in enumerate(dishes)
            for part in _priced(*dish, (80, 560, 202 + 66 * row), 46, WHITE)
        ),
        Text(f"Served until {rng.randint(2, 4)} PM", (320, 402), 36, chalk, bold=False),
    )


KINDS = (street, receipt, shop, label, boarding, parking, menu)
