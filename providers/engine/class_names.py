"""The names of a network's classes: from a text file, or from the metadata of the network's own
file, and whether the two agree."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from providers.engine.heads import MAX_CLASSES
from providers.errors import Misconfigured

NAME_KEYS = ("names", "class_names", "classes")
"""The metadata's keys for class names; `names` is that of Ultralytics and YOLOv5."""
MAX_METADATA_CHARS = 1 << 20


class ClassNames(NamedTuple):
    """The class names by class id, "" for those never reported, and what they were read from, as
    messages say it: "names.txt has 80 lines"."""

    names: Sequence[str]
    origin: str


def class_names_of(
    labels: Path | None, folder: Path, model: object, metadata: Mapping[str, str]
) -> ClassNames:
    """The names in the file `labels`; without one, those in the metadata of the file `model`.

    Raises Misconfigured if there are neither, or if the two contradict each other.
    """
    own = names_in(metadata)
    if labels is None:
        if not own:
            raise Misconfigured(
                f"labels: not set, and {model} has no class names in its metadata; "
                "give a text file with one class a line, in the model's order"
            )
        return ClassNames(own, f"the metadata of {model} has {len(own)} names")
    names = read_labels(labels, folder)
    if own:
        _check_agreement(names, own, labels, model)
    return names


def read_labels(labels: Path, folder: Path) -> ClassNames:
    """The names in a text file, one class a line; "" for those never reported, such as the 11 of
    COCO's 91 ids that are unused (N/A). Raises Misconfigured if the file is missing or no UTF-8
    text."""
    file = existing_file(folder, labels, "labels")
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise Misconfigured(
            f"labels: {file} is no UTF-8 text; give a text file with one class a line"
        ) from error
    names = ["" if line.upper() == "N/A" else line for line in lines]
    return ClassNames(names, f"{labels} has {len(names)} lines")


def existing_file(folder: Path, path: Path, key: str) -> Path:
    """The file that the setting `key` names. Raises Misconfigured if there is none."""
    file = folder / path
    if not file.is_file():
        raise Misconfigured(f"{key}: there is no file {file}; relative paths start at {folder}")
    return file


def names_in(metadata: Mapping[str, str]) -> list[str]:
    """The class names in a file's metadata by class id; none if it has none that can be read.

    Exporters write a Python or JSON list, or a dictionary of names by class id.
    """
    for key in NAME_KEYS:
        if names := _names_of(_literal(metadata.get(key, ""))):
            return names
    return []


def _literal(text: str) -> Any:
    """The value that the text is a Python or JSON literal of; None if it is none."""
    if len(text) > MAX_METADATA_CHARS:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _names_of(value: Any) -> list[str]:
    """The names in a list, or in a dictionary by class id; none in anything else."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not all(map(_is_name, value.items())):
        return []
    names = {int(class_id): name.strip() for class_id, name in value.items()}
    return [names.get(class_id, "") for class_id in range(max(names, default=-1) + 1)]


def _is_name(item: tuple[Any, Any]) -> bool:
    """Whether this is a class id, perhaps as text, with a name."""
    class_id, name = item
    return isinstance(name, str) and str(class_id).isdecimal() and int(class_id) < MAX_CLASSES


def _check_agreement(names: ClassNames, own: Sequence[str], labels: Path, model: object) -> None:
    """Raises Misconfigured unless the file has a line for each class of the metadata, in the same
    order. A line may rename a class, but not to the name of another one."""
    if len(names.names) != len(own):
        raise Misconfigured(
            f"labels: {names.origin}, but {model} has {len(own)} class names in its metadata; "
            "leave labels out to use those"
        )
    own_ids = {name.lower(): class_id for class_id, name in enumerate(own) if name}
    for class_id, name in enumerate(names.names):
        own_id = own_ids.get(name.lower(), class_id)
        if own_id != class_id and name.lower() != own[class_id].lower():
            raise Misconfigured(
                f"labels: line {class_id + 1} of {labels} is {name!r}, the name of class {own_id} "
                f"in the metadata of {model}, where class {class_id} is {own[class_id]!r}; "
                "put the lines in the model's order, or leave labels out to use its own names"
            )
