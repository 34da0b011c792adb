"""Ground truth of classifications is read from tables and from the names of folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from thresholds.samples.class_truth import folder_names, read_table


def labels(truth: object) -> list[str]:
    """The labels of a file's truth."""
    return [each.label for each in truth.objects]  # type: ignore[attr-defined]


def test_a_table_gives_files_their_labels(tmp_path: Path) -> None:
    """Each row gives a file a label, and a file of several rows has several; other columns and
    blank cells do not count."""
    file = tmp_path / "labels.csv"
    file.write_text("by,file,label\nann, a.jpg ,cat\nbob,a.jpg,dog\n,b/c.jpg,owl\n,d.jpg,\n")
    truth = read_table(file)
    assert {name: labels(known) for name, known in truth.items()} == {
        "a.jpg": ["cat", "dog"],
        "b/c.jpg": ["owl"],
    }
    assert truth["a.jpg"].labels == {"cat", "dog", "owl"}


def test_a_spreadsheets_table_is_read(tmp_path: Path) -> None:
    """The mark that spreadsheets put before UTF-8 is no part of the first column's name."""
    file = tmp_path / "labels.csv"
    file.write_bytes("\ufefffile,label\na.jpg,cat\n".encode())
    assert labels(read_table(file)["a.jpg"]) == ["cat"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,label\n", "has no column file; its first line names"),
        (b"", "has no column file and label"),
        (b"file,label\n\xff\xfe,cat\n", "is no CSV file in UTF-8"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """A file without the two columns is refused by its name, and says which it needs."""
    file = tmp_path / "labels.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"labels.csv: {message}"):
        read_table(file)


def test_a_folders_name_is_the_label_of_its_files(tmp_path: Path) -> None:
    """A file's label is the name of the folder that it lies in, however deep."""
    files = [tmp_path / "cat/1.jpg", tmp_path / "more/dog/2.jpg"]
    truth = folder_names(tmp_path, files)
    assert {name: labels(known) for name, known in truth.items()} == {
        "cat/1.jpg": ["cat"],
        "more/dog/2.jpg": ["dog"],
    }
