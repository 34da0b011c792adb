"""The results of a run on disk: a file a chunk, and a journal of each chunk that is not finished.

A chunk's file appears whole, under a name that its photos and what they are asked with decide.
Until then each row is in the chunk's journal from the moment it is there. So a run that was killed
goes on where it was, and no photo has two rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from gateway.batch.rows import Row
from providers.extras import import_package

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet")
JOURNAL = ".journal"
DIGEST_DIGITS = 12


class ChunkFiles(NamedTuple):
    """The files of one chunk of a run, in its folder."""

    folder: Path
    name: str
    format: Format

    @property
    def result(self) -> Path:
        return self.folder / f"{self.name}.{self.format}"

    @property
    def journal(self) -> Path:
        return self.folder / f"{self.name}{JOURNAL}"

    @property
    def is_finished(self) -> bool:
        return self.result.exists()

    def journal_rows(self) -> dict[int, Row]:
        """The rows of an unfinished chunk by position. A last line that is cut short is dropped
        from the file, so that the next row does not join it."""
        if not self.journal.exists():
            return {}
        rows: dict[int, Row] = {}
        whole_bytes = 0
        with self.journal.open("rb") as lines:
            for line in lines:
                row = _parsed(line)
                if row is None:
                    break
                rows[row["position"]] = row
                whole_bytes += len(line)
        with self.journal.open("r+b") as file:
            file.truncate(whole_bytes)
        return rows

    def finish(self, rows: Sequence[Row]) -> None:
        """Writes the chunk's file, its rows in the run's order, and removes the journal."""
        ordered = sorted(rows, key=lambda row: row["position"])
        unfinished = self.folder / f"{self.name}.partial"
        if self.format == "parquet":
            _write_parquet(unfinished, ordered)
        else:
            with unfinished.open("w", encoding="utf-8") as file:
                for row in ordered:
                    file.write(json.dumps(row) + "\n")
        unfinished.replace(self.result)
        self.journal.unlink(missing_ok=True)

    def rows(self) -> Iterator[Row]:
        """The rows of a finished chunk."""
        if self.format == "parquet":
            yield from _read_parquet(self.result)
            return
        with self.result.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def chunk_files(
    folder: Path, number: int, keys: Sequence[str], version: str, file_format: Format
) -> ChunkFiles:
    """The files of a chunk. `version` says what its photos are asked with."""
    digest = hashlib.sha256(version.encode())
    for key in keys:
        digest.update(b"\0" + key.encode())
    name = f"part-{number:06d}-{digest.hexdigest()[:DIGEST_DIGITS]}"
    return ChunkFiles(folder, name, file_format)


def _parsed(line: bytes) -> Row | None:
    """The row of a whole line; None of one that is cut short."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _schema() -> Any:
    pa = import_package("pyarrow", "batch")
    box = pa.struct([(side, pa.float64()) for side in ("x0", "y0", "x1", "y1")])
    detection = pa.struct(
        [
            ("label", pa.string()),
            ("score", pa.float64()),
            ("kind", pa.string()),
            ("box", box),
            ("more", pa.string()),
        ]
    )
    return pa.schema(
        [
            ("position", pa.int64()),
            ("key", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("detections", pa.list_(detection)),
            ("error", pa.struct([("code", pa.string()), ("message", pa.string())])),
            ("images", pa.float64()),
            ("usd", pa.float64()),
            ("alone_usd", pa.float64()),
            ("providers", pa.list_(pa.string())),
            ("cached", pa.bool_()),
            ("route", pa.string()),
            ("version", pa.string()),
        ]
    )


COLUMN_FIELDS = ("label", "score", "kind", "box")


def _write_parquet(file: Path, rows: Sequence[Row]) -> None:
    """Writes the rows. Of a detection, what has no column of its own is JSON in `more`."""
    pa = import_package("pyarrow", "batch")
    content = [{**row, "detections": list(map(_as_columns, row["detections"]))} for row in rows]
    table = pa.Table.from_pylist(content, schema=_schema())
    import_package("pyarrow.parquet", "batch").write_table(table, file)


def _as_columns(detection: Row) -> dict[str, Any]:
    more = {name: value for name, value in detection.items() if name not in COLUMN_FIELDS}
    columns = {name: detection.get(name, "") for name in COLUMN_FIELDS}
    return {**columns, "more": json.dumps(more) if more else ""}


def _read_parquet(file: Path) -> Iterator[Row]:
    for row in import_package("pyarrow.parquet", "batch").read_table(file).to_pylist():
        detections = []
        for each in row["detections"]:
            more = json.loads(each.pop("more") or "{}")
            detections.append({**each, **more})
        yield {**row, "detections": detections}
