"""Files are watched for a new content that somebody has finished writing."""

from __future__ import annotations

from pathlib import Path

from gateway.core.file_watch import FileWatch


def test_a_change_counts_once_it_has_lasted_a_look(tmp_path: Path) -> None:
    """A file that still changes from look to look is being written; a change that lasts from one
    look to the next counts, until it is taken."""
    file = tmp_path / "net.onnx"
    file.write_text("a")
    watch = FileWatch([file], 1.0)
    assert watch.look() is None
    file.write_text("bb")
    assert watch.look() is None
    file.write_text("ccc")
    assert watch.look() is None
    versions = watch.look()
    assert versions is not None
    assert watch.look() == versions
    watch.take(versions)
    assert watch.look() is None


def test_another_file_in_its_place_is_a_change(tmp_path: Path) -> None:
    """A file of the same size and time that takes the place of the watched one is a change, and so
    is that one's loss."""
    file, other = tmp_path / "net.onnx", tmp_path / "other.onnx"
    file.write_text("a")
    other.write_text("b")
    watch = FileWatch([file], 1.0)
    other.rename(file)
    watch.look()
    versions = watch.look()
    assert versions is not None
    watch.take(versions)
    file.unlink()
    watch.look()
    assert watch.look() == (None,)
