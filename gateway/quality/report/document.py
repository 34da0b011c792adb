"""HTML pages that stand alone: styles, scripts and pictures are inside, nothing is fetched.

A content security policy enforces that. Callers escape every text that comes from outside.
"""

from __future__ import annotations

from base64 import b64encode
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple


class DocumentParts(NamedTuple):
    """HTML and CSS of one kind of page. `scripts` is HTML after the page's content; without it the
    policy forbids scripts. A page that `is_live` reads from the server that it came from."""

    body: str
    style: str
    scripts: str = ""
    is_live: bool = False


def document(title: str, lead: str, parts: DocumentParts) -> str:
    """The page: title and lead as plain text, then the body."""
    sources = "; script-src 'unsafe-inline'" if parts.scripts else ""
    if parts.is_live:
        sources += "; connect-src 'self'"
    return template("gateway.quality.report", "document.html").substitute(
        title=escape(title),
        lead=escape(lead),
        body=parts.body,
        style=parts.style,
        after=parts.scripts,
        more_sources=sources,
    )


def template(package: str, name: str) -> Template:
    """A template that lies in a package."""
    return Template(resource(package, name))


def resource(package: str, name: str) -> str:
    """The text of a file that lies in a package."""
    return files(package).joinpath(name).read_text("utf-8")


def data_uri(image: bytes) -> str:
    """A PNG or JPEG as a URI that holds it."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{b64encode(image).decode()}"
