"""The command `run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.console import ConfigFile, Yes, out, paragraph_help, read
from gateway.config.defaults import DEFAULT_FILE
from gateway.config.errors import ConfigError

if TYPE_CHECKING:
    pass

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@paragraph_help
def run(
    photos: Annotated[
        str,
        typer.Argument(
            help="A folder; a list (.txt), a manifest (.csv, .jsonl, .manifest), a tar shard or a "
            "Parquet file; or the beginning of names in a bucket: s3://, gs:// or az://."
        ),
    ],
    route: Annotated[str, typer.Option(help="The route that answers.")] = "objects",
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for the results; name it again to go on.")
    ] = Path("results"),
    file_format: Annotated[
        Literal["jsonl", "parquet"], typer.Option("--format", help="Of the results.")
    ] = "jsonl",
    chunk: Annotated[
        int, typer.Option(min=1, max=100_000, help="Photos in one file of results.")
    ] = 1000,
    in_flight: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Photos asked about at once; by default what fills all canvases.",
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray", "daft"],
        typer.Option(
            help="Who answers: this process, or workers of Ray or Daft, a chunk at a time."
        ),
    ] = "local",
    workers: Annotated[
        int, typer.Option(min=1, help="Of ray and daft: how many, each with a core or more.")
    ] = 1,
    limit_usd: Annotated[
        float | None, typer.Option(min=0, help="Never spend more than that.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(help="Begin no photo after so long, such as 90m or 2h.")
    ] = None,
    aggregate: Annotated[
        str | None,
        typer.Option(
            help='Running answers to show, such as "share(person), mean(car), accuracy"; photos '
            "come in random order then."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help='End when an answer is so exact, such as "share(person) +- 0.01".'),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="For accuracy: a table of labels (labels.csv), or folders: their names."),
    ] = None,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Take photos in random order anyway.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random order.")] = 0,
    live: Annotated[
        bool,
        typer.Option("--live", help="Show a page of the run on this machine while it goes on."),
    ] = False,
    yes: Yes = False,
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Ask about many photos, and write an answer for each: in chunks, by the gateway's own
    pipeline, without a server.

    The price, the time and the saving are said before anything is spent. Every answer is on disk
    the moment it is there: stopped or killed, the same command goes on where it was. Photos that
    cannot be read are listed in the summary.
    """
    from gateway.batch.run_plan import RunPlan, RunRequest
    from gateway.batch.runner import RunOptions
    from gateway.cli.run_display import carry_out

    request = RunRequest(
        photos,
        out_dir,
        route,
        seed if shuffle or aggregate or until else None,
        aggregate or "",
        until or "",
        truth,
    )
    options = RunOptions(chunk, file_format, limit_usd, None, in_flight)
    plan = RunPlan(read(config), config, request, options, seconds_of(deadline))
    status = carry_out(plan, engine=engine, workers=workers, confirmed=yes, live=live, console=out)
    raise typer.Exit(status)


def seconds_of(text: str | None) -> float | None:
    """The seconds of a text such as `90m`. Raises ConfigError."""
    if text is None:
        return None
    number, unit = text[:-1], text[-1:].lower()
    try:
        seconds = float(number) * UNITS_S[unit]
    except (KeyError, ValueError):
        raise ConfigError(
            f"--deadline {text}: write a number and s, m, h or d, such as 2h"
        ) from None
    if not 0 < seconds < 366 * UNITS_S["d"]:
        raise ConfigError(f"--deadline {text}: is no time within a year")
    return seconds
