"""Ground truth of classifications: a table of files and labels, or folders named by labels."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from providers.detection import WHOLE, Detection
from thresholds.samples.ground_truth import Known

COLUMNS = "file", "label"


def read_table(path: Path) -> dict[str, Known]:
    """The labels of each file in a CSV file with the columns `file` and `label`; a file of several
    labels has several rows.

    Raises ValueError, naming the file, where it cannot be read or has other columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path}: has no column {' and '.join(missing)}; its first line names the "
                    f"columns, {','.join(COLUMNS)}"
                )
            pairs = [(row["file"], row["label"]) for row in rows if row["file"] and row["label"]]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: is no CSV file in UTF-8 ({error})") from None
    return known_of(pairs)


def folder_names(folder: Path, files: Iterable[Path]) -> dict[str, Known]:
    """The label of each file below the folder: the name of the folder that it lies in."""
    return known_of((str(file.relative_to(folder)), file.parent.name) for file in files)


def known_of(pairs: Iterable[tuple[str, str]]) -> dict[str, Known]:
    """The truth of files by their names, from pairs of a name and a label."""
    labels: dict[str, list[str]] = {}
    for name, label in pairs:
        labels.setdefault(name.strip(), []).append(label.strip())
    all_labels = frozenset(chain.from_iterable(labels.values()))
    return {name: Known(list(map(_whole, each)), all_labels) for name, each in labels.items()}


def _whole(label: str) -> Detection:
    """The label of a whole photo."""
    return Detection(label, 1.0, WHOLE)
