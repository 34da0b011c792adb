"""Progress bars, warnings and prices on the console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Display

if TYPE_CHECKING:
    from gateway.quality.collect.photos import LabelledPhotos
    from gateway.quality.progress import Advance
    from gateway.quality.quote import Confirm, Quote, QuoteItem


class Bars:
    """Progress as bars. Each stage has a display of its own, unless it is inside `together`.

    Holds the display that stages share.
    """

    def __init__(self, console: Console, time_column: type[ProgressColumn]) -> None:
        self._console = console
        self._time_column = time_column
        self._shared: Display | None = None

    def _display(self) -> Display:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        return Display(*columns, self._time_column(), console=self._console)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Shows the stages of the block in one display, their bars aligned."""
        try:
            with self._display() as self._shared:
                yield
        finally:
            self._shared = None

    @contextmanager
    def stage(self, label: str, total: int) -> Iterator[Advance]:
        if self._shared is not None:
            yield _bar(self._shared, label, total)
            return
        with self._display() as display:
            yield _bar(display, label, total)

    def warn(self, message: str) -> None:
        self._console.print(f"[yellow]{message}[/]")


def _bar(display: Display, label: str, total: int) -> Advance:
    bar = display.add_task(label, total=total)
    return lambda: display.advance(bar)


def print_unreadable(photos: LabelledPhotos, console: Console) -> None:
    """Names the photos that are left out."""
    for path, reason in photos.unreadable.items():
        console.print(f"[yellow]left out:[/] {path}: {reason}")


def print_price(description: str, item: QuoteItem, console: Console) -> None:
    as_of = f", list price of {item.price.as_of}" if item.price.as_of else ""
    console.print(f"{description}: about [bold]{item.usd:.2f} USD[/]{as_of}")


def print_total(quote: Quote, console: Console) -> None:
    """Names the total where it has several parts."""
    if sum(item.images > 0 for item in quote.items) > 1:
        console.print(f"in all: about [bold]{quote.usd:.2f} USD[/]")


def confirmation(console: Console, *, confirmed: bool) -> Confirm:
    """Names the price of a purchase, and asks whether to go on unless that is confirmed."""

    def confirm(quote: Quote) -> bool:
        if not quote.images:
            console.print(f"all {quote.stored_images} answers are here already; nothing to pay")
            return True
        for item in quote.items:
            if item.images:
                total = item.images + item.stored_images
                description = (
                    f"{item.images} images to ask {item.provider} about{item.purpose} "
                    f"({item.stored_images} of {total} are paid for already)"
                )
                print_price(description, item, console)
        print_total(quote, console)
        return goes_on(confirmed=confirmed)

    return confirm


def goes_on(*, confirmed: bool) -> bool:
    """Whether the user agrees to the price that was named."""
    return confirmed or typer.confirm("Go on?")
