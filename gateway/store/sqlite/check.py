"""Whether a jobs' file can be used, tried before anything depends on it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.store.sqlite.database import VERSION

HEADER = b"SQLite format 3\0"


def fault_of(file: Path) -> str:
    """Why the file cannot keep jobs; empty where it can, or is just being written by another.

    A file that is not there stays so: then its folder, or the nearest one above that exists, must
    be writable.
    """
    if not file.exists():
        return _folder_fault(file.parent)
    if not file.is_file():
        return f"{file} is no file"
    try:
        with file.open("r+b") as content:
            header = content.read(len(HEADER))
    except OSError as error:
        return f"{file} cannot be written ({error.strerror})"
    if header and header != HEADER:
        return f"{file} is not a file of jobs"
    return _folder_fault(file.parent) or _content_fault(file)


def _folder_fault(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        return f"{folder} is no folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder {folder} cannot be written"
    return ""


def _content_fault(file: Path) -> str:
    try:
        with closing(sqlite3.connect(file, isolation_level=None, timeout=0.1)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                return f"{file} is of version {version}, and this gateway knows version {VERSION}"
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"{file} cannot be written ({error})"
    except sqlite3.Error as error:
        return f"{file} cannot be read ({error})"
    return ""
