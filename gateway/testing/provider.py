"""A fake provider, which answers as a script says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from providers.base import About, Picture
from providers.detection import Detection, Task
from providers.errors import PictureRefused, ProviderError
from providers.shapes import shapes_on

Script = Callable[[Picture, Task], Sequence[Detection]]
"""The answer to a call. May raise a ProviderError."""


def image_of(picture: Picture) -> Image.Image:
    """The picture's pixels, which it may hold as an image, undrawn or as a file. Raises
    PictureRefused where they cannot be decoded."""
    if picture.draw is not None:
        return picture.draw(picture.size)
    if picture.pixels is not None:
        return picture.pixels
    try:
        with Image.open(BytesIO(picture.data)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureRefused(str(error)) from error


def see_shapes(picture: Picture, task: Task) -> Sequence[Detection]:
    """A script that finds the coloured shapes on the picture."""
    return shapes_on(image_of(picture))


def about(name: str = "fake", *, task: Task = Task.OBJECTS, **changes: Any) -> About:
    """A fake's description of itself; `changes` are fields of `About`."""
    fields = {
        "name": name,
        "kind": "fake",
        "tasks": frozenset({task}),
        "canvas_px": (320, 320),
        **changes,
    }
    return About(**fields)


_default_about = about


class ScriptedProvider:
    """A provider that answers as its script says.

    The first calls raise the `errors`, one each. With a `gate`, every call waits until it is set.
    `ready` raises the `problem`. Holds the `pictures` and the requested `features` of all calls,
    and how many calls are active, now and at most.
    """

    def __init__(
        self,
        script: Script = see_shapes,
        *,
        about: About | None = None,
        errors: Iterable[Exception] = (),
        gate: asyncio.Event | None = None,
        problem: ProviderError | None = None,
    ) -> None:
        self.pictures: list[Picture] = []
        self.features: list[tuple[str, ...]] = []
        self.active_calls = 0
        self.max_active_calls = 0
        self.closed = False
        self._about = about or _default_about()
        self._script = script
        self._errors = iter(errors)
        self._gate = gate
        self._problem = problem

    @property
    def about(self) -> About:
        return self._about

    @property
    def calls(self) -> int:
        """The number of calls, failed ones included."""
        return len(self.pictures)

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        self.features.append(tuple(extras))
        self.pictures.append(picture)
        self.active_calls += 1
        self.max_active_calls = max(self.max_active_calls, self.active_calls)
        try:
            await (self._gate.wait() if self._gate else asyncio.sleep(0))
            error = next(self._errors, None)
            if error is not None:
                raise error
            return self._script(picture, task)
        finally:
            self.active_calls -= 1

    async def ready(self) -> None:
        if self._problem is not None:
            raise self._problem

    async def close(self) -> None:
        self.closed = True
