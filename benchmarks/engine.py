"""The local engine beside a bare loop: photos a second and processor time, as ratios in one run.

The bare loop is the least that the work takes on a CPU: a thread a core, each of which decodes a
JPEG, resizes, runs the network and reads its boxes, with OpenCV and ONNX Runtime and nothing else.
Then the same network as a provider of kind `onnx`, in process; and behind HTTP, where the clients
take a part of the same cores. `rect` is the engine as it is set by default, which leaves out the
padding; the others see padded squares, as the bare loop does.

Each part runs in a process of its own, in turns; ratios are those of a round, of which the median
counts.

python benchmarks/engine.py [--model FILE --labels FILE] [--size 416] [--photos 300] [--rounds 5]
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from functools import partial

from common import photos
from engine_parts import (
    CLIENTS,
    WARM_UP_PHOTOS,
    Setup,
    Speed,
    bare_loop,
    cores,
    gateway,
    jpeg_request,
    measured,
    parser,
    picture_of,
    provider_of,
    served_speed,
    setup_of,
)
from rich.console import Console
from rich.table import Table

from providers.detection import Task


def in_process(setup: Setup, *, rectangular: bool) -> Callable[[], None]:
    """All photos through the provider, as many at once as it takes."""
    provider = provider_of(setup, rectangular=rectangular)
    pictures = [picture_of(data, provider) for data in photos(setup.photos)]

    async def ask(count: int) -> None:
        remaining = iter(pictures[:count])

        async def client() -> None:
            for picture in remaining:
                await provider.detect(picture, Task.OBJECTS)

        await asyncio.gather(*(client() for _ in range(provider.about.concurrency)))

    asyncio.run(ask(WARM_UP_PHOTOS))
    return lambda: asyncio.run(ask(setup.photos))


def over_http(setup: Setup, *, rectangular: bool) -> Speed:
    """The speed of a gateway with this provider, asked by clients of this process."""
    requests = [jpeg_request(data) for data in photos(setup.photos)]
    with gateway(setup, rectangular=rectangular) as (url, pid):
        return served_speed(url, pid, requests)


PARTS: dict[str, Callable[[Setup], Speed]] = {
    "bare loop": partial(measured, part=bare_loop),
    "in process, padded": partial(measured, part=partial(in_process, rectangular=False)),
    "in process, rect": partial(measured, part=partial(in_process, rectangular=True)),
    "HTTP, padded": partial(over_http, rectangular=False),
    "HTTP, rect": partial(over_http, rectangular=True),
}


def main() -> None:
    options = parser(__doc__, photos=300).parse_args()
    setup = setup_of(options)
    rounds = []
    for _ in range(options.rounds):
        rounds.append({name: part(setup) for name, part in PARTS.items()})
    table = Table(
        title=f"{options.model.name} at {options.size}, {CLIENTS} clients, {cores()} cores, "
        f"medians of {options.rounds} rounds"
    )
    for column in ("", "photos/s", "ratio to bare", "its range", "CPU ms", "ratio", "MB"):
        table.add_column(column, justify="left" if not column else "right")
    for name in PARTS:
        speeds = [each[name] for each in rounds]
        ratios = [each[name].photos_per_s / each["bare loop"].photos_per_s for each in rounds]
        cpu_ratios = [each[name].cpu_ms / each["bare loop"].cpu_ms for each in rounds]
        rate, cpu_ms, memory_mb = (
            statistics.median(values) for values in zip(*speeds, strict=True)
        )
        table.add_row(
            name,
            f"{rate:.1f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            f"{cpu_ms:.1f}",
            f"{statistics.median(cpu_ratios):.2f}",
            f"{memory_mb:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
