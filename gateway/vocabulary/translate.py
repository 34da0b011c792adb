"""Answers and questions, from one vocabulary's words into another's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.vocabulary import faces, files, moderation
from gateway.vocabulary.files import Kin, NameTable, Pair, key
from providers.detection import Detection, Task, Vocabulary

WORDED = frozenset({Task.OBJECTS, Task.PEOPLE, Task.LABELS})
"""Whose labels are names of a vocabulary; text is what was read, logos and celebrities have names
of their own."""
KIN_KEYS = ("parents", "aliases", "categories")
ONE_VENDORS = (*KIN_KEYS, "mid")
"""Details of a name that only one vendor has."""

Judged = Callable[[Sequence[Detection]], list[Detection]]
JUDGED: Mapping[Pair, Judged] = {
    ("rekognition", "google"): moderation.to_google,
    ("google", "rekognition"): moderation.to_rekognition,
}
FACES: Mapping[Pair, Callable[[Detection], Detection]] = {
    ("rekognition", "google"): faces.to_google,
    ("google", "rekognition"): faces.to_rekognition,
}


@dataclass(frozen=True, slots=True)
class Translator:
    """The tables; `kin` are Rekognition's labels, `ids` Google's, both by `key`."""

    tables: Mapping[Pair, NameTable]
    kin: Mapping[str, Kin]
    ids: Mapping[str, str]

    def translate(
        self, found: Sequence[Detection], task: Task, of: Vocabulary, to: Vocabulary
    ) -> Sequence[Detection]:
        """What was found, as a client of `to` expects it; unchanged where either vocabulary is
        unknown or both are one.

        Objects, people and labels keep their number, order, places and scores, whatever they are
        called; a face keeps its place. Moderation is told in the other vendor's categories. Other
        tasks have nothing to translate.
        """
        if not of or not to or of == to:
            return found
        if task in WORDED:
            return [self._renamed(each, of, to) for each in found]
        if task == Task.MODERATION and (judged := JUDGED.get((of, to))):
            return judged(found)
        if task == Task.FACES and (retold := FACES.get((of, to))):
            return [
                each if each.details.get("vendor", of) == to else retold(each) for each in found
            ]
        return found

    def asked(self, labels: Sequence[str], of: Vocabulary, to: Vocabulary) -> tuple[str, ...]:
        """The names to look for in `to` where a client of `of` asks for these: all that each of
        them may be called there, and what belongs under it: who asks Rekognition for Vehicle is
        told of cars."""
        if not of or not to or of == to:
            return tuple(labels)
        table = self.tables.get((of, to))
        wanted = [name for label in labels for name in (label, *self._under(label, of))]
        known = [table.meant.get(key(name), ()) if table else () for name in wanted]
        named = [
            each or (self.name(name, of, to),) for name, each in zip(wanted, known, strict=True)
        ]
        return tuple(dict.fromkeys(name for each in named for name in each))

    def name(self, label: str, of: Vocabulary, to: Vocabulary) -> str:
        """What `to` calls it: by the tables, else as it is, spelled as names are there."""
        table = self.tables.get((of, to))
        told = table.answers.get(key(label)) if table else None
        return told or self._spelled(label, to)

    def _renamed(self, detection: Detection, of: Vocabulary, to: Vocabulary) -> Detection:
        label = self.name(detection.label, of, to)
        kept = {name: value for name, value in detection.details.items() if name not in ONE_VENDORS}
        return replace(detection, label=label, details={**kept, **self._facts(label, to)})

    def _facts(self, label: str, to: Vocabulary) -> dict[str, Any]:
        if to == "google":
            return {"mid": self.ids[key(label)]} if key(label) in self.ids else {}
        if to == "rekognition" and (kin := self.kin.get(key(label))):
            return {name: getattr(kin, name) for name in KIN_KEYS}
        return {}

    def _under(self, label: str, of: Vocabulary) -> list[str]:
        if of != "rekognition":
            return []
        return [each.name for each in self.kin.values() if key(label) in map(key, each.parents)]

    def _spelled(self, label: str, to: Vocabulary) -> str:
        """In Title Case for Rekognition, Google's first word only, lower case for the others;
        acronyms stay."""
        if to == "rekognition":
            kin = self.kin.get(key(label))
            return (
                kin.name
                if kin
                else " ".join(word[:1].upper() + word[1:] for word in label.split(" "))
            )
        if to == "google":
            low = " ".join(
                word if word.isupper() and len(word) > 1 else word.lower()
                for word in label.split(" ")
            )
            return low[:1].upper() + low[1:]
        return label.lower()


def load(own: Sequence[Path] = ()) -> Translator:
    """The shipped tables, after an operator's own files. Raises ValueError naming file and line."""
    given = [files.read(file) for file in own]
    return Translator(files.tables([*given, *files.shipped()]), files.kin(), files.ids())
