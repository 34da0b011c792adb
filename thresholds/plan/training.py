"""Learns from a sample what a fusion and its gates need: which joined boxes are objects, and what
asking again gains.

Everything is cross-fitted: what is said of a photo comes from models that have not seen it, so that
a plan can be judged on the photos that it was made from. Photos outside `fit` are seen by no model
at all.

Needs scikit-learn. The settings of its models are those that won in the trials this began with, and
are not tuned here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from thresholds.fusion.arrays import Bools, BoxArray, BoxTable, Floats, Ints
from thresholds.fusion.calibration import Knots, rising
from thresholds.fusion.clusters import Clusters, cluster, features, overlaps
from thresholds.fusion.fusion import Fusion, blended, logistic, weights
from thresholds.fusion.looks import ITSELF, Belief, Path, path_text
from thresholds.fusion.trees import Trees, of_boosting, of_forest
from thresholds.metrics.box_worth import hits
from thresholds.metrics.quality import Quality
from thresholds.rules import gain
from thresholds.samples.sample import Sample

T = TypeVar("T")

FOLDS = 4
MOST_ROWS = 40_000
"""Boxes that one model is taught with, taken by chance of more: a second's work, and more teach no
better."""
OUTLIERS = 0.003
"""Share of gains at either end that are brought in: one photo must not decide."""
BOOSTING: Mapping[str, Any] = {
    "max_leaf_nodes": 15,
    "max_iter": 90,
    "learning_rate": 0.1,
    "l2_regularization": 5.0,
    "min_samples_leaf": 60,
    "early_stopping": False,
    "random_state": 0,
}
FOREST: Mapping[str, Any] = {
    "n_estimators": 80,
    "min_samples_leaf": 12,
    "max_features": 1 / 3,
    "random_state": 0,
}
ALIKE = 0.6
"""Share of a companion's boxes of a label that lie on a provider's boxes of one and the same label,
for the two to mean the same."""
LEAST_ALIKE = 5


Says = Callable[[Floats], Floats]
"""From rows (n, features) to numbers (n,)."""


class Answers(NamedTuple):
    """What a path answers, of all photos, in one grouping: the detections that count and which of
    them are true, and each photo's part in the metric (its mean is the metric) and worth for
    learning."""

    boxes: BoxTable
    true: Bools
    part: Floats
    worth: Floats


class PathFit(NamedTuple):
    """A path learned: the model that rescores, its answers by grouping, fused only (`plain`) and
    rescored, the rows (groupings, photos, features) that gains are foreseen from, and pairs (n, 3)
    of a score here, of the same box alone, and its photo."""

    trees: Trees
    plain: tuple[Answers, ...]
    answers: tuple[Answers, ...]
    rows: Floats
    pairs: Floats


class Gate(NamedTuple):
    """What asking a target next gains: the model, and its word on each photo by grouping
    (groupings, photos)."""

    trees: Trees
    gains: Floats


@dataclass(frozen=True)
class Lesson:
    """What is learned from: a sample, a metric, and the photos that models may see, each in a fold
    (-1: none)."""

    sample: Sample
    quality: Quality
    folds: Ints
    companions: tuple[str, ...] = ()

    @cached_property
    def fit(self) -> Ints:
        return np.flatnonzero(self.folds >= 0)

    @cached_property
    def weights(self) -> Floats:
        """By label, what an object of it is worth in learning; rounded as a cascade's file has it,
        so that what is learned from is what will be judged by."""
        return np.round(self.quality.tamed(self.fit), 4)

    @cached_property
    def groupings(self) -> int:
        return max(len(boxes) for boxes in self.sample.looks.values())

    @cached_property
    def given(self) -> Bools:
        """Labels that a paid provider gives."""
        given = np.zeros(len(self.sample.labels), bool)
        for kind, groupings in self.sample.looks.items():
            if kind.provider not in self.companions:
                given[np.concatenate([boxes.found.labels for boxes in groupings])] = True
        return given

    @cached_property
    def aliases(self) -> Ints:
        """By label, the one that it means: itself, or what a paid provider calls what a companion
        calls so."""
        meant = np.arange(len(self.sample.labels))
        for kind in self.sample.looks:
            if kind.provider in self.companions:
                for label, other in _alike(self.sample, kind.provider, self.given, self.fit):
                    meant[label] = other
        return meant

    def looks(self, path: Path, grouping: int, photo: int) -> tuple[BoxArray, ...]:
        """A photo's looks, a companion's labels in the provider's words and others of it left
        out."""
        looks = []
        for kind in path:
            found = self.sample.look(kind, grouping).of(photo)
            if kind.provider in self.companions:
                found = found.labelled(self.aliases[found.labels])
                found = found.take(self.given[found.labels])
            looks.append(found)
        return tuple(looks)


def _alike(sample: Sample, provider: str, given: Bools, photos: Ints) -> list[tuple[int, int]]:
    """Labels of a companion that the provider never gives, each with the one it gives in the same
    places."""
    (theirs,) = [boxes[0] for kind, boxes in sample.looks.items() if kind.provider == provider]
    ours = sample.look(ITSELF, 0)
    counts = np.zeros((len(sample.labels), len(sample.labels)), int)
    for photo in photos:
        mine, other = ours.of(photo), theirs.of(photo)
        mine, other = mine.take(mine.scores > 0.3), other.take(other.scores > 0.3)
        for label in np.unique(other.labels):
            there = other.take(other.labels == label)
            for name in np.unique(mine.labels):
                counts[label, name] += len(_matched(there, mine.take(mine.labels == name)))
    best, total = counts.argmax(axis=1), counts.sum(axis=1)
    sure = (counts.max(axis=1) >= LEAST_ALIKE) & (counts.max(axis=1) >= ALIKE * total) & ~given
    return [(int(label), int(best[label])) for label in np.flatnonzero(sure)]


def folds(photos: int, fit: Ints, seed: int = 0) -> Ints:
    """Each photo's fold, -1 for those not to be seen."""
    fold = np.full(photos, -1)
    fold[fit] = np.random.default_rng(seed).permutation(len(fit)) % FOLDS
    return fold


# -- which joined boxes are objects


class _Table(NamedTuple):
    """A path's joined boxes of all photos and groupings, grouping by grouping, side by side."""

    clusters: list[list[Clusters]]
    rows: Floats
    true: NDArray[np.bool_]
    known: NDArray[np.bool_]
    photo: Ints


def fuse_path(lesson: Lesson, path: Path) -> PathFit:
    """Fuses every photo's looks of that path; nothing is learned, and its answers are `plain`."""
    joined = _joined(lesson, path)
    fused = [
        [_fused(lesson, path, grouping, photo, each) for photo, each in enumerate(clusters)]
        for grouping, clusters in enumerate(joined)
    ]
    plain = _answers(lesson, fused, verbatim=path == (ITSELF,))
    rows, pairs = np.zeros((len(joined), len(lesson.sample), 0)), np.zeros((0, 3))
    return PathFit(Trees.constant(0.0), plain, plain, rows, pairs)


def _fused(lesson: Lesson, path: Path, grouping: int, photo: int, joined: Clusters) -> BoxArray:
    """A photo's boxes with the scores that fusing gives them; a single look's own."""
    if len(path) > 1:
        return joined.scored(joined.fused)
    (look,) = lesson.looks(path, grouping, photo)
    return look.take(np.argsort(-look.scores, kind="stable"))


def learn_path(lesson: Lesson, path: Path) -> PathFit:
    """Fuses every photo's looks of that path, learns which joined boxes are objects, and rescores
    them."""
    table = _table(lesson, path)
    chance, trees = _chances(lesson, table)
    found: list[BoxArray] = []
    plain: list[BoxArray] = []
    beliefs, at = [], 0
    for grouping, clusters in enumerate(table.clusters):
        for photo, joined in enumerate(clusters):
            mine = chance[at : at + len(joined)]
            at += len(joined)
            found.append(joined.scored(blended(joined.fused, mine)))
            plain.append(_fused(lesson, path, grouping, photo, joined))
            looks = lesson.looks(path, grouping, photo)
            beliefs.append(Belief(looks, joined, mine, lesson.weights[joined.labels]))
    facts = lesson.sample.facts * len(table.clusters)
    rows = np.array(
        [gain.features(fact, belief) for fact, belief in zip(facts, beliefs, strict=True)]
    )
    count = len(lesson.sample)
    split, fused = (
        [each[start : start + count] for start in range(0, len(each), count)]
        for each in (found, plain)
    )
    pairs = _pairs(lesson, split[0])
    if lesson.quality.metric == "agreement":
        knots = np.array(rising(pairs[:, 0], pairs[:, 1])).T
        split = [[own.scored(np.interp(own.scores, *knots)) for own in each] for each in split]
    shaped = rows.reshape(len(split), count, -1)
    plainly = _answers(lesson, fused, verbatim=path == (ITSELF,))
    return PathFit(
        trees, plainly, _answers(lesson, split, verbatim=path[-1] == ITSELF), shaped, pairs
    )


def _table(lesson: Lesson, path: Path) -> _Table:
    joined = _joined(lesson, path)
    flat = [(photo, each) for clusters in joined for photo, each in enumerate(clusters)]
    quality = lesson.quality
    true = [hits(each.scored(each.fused), quality.each[photo])[0] for photo, each in flat]
    known = [quality.known[photo, each.labels] for photo, each in flat]
    rows = np.concatenate([features(each) for _, each in flat])
    photo = np.repeat([photo for photo, _ in flat], [len(each) for _, each in flat])
    return _Table(joined, rows, np.concatenate(true), np.concatenate(known), photo)


def _joined(lesson: Lesson, path: Path) -> list[list[Clusters]]:
    """By grouping and photo."""
    votes = weights(path, lesson.companions)
    groupings = range(1 if all(kind.shape.cells == 1 for kind in path) else lesson.groupings)
    photos = range(len(lesson.sample))
    return [
        [cluster(lesson.looks(path, grouping, photo), votes) for photo in photos]
        for grouping in groupings
    ]


def _chances(lesson: Lesson, table: _Table) -> tuple[Floats, Trees]:
    """Of each joined box the chance that it is an object, by a model that has not seen its photo;
    and the model of all photos that models may see."""
    fold = lesson.folds[table.photo]
    says, trees = _boosted(table, (fold >= 0) & table.known)
    chance = says(table.rows)
    for each in range(FOLDS):
        own = fold == each
        if own.any():
            says, _ = _boosted(table, (fold >= 0) & ~own & table.known)
            chance[own] = says(table.rows[own])
    return logistic(chance), trees


def _boosted(table: _Table, which: Bools) -> tuple[Says, Trees]:
    """The log-odds that a joined box is an object."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    chosen = np.flatnonzero(which)
    if len(chosen) > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(chosen, MOST_ROWS, replace=False)
    true = table.true[chosen]
    if true.all() or not true.any():
        share = float(np.clip(true.mean() if len(true) else 0.5, 1e-3, 1 - 1e-3))
        same = Trees.constant(float(np.log(share / (1 - share))))
        return same, same
    model = HistGradientBoostingClassifier(**BOOSTING).fit(table.rows[chosen], true)
    return model.decision_function, of_boosting(model)


# -- what answers are worth


def _answers(
    lesson: Lesson, found: Sequence[Sequence[BoxArray]], *, verbatim: bool
) -> tuple[Answers, ...]:
    """`verbatim` ones leave as the provider's own answer about the photo alone, with which they
    then agree."""
    quality, photos = lesson.quality, range(len(lesson.sample))
    counted = [[quality.counted(found[photo], photo) for photo in photos] for found in found]
    true = [[quality.true(own, photo) for photo, own in enumerate(each)] for each in counted]
    boxes = [BoxTable.of_all(each) for each in counted]
    flags = [np.concatenate(each, axis=1) for each in true]
    if quality.metric == "agreement":
        everyone = np.arange(len(lesson.sample))
        f1 = [
            np.ones(len(everyone)) if verbatim else quality.f1(np.diff(own.starts), flag, everyone)
            for own, flag in zip(boxes, flags, strict=True)
        ]
        return tuple(
            Answers(own, flag, part, part) for own, flag, part in zip(boxes, flags, f1, strict=True)
        )
    pooled = BoxTable.of_all([own for each in counted for own in _at(each, lesson.fit)]).found
    rankings = quality.rankings(
        pooled, np.concatenate([own for each in true for own in _at(each, lesson.fit)], axis=1)
    )
    exact, tamed = quality.weights(lesson.fit), lesson.weights
    made = []
    for own, flag in zip(boxes, flags, strict=True):
        each = np.mean(
            [r.worths(own.found, row) for r, row in zip(rankings, flag, strict=True)], axis=0
        )
        sums = [_by_photo(own, each * weight[own.found.labels]) for weight in (exact, tamed)]
        made.append(Answers(own, flag, *sums))
    return tuple(made)


def _at(each: Sequence[T], photos: Ints) -> list[T]:
    return [each[photo] for photo in photos]


def _by_photo(boxes: BoxTable, values: Floats) -> Floats:
    return np.asarray(np.bincount(boxes.photos, values, len(boxes.starts) - 1), np.float64)


def _pairs(lesson: Lesson, found: Sequence[BoxArray]) -> Floats:
    """Scores here and alone of the boxes that are found in both, and their photo."""
    pairs = []
    for photo in lesson.fit:
        own, alone = found[photo], lesson.sample.look(ITSELF, 0).of(photo)
        order = np.argsort(-alone.scores, kind="stable")
        for label in np.unique(own.labels):
            mine, its = (
                own.take(own.labels == label),
                alone.take(order[alone.labels[order] == label]),
            )
            matched = _matched(mine, its)
            pairs.append(np.column_stack([matched, np.full(len(matched), photo)]))
    return np.concatenate(pairs) if pairs else np.zeros((0, 3))


def _matched(mine: BoxArray, its: BoxArray) -> Floats:
    """Greedily, surest first, at an IoU of 0.5."""
    left, pairs = overlaps(mine.xyxy, its.xyxy), []
    if not left.size:
        return np.zeros((0, 2))
    for row in range(len(mine)):
        best = int(left[row].argmax())
        if left[row, best] >= 0.5:
            pairs.append((mine.scores[row], its.scores[best]))
            left[:, best] = 0.0
    return np.array(pairs).reshape(-1, 2)


# -- what asking again gains


def learn_gate(lesson: Lesson, before: PathFit, after: PathFit) -> Gate:
    """From the rows of the path before to what the photo's answer is worth more after."""
    from sklearn.ensemble import ExtraTreesRegressor

    count, width = before.rows.shape[1:]
    groupings = max(len(before.answers), len(after.answers))
    rows = np.resize(before.rows, (groupings, count, width)).reshape(-1, width)
    gains = np.stack([_worth(after, g) - _worth(before, g) for g in range(groupings)]).ravel()
    fold = np.tile(lesson.folds, groupings)
    seen = fold >= 0
    gains = np.clip(gains, *np.quantile(gains[seen], [OUTLIERS, 1 - OUTLIERS]))

    def learned(which: Bools) -> Any:
        return ExtraTreesRegressor(**FOREST).fit(rows[which], gains[which])

    whole = learned(seen)
    foreseen = np.asarray(whole.predict(rows))
    for each in range(FOLDS):
        own = fold == each
        if own.any():
            foreseen[own] = learned(seen & ~own).predict(rows[own])
    return Gate(of_forest(whole), foreseen.reshape(groupings, count))


def _worth(path: PathFit, grouping: int) -> Floats:
    return path.answers[grouping % len(path.answers)].worth


# -- what a cascade carries with it


def fusion(lesson: Lesson, paths: Mapping[Path, PathFit], pairs: Floats) -> Fusion:
    """The model of a cascade whose photos go these paths. `pairs` (n, 2) are scores here and alone
    of what leaves."""
    names, meant = lesson.sample.labels, lesson.aliases
    kept = np.flatnonzero(lesson.given)
    return Fusion(
        companions=lesson.companions,
        labels=tuple(names[label] for label in kept),
        aliases={
            names[label].casefold(): names[to] for label, to in enumerate(meant) if to != label
        },
        weights=tuple(lesson.weights[kept].tolist()),
        rescore={path_text(path): fit.trees for path, fit in paths.items()},
        calibration={
            path_text(path): knots for path, knots in _calibrations(lesson, paths, pairs).items()
        },
        verbatim=lesson.quality.metric == "agreement",
    )


def _calibrations(
    lesson: Lesson, paths: Mapping[Path, PathFit], pairs: Floats
) -> Mapping[Path, Knots]:
    """For agreement, where scores are held to a threshold, one for each path. For precision, where
    scores of different paths are ranked together, the same for all: it changes no rank."""
    if lesson.quality.metric == "agreement":
        return {path: rising(fit.pairs[:, 0], fit.pairs[:, 1]) for path, fit in paths.items()}
    return dict.fromkeys(paths, rising(pairs[:, 0], pairs[:, 1]))
