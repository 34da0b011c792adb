"""Reports: sections of text, tables and figures, as one HTML page that stands alone and a PNG file
for each figure.

Nothing is fetched: pictures are data URIs, styles are in the page, and a content security policy
holds it to that. Every text is escaped.
"""

from __future__ import annotations

import importlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
DPI = 144
MOST_COLOURS = 128


@dataclass(frozen=True, slots=True)
class PageTable:
    """Rows under headings, cells as text; the first column names the row, the others are
    numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class FigureImage:
    """A figure as PNG, the name of its file without the ending, and in words what it shows."""

    name: str
    png: bytes
    alt: str


@dataclass(frozen=True, slots=True)
class PageSection:
    """A heading, a sentence or two on how to read what follows, and tables and pictures in their
    order."""

    title: str
    text: str
    parts: Sequence[PageTable | FigureImage] = ()


def need(package: str) -> None:
    """Raises ConfigError, saying how to get it, where a package that reports are made with is not
    installed."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"{error}; install it: pip install 'imgrid-gateway[plan]'") from None


def picture(name: str, figure: Figure, alt: str) -> FigureImage:
    """Draws the figure; in few colours, which flat figures do not need more of, so that files stay
    small."""
    from PIL import Image

    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, facecolor="white")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(MOST_COLOURS, dither=Image.Dither.NONE).save(
            small, "PNG", optimize=True
        )
    return FigureImage(name, small.getvalue(), alt)


def write(file: Path, title: str, lead: str, sections: Sequence[PageSection]) -> Path:
    """Writes the page, and the pictures beside it; the page's path. Raises OSError."""
    folder = file.parent
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for part in section.parts:
            if isinstance(part, FigureImage):
                (folder / f"{part.name}.png").write_bytes(part.png)
    file.write_text(page(title, lead, sections), "utf-8")
    return file


def page(title: str, lead: str, sections: Sequence[PageSection]) -> str:
    """The page alone."""
    template = Template(files(__package__).joinpath("page.html").read_text("utf-8"))
    body = "\n".join(map(_section, sections))
    return template.substitute(title=escape(title), lead=escape(lead), sections=body)


def _section(section: PageSection) -> str:
    parts = "\n".join(
        _table(part) if isinstance(part, PageTable) else _figure(part) for part in section.parts
    )
    return f'<section><h2>{escape(section.title)}</h2><p class="soft lead">{escape(section.text)}</p>{parts}</section>'


def _table(table: PageTable) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    return f'<div class="scroll card"><table><thead><tr>{head}</tr></thead><tbody>{_rows(table)}</tbody></table></div>'


def _rows(table: PageTable) -> str:
    made = []
    for name, *cells in table.rows:
        made.append(
            f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        )
    return "\n".join(made)


def _figure(part: FigureImage) -> str:
    source = f"data:image/png;base64,{b64encode(part.png).decode()}"
    return f'<figure class="card"><img src="{source}" alt="{escape(part.alt)}"></figure>'
