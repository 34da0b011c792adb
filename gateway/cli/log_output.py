"""Where the log of `imgrid serve` goes: to a person at a terminal, or as lines to a program."""

from __future__ import annotations

import logging
import warnings

from rich.logging import RichHandler

from gateway.cli.console import err
from gateway.observe.log_format import LogFormat, line_handler


def start_log(log_format: LogFormat, level: str) -> None:
    """Writes the log of the process to standard error, warnings of Python included. As JSON, or
    where that is no terminal, each record is one line."""
    for_people = err.is_terminal and log_format == "text"
    handler = RichHandler(console=err, show_path=False) if for_people else line_handler(log_format)
    logging.basicConfig(level="INFO", format="%(message)s", handlers=[handler])
    logging.captureWarnings(True)
    # what Pillow thinks of a client's photo is in the client's answer
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("imgrid").setLevel(level)
