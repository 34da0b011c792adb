"""A sample of photos and what was answered about them, as arrays: what plans and rules are made
from."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from providers.detection import Detection
from providers.prices import Price, Tier
from thresholds.cascade import Border
from thresholds.fusion.arrays import NOTHING, Bools, BoxArray, BoxTable, Ints, Labels
from thresholds.fusion.looks import LookKind, PhotoFacts
from thresholds.samples.ground_truth import Known

FILE = "sample.npz"


@dataclass(frozen=True)
class Sample:
    """Photos and their looks.

    `truth` holds each photo's objects where there is ground truth. It speaks of some labels only,
    `covered` (photos x labels): of others nothing is known. `looks` has, by kind, one `BoxTable` a
    grouping, and `asked` (groupings x photos) says which photos each grouping has an answer for.
    `prices` are those of the providers when they were asked, as kinds name them, and `provider` is
    the name of the route's own. `companions` are those whose looks are free. `border` was painted
    around each photo in a grid.
    """

    photos: tuple[str, ...]
    facts: tuple[PhotoFacts, ...]
    labels: tuple[str, ...]
    looks: Mapping[LookKind, tuple[BoxTable, ...]]
    asked: Mapping[LookKind, Bools]
    truth: BoxTable | None = None
    covered: Bools | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    provider: str = ""
    companions: tuple[str, ...] = ()
    border: Border = "none"

    def __len__(self) -> int:
        return len(self.photos)

    def look(self, kind: LookKind, grouping: int) -> BoxTable:
        """That grouping's answers; where there are fewer groupings, they are taken in turn."""
        return self.looks[kind][grouping % len(self.looks[kind])]

    @cached_property
    def complete(self) -> Ints:
        """The photos that have an answer in every grouping of every kind."""
        return np.flatnonzero(np.all([asked.all(axis=0) for asked in self.asked.values()], axis=0))

    def of_kinds(self, wanted: Callable[[LookKind], bool]) -> Sample:
        """Only those looks."""
        return replace(
            self,
            looks={kind: boxes for kind, boxes in self.looks.items() if wanted(kind)},
            asked={kind: asked for kind, asked in self.asked.items() if wanted(kind)},
        )

    def without_companions(self) -> Sample:
        return replace(
            self.of_kinds(lambda kind: kind.provider not in self.companions), companions=()
        )

    def of_photos(self, photos: Ints) -> Sample:
        """Only those photos."""
        return replace(
            self,
            photos=tuple(self.photos[index] for index in photos),
            facts=tuple(self.facts[index] for index in photos),
            looks={
                kind: tuple(boxes.at(photos) for boxes in each) for kind, each in self.looks.items()
            },
            asked={kind: each[:, photos] for kind, each in self.asked.items()},
            truth=self.truth.at(photos) if self.truth is not None else None,
            covered=self.covered[photos] if self.covered is not None else None,
        )

    def joined(self, other: Sample) -> Sample:
        """With the looks of another provider at the same photos, which its kinds then name; of
        photos that only one of the two has seen none are left. Its companions stay behind, and so
        does its truth.

        Raises ValueError where they have no photo in common, or both are of one provider.
        """
        if not other.provider or other.provider in {
            self.provider,
            *(kind.provider for kind in self.looks),
        }:
            raise ValueError(
                f"both profiles are of provider {other.provider}; another canvas or model is another "
                "entry of `providers`, with a name of its own"
            )
        places = {photo: index for index, photo in enumerate(other.photos)}
        mine = self.of_photos(
            np.array([i for i, photo in enumerate(self.photos) if photo in places], np.int64)
        )
        if not len(mine):
            raise ValueError("the profiles have no photo in common")
        theirs = other.of_photos(np.array([places[photo] for photo in mine.photos]))
        labels = Labels(self.labels)
        numbers = np.array([labels.number(name) for name in other.labels], np.int64)
        own = {
            kind: LookKind(kind.shape, other.provider) for kind in other.looks if not kind.provider
        }
        looks = {
            named: tuple(boxes.labelled(numbers) for boxes in theirs.looks[kind])
            for kind, named in own.items()
        }
        more = len(labels.names) - len(self.labels)
        return replace(
            mine,
            labels=tuple(labels.names),
            looks={**mine.looks, **looks},
            asked={**mine.asked, **{named: theirs.asked[kind] for kind, named in own.items()}},
            covered=np.pad(mine.covered, ((0, 0), (0, more))) if mine.covered is not None else None,
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
        """As a compressed NumPy archive, without pickles."""
        about = {
            "photos": self.photos,
            "facts": self.facts,
            "labels": self.labels,
            "kinds": [[str(kind), len(self.looks[kind])] for kind in self.looks],
            "provider": self.provider,
            "companions": self.companions,
            "border": self.border,
            "prices": {name: _priced(price) for name, price in self.prices.items()},
        }
        arrays: dict[str, NDArray[Any]] = {"about": np.array(json.dumps(about))}
        for number, (kind, boxes) in enumerate(self.looks.items()):
            arrays[f"{number}/asked"] = self.asked[kind]
            for grouping, each in enumerate(boxes):
                arrays |= _packed(f"{number}/{grouping}", each)
        if self.truth is not None and self.covered is not None:
            arrays |= {"covered": self.covered, **_packed("truth", self.truth)}
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes it for `allow_pickle`

    @classmethod
    def load(cls, path: Path) -> Sample:
        """Raises ValueError, naming the file, where it is not one of these."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                about = json.loads(str(arrays["about"]))
                kinds = [(LookKind.parse(text), count) for text, count in about["kinds"]]
                looks = {
                    kind: tuple(
                        _unpacked(f"{number}/{grouping}", arrays) for grouping in range(count)
                    )
                    for number, (kind, count) in enumerate(kinds)
                }
                asked = {kind: arrays[f"{number}/asked"] for number, (kind, _) in enumerate(kinds)}
                known = "covered" in arrays
                return cls(
                    tuple(about["photos"]),
                    tuple(PhotoFacts(*each) for each in about["facts"]),
                    tuple(about["labels"]),
                    looks,
                    asked,
                    _unpacked("truth", arrays) if known else None,
                    arrays["covered"] if known else None,
                    {name: _price(plain) for name, plain in about["prices"].items()},
                    about["provider"],
                    tuple(about["companions"]),
                    about["border"],
                )
        except OSError as error:
            raise ValueError(
                f"{path}: cannot be read ({error.strerror or error}); imgrid profile makes it, of "
                "tasks with boxes (of moderation and labels it writes the cascade itself)"
            ) from None
        except (KeyError, TypeError, ValueError, EOFError, BadZipFile, zlib.error) as error:
            raise ValueError(f"{path}: is no profile's sample ({error!r})") from None


def _priced(price: Price) -> list[Any]:
    return [
        price.usd_per_image,
        price.as_of.isoformat() if price.as_of else None,
        [list(tier) for tier in price.tiers],
    ]


def _price(plain: list[Any]) -> Price:
    usd, as_of, tiers = plain
    return Price(
        usd, date.fromisoformat(as_of) if as_of else None, tuple(Tier(*tier) for tier in tiers)
    )


def _packed(name: str, boxes: BoxTable) -> dict[str, NDArray[Any]]:
    found = boxes.found
    return {
        f"{name}/starts": boxes.starts,
        f"{name}/labels": found.labels.astype(np.int32),
        f"{name}/scores": found.scores.astype(np.float32),
        f"{name}/xyxy": found.xyxy.astype(np.float32),
    }


def _unpacked(name: str, arrays: Mapping[str, NDArray[Any]]) -> BoxTable:
    found = BoxArray(
        arrays[f"{name}/labels"].astype(np.int64),
        arrays[f"{name}/scores"].astype(np.float64),
        arrays[f"{name}/xyxy"].astype(np.float64),
    )
    return BoxTable(arrays[f"{name}/starts"], found)


def sample(
    facts: Mapping[str, PhotoFacts],
    answers: Mapping[LookKind, Mapping[str, Sequence[Sequence[Detection]]]],
    truth: Mapping[str, Known] | None = None,
    **about: Any,
) -> Sample:
    """From detections to arrays. `answers` has, by kind and photo, a list of detections a grouping;
    crowds of the `truth` are not kept. `about` are further fields."""
    labels, photos = Labels(), tuple(facts)
    looks: dict[LookKind, tuple[BoxTable, ...]] = {}
    asked: dict[LookKind, Bools] = {}
    for kind, by_photo in answers.items():
        groupings = _full_groupings(by_photo)
        looks[kind] = tuple(
            BoxTable.of_all(
                [_grouping(labels, by_photo.get(photo, ()), number) for photo in photos]
            )
            for number in range(groupings)
        )
        asked[kind] = np.array(
            [
                [number < len(by_photo.get(photo, ())) for photo in photos]
                for number in range(groupings)
            ]
        )
    if truth is None:
        return Sample(photos, tuple(facts.values()), tuple(labels.names), looks, asked, **about)
    objects = BoxTable.of_all([labels.found(truth[photo][0]) for photo in photos])
    covered = [[labels.number(name) for name in sorted(truth[photo][1])] for photo in photos]
    table = np.zeros((len(photos), len(labels.names)), bool)
    for row, numbers in enumerate(covered):
        table[row, numbers] = True
    return Sample(
        photos, tuple(facts.values()), tuple(labels.names), looks, asked, objects, table, **about
    )


def _full_groupings(by_photo: Mapping[str, Sequence[Sequence[Detection]]]) -> int:
    """How many answers nearly every photo has: those that fill up the last canvases have one more
    here and there."""
    counts = sorted(len(each) for each in by_photo.values())
    return max(counts[len(counts) // 10], 1)


def _grouping(labels: Labels, groupings: Sequence[Sequence[Detection]], number: int) -> BoxArray:
    return labels.found(groupings[number]) if number < len(groupings) else NOTHING
