"""Pages of sections: text, tables and figures. The pictures are also written beside the page."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gateway.config.errors import ConfigError
from gateway.quality.report.document import DocumentParts, data_uri, document, resource
from providers.extras import install_hint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
DPI = 144
MOST_COLOURS = 128


class PagePart(Protocol):
    """What a section shows under its text."""

    def html(self) -> str:
        """The part as HTML, with every text escaped."""
        ...


@dataclass(frozen=True, slots=True)
class PageTable:
    """Rows of text under headings. The column `name` names the row and is to the left, the others
    are numbers. The row at `strong` stands out."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    name: int = 0
    strong: int | None = None

    def html(self) -> str:
        head = "".join(
            f'<th scope="col"{self._class(index)}>{escape(column)}</th>'
            for index, column in enumerate(self.columns)
        )
        rows = "\n".join(self._row(index, row) for index, row in enumerate(self.rows))
        return (
            f'<div class="scroll card"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )

    def _class(self, column: int) -> str:
        return ' class="name"' if column == self.name else ""

    def _row(self, index: int, row: Sequence[str]) -> str:
        cells = []
        for column, text in enumerate(row):
            is_name = column == self.name
            opening, closing = ('th scope="row"', "th") if is_name else ("td", "td")
            cells.append(f"<{opening}{self._class(column)}>{escape(text)}</{closing}>")
        strong = ' class="strong"' if index == self.strong else ""
        return f"<tr{strong}>{''.join(cells)}</tr>"


@dataclass(frozen=True, slots=True)
class FigureImage:
    """A figure as PNG, its file name without the suffix, and its alternative text. `narrow` is the
    same figure for narrow windows, where there is one."""

    name: str
    png: bytes
    alt: str
    narrow: bytes | None = None

    def html(self) -> str:
        source = ""
        if self.narrow is not None:
            source = f'<source media="(max-width: 640px)" srcset="{data_uri(self.narrow)}">'
        shape = "" if self.narrow is None else ' class="fits"'
        image = f'<img src="{data_uri(self.png)}" alt="{escape(self.alt)}"{shape}>'
        return f'<figure class="card drawing"><picture>{source}{image}</picture></figure>'


@dataclass(frozen=True, slots=True)
class PageCommand:
    """A command to copy."""

    command: str

    def html(self) -> str:
        return f'<pre class="card command"><code>{escape(self.command)}</code></pre>'


@dataclass(frozen=True, slots=True)
class PageSection:
    """A heading, a few sentences on how to read the section, and its parts. A folded one shows its
    heading until it is opened."""

    title: str
    text: str
    parts: Sequence[PagePart] = ()
    folded: bool = False


def need(package: str) -> None:
    """Raises ConfigError, naming the extra to install, where a package is missing."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"{error}; {install_hint('plan')}") from None


def picture(name: str, figure: Figure, alt: str, narrow: Figure | None = None) -> FigureImage:
    """The figure as a PNG, and as another one for narrow windows."""
    return FigureImage(name, _png(figure), alt, None if narrow is None else _png(narrow))


def _png(figure: Figure) -> bytes:
    """The figure as a PNG of few colours, which is enough for flat areas and makes small files."""
    from PIL import Image

    full, small = BytesIO(), BytesIO()
    figure.savefig(full, format="png", dpi=DPI, facecolor="white")
    with Image.open(full) as image:
        palette = image.convert("RGB").quantize(MOST_COLOURS, dither=Image.Dither.NONE)
    palette.save(small, "PNG", optimize=True)
    return small.getvalue()


def write(file: Path, title: str, lead: str, sections: Sequence[PageSection]) -> Path:
    """Writes the page and its pictures, and returns the page's path. Raises OSError."""
    folder = file.parent
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for part in section.parts:
            if isinstance(part, FigureImage):
                (folder / f"{part.name}.png").write_bytes(part.png)
    file.write_text(page(title, lead, sections), "utf-8")
    return file


def page(title: str, lead: str, sections: Sequence[PageSection]) -> str:
    """The page as HTML."""
    body = "\n".join(map(_section, sections))
    return document(
        title, lead, DocumentParts(body, resource("gateway.quality.report", "page.css"))
    )


def _section(section: PageSection) -> str:
    title, text = escape(section.title), escape(section.text)
    parts = "\n".join(part.html() for part in section.parts)
    content = f'<p class="soft lead">{text}</p>{parts}'
    if section.folded:
        return f"<details><summary><h2>{title}</h2></summary>{content}</details>"
    return f"<section><h2>{title}</h2>{content}</section>"
