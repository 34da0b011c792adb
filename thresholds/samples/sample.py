"""A sample of photos and the answers about them, as arrays: the input of plans and rules."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from providers.detection import Detection
from providers.prices import Price, Tier
from thresholds.cascade import Border
from thresholds.fusion.arrays import Bools, BoxArray, BoxTable, Ints, LabelIndex
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts

FILE = "sample.npz"

Arrays = Mapping[str, NDArray[Any]]


class Reference(NamedTuple):
    """Answers to compare others with, and which photos have one (photos,): one more look at each
    photo alone, of the photo mirrored, with boxes mirrored back."""

    table: BoxTable
    has_answer: Bools

    def of_photos(self, photos: Ints) -> Reference:
        return Reference(self.table.of_photos(photos), self.has_answer[photos])


@dataclass(frozen=True)
class Sample:
    """Photos and their looks.

    `looks` has, by kind, one `BoxTable` a grouping, and `has_answer` (groupings x photos) says
    which photos each grouping has an answer for. `truth` holds each photo's objects where there is
    ground truth, which is complete for the labels in `covered` (photos x labels) only. `prices` are
    those of the providers at the time, by the name that kinds use. `provider` is the name of the
    route's own. The looks of `companions` are free. `border` was painted around each photo in a
    grid. `reference` is what answers are compared with where there is no ground truth; None in
    profiles that have not asked for it.
    """

    photos: tuple[str, ...]
    facts: tuple[PhotoFacts, ...]
    labels: tuple[str, ...]
    looks: Mapping[LookKind, tuple[BoxTable, ...]]
    has_answer: Mapping[LookKind, Bools]
    truth: BoxTable | None = None
    covered: Bools | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    provider: str = ""
    companions: tuple[str, ...] = ()
    border: Border = "none"
    reference: Reference | None = None

    def __len__(self) -> int:
        return len(self.photos)

    def look(self, kind: LookKind, grouping: int) -> BoxTable:
        """The answers of that kind in that grouping; a kind with fewer groupings repeats them."""
        return self.looks[kind][grouping % len(self.looks[kind])]

    def detections(self, boxes: BoxArray) -> list[Detection]:
        """The boxes as detections, with their labels' names."""
        return boxes.detections(self.labels)

    def first_answers(self, kind: LookKind) -> Reference:
        """The answers of that kind's first grouping, to compare others with."""
        return Reference(self.look(kind, 0), self.has_answer[kind][0])

    @property
    def reference_look(self) -> Reference:
        """The reference look; in a profile without one the provider's own answer alone."""
        return self.reference or self.first_answers(ITSELF)

    @cached_property
    def complete(self) -> Ints:
        """The photos that have an answer in every grouping of every kind, and as reference."""
        each = [answers.all(axis=0) for answers in self.has_answer.values()]
        if self.reference is not None:
            each.append(self.reference.has_answer)
        return np.flatnonzero(np.all(each, axis=0))

    def of_kinds(self, includes: Callable[[LookKind], bool]) -> Sample:
        """The sample with only the kinds of looks that are included."""
        return replace(
            self,
            looks={kind: tables for kind, tables in self.looks.items() if includes(kind)},
            has_answer={kind: flags for kind, flags in self.has_answer.items() if includes(kind)},
        )

    def without_companions(self) -> Sample:
        own = self.of_kinds(lambda kind: kind.provider not in self.companions)
        return replace(own, companions=())

    def of_photos(self, photos: Ints) -> Sample:
        """The sample with only these photos, by their indices."""
        looks = {}
        for kind, tables in self.looks.items():
            looks[kind] = tuple(table.of_photos(photos) for table in tables)
        return replace(
            self,
            photos=tuple(self.photos[index] for index in photos),
            facts=tuple(self.facts[index] for index in photos),
            looks=looks,
            has_answer={kind: flags[:, photos] for kind, flags in self.has_answer.items()},
            truth=self.truth.of_photos(photos) if self.truth is not None else None,
            covered=self.covered[photos] if self.covered is not None else None,
            reference=self.reference.of_photos(photos) if self.reference is not None else None,
        )

    def joined(self, other: Sample) -> Sample:
        """The sample with the looks of another provider, which its kinds then name. Only photos of
        both samples remain; the other's companions and ground truth are left out.

        Raises ValueError where they have no photo in common, or the same provider.
        """
        if not other.provider or other.provider in self._providers:
            raise ValueError(
                f"both profiles are of provider {other.provider}; another canvas or model is "
                "another entry of `providers`, with a name of its own"
            )
        places = {photo: index for index, photo in enumerate(other.photos)}
        common = [index for index, photo in enumerate(self.photos) if photo in places]
        if not common:
            raise ValueError("the profiles have no photo in common")
        first = self.of_photos(np.array(common, np.int64))
        second = other.of_photos(np.array([places[photo] for photo in first.photos]))
        return first._with_looks_of(second)

    @property
    def _providers(self) -> set[str]:
        return {self.provider, *(kind.provider for kind in self.looks)}

    def _with_looks_of(self, other: Sample) -> Sample:
        """The same of a sample of just the same photos."""
        labels = LabelIndex(self.labels)
        numbers = np.array([labels.number(name) for name in other.labels], np.int64)
        looks, has_answer = dict(self.looks), dict(self.has_answer)
        for kind, tables in other.looks.items():
            if not kind.provider:
                new_kind = LookKind(kind.shape, other.provider)
                looks[new_kind] = tuple(table.with_label_numbers(numbers) for table in tables)
                has_answer[new_kind] = other.has_answer[kind]
        new_labels = len(labels.names) - len(self.labels)
        covered = self.covered
        return replace(
            self,
            labels=tuple(labels.names),
            looks=looks,
            has_answer=has_answer,
            covered=np.pad(covered, ((0, 0), (0, new_labels))) if covered is not None else None,
            prices={**self.prices, other.provider: other.prices.get("", Price())},
        )

    @classmethod
    def load_all(cls, folders: Sequence[Path]) -> Sample:
        """Several profiles of the same photos as one; the first is of the route's own provider.
        Raises ValueError."""
        first, *others = (cls.load(folder / FILE) for folder in folders)
        for other in others:
            first = first.joined(other)
        return first

    def save(self, path: Path) -> None:
        """Writes a compressed NumPy archive, without pickles."""
        about = {
            "photos": self.photos,
            "facts": self.facts,
            "labels": self.labels,
            "kinds": [[str(kind), len(self.looks[kind])] for kind in self.looks],
            "provider": self.provider,
            "companions": self.companions,
            "border": self.border,
            "prices": {name: _price_values(price) for name, price in self.prices.items()},
        }
        arrays: dict[str, NDArray[Any]] = {"about": np.array(json.dumps(about))}
        for number, (kind, tables) in enumerate(self.looks.items()):
            arrays[f"{number}/asked"] = self.has_answer[kind]
            for grouping, table in enumerate(tables):
                arrays |= _table_arrays(f"{number}/{grouping}", table)
        if self.truth is not None and self.covered is not None:
            arrays |= {"covered": self.covered, **_table_arrays("truth", self.truth)}
        if self.reference is not None:
            arrays["reference/asked"] = self.reference.has_answer
            arrays |= _table_arrays("reference", self.reference.table)
        with path.open("wb") as file:
            # NumPy's stub takes one of them for `allow_pickle`.
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Sample:
        """The sample in an archive. Raises ValueError, naming the file, where it is none."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls._of_arrays(arrays)
        except OSError as error:
            raise ValueError(
                f"{path}: cannot be read ({error.strerror or error}); imgrid profile makes it, of "
                "tasks with boxes (of moderation and labels it writes the cascade itself)"
            ) from None
        except (KeyError, TypeError, ValueError, EOFError, BadZipFile, zlib.error) as error:
            raise ValueError(f"{path}: is no profile's sample ({error!r})") from None

    @classmethod
    def _of_arrays(cls, arrays: Arrays) -> Sample:
        about = json.loads(str(arrays["about"]))
        looks, has_answer = {}, {}
        for number, (text, groupings) in enumerate(about["kinds"]):
            kind = LookKind.parse(text)
            names = [f"{number}/{grouping}" for grouping in range(groupings)]
            looks[kind] = tuple(_table(name, arrays) for name in names)
            has_answer[kind] = arrays[f"{number}/asked"]
        has_truth = "covered" in arrays
        reference = None
        if "reference/asked" in arrays:
            reference = Reference(_table("reference", arrays), arrays["reference/asked"])
        return cls(
            tuple(about["photos"]),
            tuple(PhotoFacts(*facts) for facts in about["facts"]),
            tuple(about["labels"]),
            looks,
            has_answer,
            _table("truth", arrays) if has_truth else None,
            arrays["covered"] if has_truth else None,
            {name: _price(values) for name, values in about["prices"].items()},
            about["provider"],
            tuple(about["companions"]),
            about["border"],
            reference,
        )


def _price_values(price: Price) -> list[Any]:
    return [
        price.usd_per_image,
        price.as_of.isoformat() if price.as_of else None,
        [list(tier) for tier in price.tiers],
    ]


def _price(values: list[Any]) -> Price:
    usd_per_image, as_of, tiers = values
    return Price(
        usd_per_image,
        date.fromisoformat(as_of) if as_of else None,
        tuple(Tier(*tier) for tier in tiers),
    )


def _table_arrays(name: str, table: BoxTable) -> dict[str, NDArray[Any]]:
    return {
        f"{name}/starts": table.starts,
        f"{name}/labels": table.boxes.labels.astype(np.int32),
        f"{name}/scores": table.boxes.scores.astype(np.float32),
        f"{name}/xyxy": table.boxes.xyxy.astype(np.float32),
    }


def _table(name: str, arrays: Arrays) -> BoxTable:
    boxes = BoxArray(
        arrays[f"{name}/labels"].astype(np.int64),
        arrays[f"{name}/scores"].astype(np.float64),
        arrays[f"{name}/xyxy"].astype(np.float64),
    )
    return BoxTable(arrays[f"{name}/starts"], boxes)
