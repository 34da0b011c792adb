"""The seed paper's other tables: photos with painted borders, and rectangular grids, at every
shape; no retries.

Through boto3, with a detector that keeps a bill, both as they lie in ../shared. Borders are 3.75 %
of each side, black or blurred (Gaussian, sigma 7). What was graded is kept in --out.

python benchmarks/shapes.py [--shared ../shared] [--data voc-dev coco-dev] [--out bench-out/shapes]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from quality import Bench, kept, opened
from rich.console import Console
from rich.table import Table

BORDERS = ("none", "black", "blurred")
SHAPES = ("2x1", "2x2", "3x2", "3x3", "4x4", "5x5")
RECTANGULAR = ("1x1", "2x1", "3x1", "2x2", "3x2", "4x2", "3x3", "4x3", "5x3", "4x4", "5x4", "5x5")


def figures(bench: Bench, data: str, shape: str, border: str) -> tuple[float, float]:
    """Images billed a photo, and the change of AP50 against each photo alone without a gateway."""
    route = {"stages": [{"shape": shape}], "border": border}
    folder = bench.shared / "data" / data
    graded = kept(bench.out / f"{data}-{shape}-{border}.json", lambda: bench.grade(route, folder))
    return graded["per_image"], graded["delta"]


def borders(bench: Bench, data: str) -> Table:
    made = Table(title=f"{data}: change of AP50, by border")
    for column in ("shape", *BORDERS):
        made.add_column(column, justify="right")
    for shape in SHAPES:
        made.add_row(
            shape, *(f"{figures(bench, data, shape, border)[1]:+.4f}" for border in BORDERS)
        )
    return made


def rectangular(bench: Bench, data: str) -> Table:
    """Shapes are turned towards each photo: 2x1 lays landscape photos in a column, portrait ones in
    a row."""
    made = Table(title=f"{data}: every shape, without a border")
    for column in ("shape", "images a photo", "change of AP50"):
        made.add_column(column, justify="right")
    for shape in RECTANGULAR:
        images, change = figures(bench, data, shape, "none")
        made.add_row(shape, f"{images:.3f}", f"{change:+.4f}")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--data", nargs="+", default=["voc-dev", "coco-dev"])
    parser.add_argument("--out", type=Path, default=Path("bench-out/shapes"))
    options = parser.parse_args()
    console = Console(width=120)
    with opened(options.shared.resolve(), options.out.resolve()) as bench:
        for data in options.data:
            console.print(borders(bench, data), rectangular(bench, data))


if __name__ == "__main__":
    main()
