"""Translation of answers and questions from one vocabulary to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.vocabulary import faces, files, moderation
from gateway.vocabulary.files import Direction, NameTable, TaxonomyLabel, lookup_key
from providers.detection import Detection, Task, Vocabulary

NAMED_TASKS = frozenset({Task.OBJECTS, Task.PEOPLE, Task.LABELS})
"""Tasks whose labels are names of a vocabulary. Text is not, and logos and celebrities have names
of their own."""
TAXONOMY_DETAILS = ("parents", "aliases", "categories")
VENDOR_DETAILS = (*TAXONOMY_DETAILS, "mid")
"""Details of a label that only one vendor has."""

MODERATION: Mapping[Direction, Callable[[Sequence[Detection]], list[Detection]]] = {
    ("rekognition", "google"): moderation.to_google,
    ("google", "rekognition"): moderation.to_rekognition,
    ("rekognition", "azure"): moderation.rekognition_to_azure,
    ("google", "azure"): moderation.google_to_azure,
}
FACES: Mapping[Direction, Callable[[Detection], Detection]] = {
    ("rekognition", "google"): faces.to_google,
    ("google", "rekognition"): faces.to_rekognition,
}


@dataclass(frozen=True, slots=True)
class Translator:
    """Holds the tables: names by direction, Rekognition's labels and Google's ids by `lookup_key`.

    Where either vocabulary is unknown, or both are the same, nothing is translated.
    """

    tables: Mapping[Direction, NameTable]
    taxonomy: Mapping[str, TaxonomyLabel]
    mids: Mapping[str, str]

    def translate(
        self, detections: Sequence[Detection], task: Task, source: Vocabulary, target: Vocabulary
    ) -> Sequence[Detection]:
        """The detections as a client of the vocabulary `target` expects them.

        Objects, people and labels keep their number, order, boxes and scores; a face keeps its box.
        Moderation becomes the target's categories. Other tasks are returned unchanged.
        """
        if _are_same(source, target):
            return detections
        if task in NAMED_TASKS:
            return [self._translation_of(detection, source, target) for detection in detections]
        if task == Task.MODERATION:
            translate = MODERATION.get((source, target))
            return translate(detections) if translate else detections
        if task == Task.FACES:
            return _face_translations(detections, source, target)
        return detections

    def labels_in(
        self, labels: Sequence[str], source: Vocabulary, target: Vocabulary
    ) -> tuple[str, ...]:
        """The names in `target` to look for when a client of `source` asks for these labels.

        They are all names that each label may have there, and those of its descendants: a client
        that asks Rekognition for Vehicle is told about cars too.
        """
        if _are_same(source, target):
            return tuple(labels)
        table = self.tables.get((source, target), {})
        names: list[str] = []
        for label in labels:
            for name in (label, *self._descendants_of(label, source)):
                names += table.get(lookup_key(name)) or [self.name_in(name, source, target)]
        return tuple(dict.fromkeys(names))

    def name_in(self, label: str, source: Vocabulary, target: Vocabulary) -> str:
        """The label's name in `target`: from the tables, else the label itself in the target's
        spelling."""
        names = self.tables.get((source, target), {}).get(lookup_key(label))
        return names[0] if names else self._spelling_of(label, target)

    def _translation_of(
        self, detection: Detection, source: Vocabulary, target: Vocabulary
    ) -> Detection:
        label = self.name_in(detection.label, source, target)
        details = {
            name: value for name, value in detection.details.items() if name not in VENDOR_DETAILS
        }
        return replace(
            detection, label=label, details={**details, **self._details_of(label, target)}
        )

    def _details_of(self, label: str, vocabulary: Vocabulary) -> dict[str, Any]:
        """The details that only the vendor of this vocabulary has of a label."""
        name = lookup_key(label)
        if vocabulary == "google" and name in self.mids:
            return {"mid": self.mids[name]}
        if vocabulary == "rekognition" and name in self.taxonomy:
            entry = self.taxonomy[name]
            return {detail: getattr(entry, detail) for detail in TAXONOMY_DETAILS}
        return {}

    def _descendants_of(self, label: str, vocabulary: Vocabulary) -> list[str]:
        """The names of the labels below this one; only Rekognition's have any."""
        if vocabulary != "rekognition":
            return []
        name = lookup_key(label)
        return [
            entry.name for entry in self.taxonomy.values() if name in map(lookup_key, entry.parents)
        ]

    def _spelling_of(self, label: str, vocabulary: Vocabulary) -> str:
        """The label in Title Case for Rekognition, in sentence case for Google (acronyms stay), and
        in lower case for others."""
        if vocabulary == "rekognition":
            entry = self.taxonomy.get(lookup_key(label))
            return entry.name if entry else " ".join(map(_upper_first, label.split(" ")))
        if vocabulary == "google":
            return _upper_first(" ".join(map(_lower_unless_acronym, label.split(" "))))
        return label.lower()


def load(operator_files: Sequence[Path] = ()) -> Translator:
    """The translator of an operator's own files and the shipped ones; the operator's win.

    Raises ValueError naming file and line.
    """
    name_files = [files.read(file) for file in operator_files]
    return Translator(
        files.tables_of([*name_files, *files.shipped_files()]),
        files.rekognition_taxonomy(),
        files.google_mids(),
    )


def translates_moderation(source: Vocabulary, target: Vocabulary) -> bool:
    """Whether moderation in the words of `source` can be told in those of `target`."""
    return (bool(source) and source == target) or (source, target) in MODERATION


def _are_same(source: Vocabulary, target: Vocabulary) -> bool:
    return not source or not target or source == target


def _face_translations(
    detections: Sequence[Detection], source: Vocabulary, target: Vocabulary
) -> Sequence[Detection]:
    """The faces in the words of `target`; faces from its own vendor are unchanged."""
    translate = FACES.get((source, target))
    if translate is None:
        return detections
    return [
        face if face.details.get("vendor", source) == target else translate(face)
        for face in detections
    ]


def _upper_first(text: str) -> str:
    """The text with its first letter in upper case, the rest unchanged."""
    return text[:1].upper() + text[1:]


def _lower_unless_acronym(word: str) -> str:
    return word if word.isupper() and len(word) > 1 else word.lower()
