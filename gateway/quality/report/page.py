"""Pages of sections: text, tables and figures. The pictures are also written beside the page."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.errors import ConfigError
from gateway.quality.report.document import DocumentParts, data_uri, document, resource
from providers.extras import install_hint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
DPI = 144
MOST_COLOURS = 128


@dataclass(frozen=True, slots=True)
class PageTable:
    """Rows of text under headings. The first column names the row, the others are numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class FigureImage:
    """A figure as PNG, its file name without the suffix, and its alternative text."""

    name: str
    png: bytes
    alt: str


@dataclass(frozen=True, slots=True)
class PageSection:
    """A heading, a few sentences on how to read the section, and its tables and figures."""

    title: str
    text: str
    parts: Sequence[PageTable | FigureImage] = ()


def need(package: str) -> None:
    """Raises ConfigError, naming the extra to install, where a package is missing."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"{error}; {install_hint('plan')}") from None


def picture(name: str, figure: Figure, alt: str) -> FigureImage:
    """The figure as a PNG of few colours, which is enough for flat areas and makes small files."""
    from PIL import Image

    full, small = BytesIO(), BytesIO()
    figure.savefig(full, format="png", dpi=DPI, facecolor="white")
    with Image.open(full) as image:
        palette = image.convert("RGB").quantize(MOST_COLOURS, dither=Image.Dither.NONE)
    palette.save(small, "PNG", optimize=True)
    return FigureImage(name, small.getvalue(), alt)


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
    parts = "\n".join(map(_part, section.parts))
    return f'<section><h2>{title}</h2><p class="soft lead">{text}</p>{parts}</section>'


def _part(part: PageTable | FigureImage) -> str:
    if isinstance(part, PageTable):
        return _table(part)
    image = f'<img src="{data_uri(part.png)}" alt="{escape(part.alt)}">'
    return f'<figure class="card">{image}</figure>'


def _table(table: PageTable) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows = "\n".join(map(_row, table.rows))
    return (
        f'<div class="scroll card"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(row: Sequence[str]) -> str:
    name, *numbers = row
    cells = "".join(f"<td>{escape(number)}</td>" for number in numbers)
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
