"""Photos that name themselves: six blocks whose colours are the digits of a number. Read back from
what was found."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.testing.pictures import DIGITS, Block, drawn, encoded

COLS, ROWS = 2, 3
NUMBERS = len(DIGITS) ** (COLS * ROWS)
SIDE_PX = 144
LEAST_AREA = 0.28
"""Between the areas that the blocks of faint photos (0.17) and of others (0.38) cover: an imgrid
rule with this mean asks again about the faint ones."""


def faint(number: int) -> bool:
    """Every fifth photo has small blocks."""
    return number % 5 == 0


def picture(number: int) -> bytes:
    """The photo of a number below `NUMBERS`, as PNG."""
    cell_w, cell_h = SIDE_PX // COLS, SIDE_PX // ROWS
    share = 0.42 if faint(number) else 0.62
    width, height = round(cell_w * share), round(cell_h * share)
    blocks = []
    for place in range(COLS * ROWS):
        number, digit = divmod(number, len(DIGITS))
        x = place % COLS * cell_w + (cell_w - width) // 2
        y = place // COLS * cell_h + (cell_h - height) // 2
        blocks.append(Block(DIGITS[digit], x, y, x + width, y + height))
    return encoded(drawn((SIDE_PX, SIDE_PX), *blocks))


def read(found: Iterable[tuple[str, float, float]]) -> int | None:
    """The number of which these are the blocks, as label and midpoint; None where they are not just
    one photo's."""
    digits: dict[int, int] = {}
    for label, x, y in found:
        place = int(x * COLS) + COLS * int(y * ROWS)
        if place in digits or label.lower() not in DIGITS:
            return None
        digits[place] = DIGITS.index(label.lower())
    if digits.keys() != set(range(COLS * ROWS)):
        return None
    return sum(digit * len(DIGITS) ** place for place, digit in digits.items())


def number_in(photo: dict[str, object]) -> int | None:
    """The number that an answer of the native dialect about one photo names."""
    found = [(str(each["label"]), each["box"]) for each in photo["detections"]]  # type: ignore[attr-defined]
    return read(
        (label, (box["x0"] + box["x1"]) / 2, (box["y0"] + box["y1"]) / 2) for label, box in found
    )
