"""From a sample to the cheapest cascade for a quality: simulates cascades over stored answers. Pure
but for its cores.

An *option* is a cascade that could be, and which way it would send each photo. Options are: every
kind of look for all photos; the seed paper's cascades by its rule, stricter and laxer, discarding
and fusing; cascades that ask again where a gate foresees enough gain, at a range of prices; and,
with a companion, cascades whose gates choose from its answer how a photo is shown first, if at all.
Answers and gates are cross-fitted (`thresholds.plan.training`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from typing import TypeVar

import numpy as np

from thresholds.cascade import Cascade, Merge, Stage
from thresholds.fusion.arrays import Bools, BoxArray, Floats, Ints
from thresholds.fusion.looks import ITSELF, Evidence, Look, LookKind, Path, path_text
from thresholds.metrics.quality import LEAST_OBJECTS
from thresholds.plan.candidates import Candidate, OperatingPoint
from thresholds.plan.cost import Costs
from thresholds.plan.training import (
    Answers,
    Gate,
    Lesson,
    PathFit,
    fuse_path,
    fusion,
    learn_gate,
    learn_path,
)
from thresholds.profile.profile import Profile
from thresholds.rules import gain, onward
from thresholds.rules.base import Rule
from thresholds.samples.replay import detections
from thresholds.samples.sample import Sample

T = TypeVar("T")

PRICES = 24
"""Prices that a gate is tried at, from where nothing is asked again to where nearly everything
is."""
THRESHOLDS = ((0.6, 0.0), (0.8, 0.0), (1.0, -0.5), (1.0, 0.0), (1.0, 0.5), (1.25, 0.0))
"""The seed paper's two ways to a stricter or laxer rule: a factor on its means, and standard
deviations added."""
FINER = 2
"""A target shows photos at least so many times larger, in area: nearer ones cost a second look and
tell little new."""
THIN = 4
"""Where few shapes are wanted, each shows photos at least so many times larger than the one
before."""
FULL = 0.9
"""Canvases so full count as full."""


@dataclass
class Study:
    """A lesson and what has been learned from it. Holds paths, gates, and the parts of options that
    were asked for."""

    lesson: Lesson
    costs: Costs
    paths: dict[Path, PathFit]
    gates: dict[tuple[Path, LookKind], Gate]
    _known: dict[int, tuple[Candidate, Floats]] = field(default_factory=dict, repr=False)

    @property
    def sample(self) -> Sample:
        return self.lesson.sample

    @cached_property
    def base(self) -> float:
        """The metric of the provider's own answers, each photo alone, over the photos that models
        may see."""
        return self.value(self.alone, self.lesson.fit)

    @cached_property
    def alone(self) -> Candidate:
        """Each photo alone, as the provider answers it."""
        return Candidate(((ITSELF,),), self._everyone(0), plain=True)

    @property
    def prefix(self) -> Path:
        """The looks that are free, before any other."""
        return tuple(kind for kind in self.sample.looks if kind.provider in self.lesson.companions)

    def point(self, option: Candidate) -> OperatingPoint:
        value = self.value(option, self.lesson.fit)
        return OperatingPoint(
            option, self.images(option, self.lesson.fit), value, value - self.base
        )

    def images(self, option: Candidate, photos: Ints) -> float:
        """Images that one photo costs, over these photos."""
        shares = self._shares(option, option.choice[:, photos])
        return sum(share * self.costs.images(kind, share) for kind, share in shares.items())

    def _shares(self, option: Candidate, choice: Ints) -> Mapping[LookKind, float]:
        """By kind, the share of photos that are looked at so."""
        shares: dict[LookKind, float] = {}
        for index, path in enumerate(option.paths):
            share = float((choice == index).mean())
            for kind in path:
                shares[kind] = shares.get(kind, 0.0) + share
        return shares

    def parts(self, option: Candidate) -> Floats:
        """Every photo's part in the metric (photos,), the mean over groupings.

        In average precision that is what its boxes are worth in the ranking of the option's own
        answers about the photos that models may see (`thresholds.metrics.box_worth`), a label of
        few objects weighing as if it had 15: the mean over those is the metric but for its envelope
        and such labels, and parts of photos held out are independent.
        """
        if id(option) not in self._known:
            part = self._agreements if self.lesson.quality.metric == "agreement" else self._worths
            each = [part(option, grouping) for grouping in range(len(option.choice))]
            self._known[id(option)] = option, np.asarray(np.mean(each, axis=0))
        return self._known[id(option)][1]

    def _worths(self, option: Candidate, grouping: int) -> Floats:
        quality = self.lesson.quality
        weights = quality.weights(self.lesson.fit, least=LEAST_OBJECTS)
        found, true, photos = self._given(option, grouping, np.ones(len(self.sample), bool))
        known = (self.lesson.folds >= 0)[photos]
        rankings = quality.rankings(found.take(known), true[:, known])
        worth = np.mean(
            [r.worths(found, row) for r, row in zip(rankings, true, strict=True)], axis=0
        )
        return np.asarray(
            np.bincount(photos, worth * weights[found.labels], len(self.sample)), float
        )

    def _agreements(self, option: Candidate, grouping: int) -> Floats:
        each = [self._answers(option, path, grouping).part for path in option.paths]
        return np.asarray(np.stack(each)[option.choice[grouping], np.arange(len(self.sample))])

    def value(self, option: Candidate, photos: Ints) -> float:
        """The metric over these photos, the mean over groupings."""
        quality = self.lesson.quality
        if quality.metric == "agreement":
            return float(self.parts(option)[photos].mean())
        wanted = np.zeros(len(self.sample), bool)
        wanted[photos] = True
        each = [self._given(option, grouping, wanted) for grouping in range(len(option.choice))]
        return float(np.mean([quality.value(found, true, photos) for found, true, _ in each]))

    def _given(
        self, option: Candidate, grouping: int, wanted: Bools
    ) -> tuple[BoxArray, Bools, Ints]:
        """The option's detections on the wanted photos, which are true (ious, n), and each one's
        photo."""
        choice = option.choice[grouping]
        found, true, photos = list[BoxArray](), list[Bools](), list[Ints]()
        for index, path in enumerate(option.paths):
            answers = self._answers(option, path, grouping)
            its = answers.boxes.photos
            chosen = (wanted & (choice == index))[its]
            found.append(answers.boxes.found.take(chosen))
            true.append(answers.true[:, chosen])
            photos.append(its[chosen])
        return found[0].joined(found[1:]), np.concatenate(true, axis=1), np.concatenate(photos)

    def _answers(self, option: Candidate, path: Path, grouping: int) -> Answers:
        if option.plain and option.merge == "discard":
            path = path[-1:]
        fit = self.paths[path]
        each = fit.plain if option.plain else fit.answers
        return each[grouping % len(each)]

    def _everyone(self, path: int) -> Ints:
        return np.full((self.lesson.groupings, len(self.sample)), path)

    # -- what could be

    def flat(self) -> Iterator[Candidate]:
        """Every kind of look for all photos, plain and rescored."""
        for kind in self.paid:
            yield (
                self.alone
                if kind == ITSELF
                else Candidate(((kind,),), self._everyone(0), plain=True)
            )
            yield Candidate(((*self.prefix, kind),), self._everyone(0))

    @cached_property
    def paid(self) -> list[LookKind]:
        """Kinds of looks that are paid for, the cheapest first."""
        paid = [kind for kind in self.sample.looks if kind.provider not in self.lesson.companions]
        return sorted(paid, key=lambda kind: (self.costs.images(kind), -kind.shape.cells, kind))

    def targets(self, first: LookKind) -> list[LookKind]:
        """What may be asked after a first look, the cheapest first; of a provider's shapes of as
        many cells one, for a cascade becomes finer."""
        targets: dict[tuple[str, int], LookKind] = {}
        for kind in self.paid:
            if self.costs.images(kind) > self.costs.images(first) and _finer(first, kind):
                targets.setdefault((kind.provider, kind.shape.cells), kind)
        return list(targets.values())

    def gated(self) -> Iterator[Candidate]:
        """Cascades that ask again where a gate foresees enough, at a range of prices."""
        for start, first in enumerate(self.paid):
            every, thin = self.targets(first), self._ladder(start, THIN)
            few = [kind for kind in every if kind in thin]
            for after in _unlike([every, few] if THIN in self._steps else [every]):
                yield from self._priced((*self.prefix, first), after)

    def chosen(self) -> Iterator[Candidate]:
        """Cascades in which a companion's answer decides how each photo is shown first, or that it
        is enough; after that gates ask again as ever. Without a companion there are none."""
        starts = range(len(self.paid)) if self.prefix else ()
        ladders = (
            self._ladder(start, step)
            for step in self._steps
            for start in starts
            if step > 1 or not start
        )
        for kinds in _unlike(ladders):
            then = {
                kind: [finer for finer in self.targets(kind) if finer in kinds] for kind in kinds
            }
            yield from self._priced(self.prefix, kinds, then)

    @property
    def _steps(self) -> tuple[int, ...]:
        """All shapes where there are photos enough to fill them, for whoever chooses the best of
        many plans chooses luck; few as well where photos come so slowly that many would each stay
        half empty."""
        coarsest = max(kind.shape.cells for kind in self.paid)
        return (1,) if self.costs.traffic.fill(coarsest) > FULL * coarsest else (1, THIN)

    def _ladder(self, start: int, step: int) -> list[LookKind]:
        """Kinds of looks to choose from, each finer than the one before by so many times, or
        another provider's."""
        kinds = [self.paid[start]]
        for kind in self.paid[start + 1 :]:
            if _finer(kinds[-1], kind, step):
                kinds.append(kind)
        return kinds

    def _priced(
        self,
        first: Path,
        targets: Sequence[LookKind],
        then: Mapping[LookKind, Sequence[LookKind]] | None = None,
    ) -> Iterator[Candidate]:
        """After a first path whatever target gains most at a price; and after a target `then` once
        more, likewise."""
        gains, costs = self._gains(first, targets)
        again = [(kind, list(finer)) for kind, finer in (then or {}).items() if finer]
        gained = {kind: self._gains((*first, kind), finer) for kind, finer in again}
        paths = (
            first,
            *((*first, kind) for kind in targets),
            *((*first, kind, finer) for kind, each in again for finer in each),
        )
        worth = (gains / np.maximum(costs, LEAST_COST)).max(axis=0)
        shares = np.linspace(0.03, 0.97, PRICES)
        for price in np.unique(np.quantile(worth[:, self.lesson.fit], 1 - shares)):
            if price > 0:
                choice, at = _best(gains - price * costs), len(targets) + 1
                for kind, finer in again:
                    more = _best(gained[kind][0] - price * gained[kind][1])
                    asked = (choice == targets.index(kind) + 1) & (more > 0)
                    choice[asked] = at - 1 + more[asked]
                    at += len(finer)
                yield Candidate(paths, choice, price=float(price))

    def _gains(self, first: Path, targets: Sequence[LookKind]) -> tuple[Floats, Floats]:
        """What each target is foreseen to gain (targets, groupings, photos), and what it costs
        (targets, 1, 1)."""
        shape = (self.lesson.groupings, len(self.sample))
        gains = np.stack(
            [np.broadcast_to(self.gates[first, kind].gains, shape) for kind in targets]
        )
        return gains, np.array([self.costs.images(kind) for kind in targets])[:, None, None]

    def seeded(self, profile: Profile) -> Iterator[Candidate]:
        """The seed paper's cascades of two shapes, discarding and fusing, its thresholds scaled;
        none from a shape at which the profile saw nothing."""
        own = [kind for kind in self.paid if not kind.provider]
        ruled = {group.shape for group in profile.groups}
        for first in (kind for kind in own if kind.shape in ruled):
            after = [then for then in self.targets(first) if then in own]
            seen = self._seen(first) if after else []
            for factor, deviations in THRESHOLDS:
                rule = (
                    profile.rule(first.shape, factor=factor, deviations=deviations)
                    if seen
                    else None
                )
                choice = np.array(
                    [[int(not rule.judge(each).accepted) for each in row] for row in seen if rule]
                )
                for then, merge in product(after, MERGES):
                    yield Candidate(
                        ((first,), (first, then)),
                        choice,
                        plain=True,
                        merge=merge,
                        factor=factor,
                        deviations=deviations,
                    )

    def _seen(self, first: LookKind) -> list[list[Evidence]]:
        """By grouping and photo, what a rule would judge after that look."""
        return [
            [
                Evidence(facts, (Look(first.shape, detections(self.sample, boxes.of(photo))),))
                for photo, facts in enumerate(self.sample.facts)
            ]
            for boxes in (
                self.sample.look(first, grouping) for grouping in range(self.lesson.groupings)
            )
        ]

    # -- what comes of it

    def cascade(self, option: Candidate, profile: Profile | None = None) -> Cascade:
        """The option as a cascade that a gateway can run, with the border that it was measured
        with."""
        return self._stages(option, profile).model_copy(update={"border": self.sample.border})

    def _stages(self, option: Candidate, profile: Profile | None) -> Cascade:
        if option.factor is not None and profile is not None:
            first, *others = option.paths
            shapes = [first[-1].shape, *(path[-1].shape for path in others)]
            made = profile.cascade(shapes, factor=option.factor, deviations=option.deviations)
            return made.model_copy(update={"merge": option.merge})
        if option.plain:
            return Cascade(stages=(_stage(option.paths[0][-1]),))
        kinds = list(dict.fromkeys(kind for path in option.paths for kind in path))
        paid = [kind for kind in kinds if kind not in self.prefix]
        gated = option.price is not None
        after = {
            (*self.prefix, k): [then for then in self.targets(k) if gated and then in kinds]
            for k in paid
        }
        if self.prefix in option.paths:
            after[self.prefix] = paid
        rules = {
            path[-1]: self._rule(option, path, then, kinds) for path, then in after.items() if then
        }
        stages = tuple(
            _stage(kind, rules.get(kind, onward.Rule() if kind in self.prefix else None))
            for kind in kinds
        )
        paths = {
            (*path, *more): None
            for path, then in after.items()
            for more in ((), *((kind,) for kind in then))
        }
        fits = {path: self.paths[path] for path in paths}
        return Cascade(
            stages=stages, merge="fuse", fusion=fusion(self.lesson, fits, self._pairs(option))
        )

    def _rule(
        self, option: Candidate, path: Path, then: Sequence[LookKind], kinds: Sequence[LookKind]
    ) -> gain.Rule:
        """What judges photos that were looked at so, in a cascade whose stages are of these kinds.
        It is there for every stage that a photo may be seen at first: a canvas that is not full
        shows photos as a later stage would."""
        targets = tuple(
            gain.Target(
                ahead=kinds.index(kind) - kinds.index(path[-1]),
                cost=round(self.costs.images(kind), 5),
                gain=self.gates[path, kind].trees,
            )
            for kind in then
        )
        return gain.Rule(path=path_text(path), price=option.price or 0.0, targets=targets)

    def _pairs(self, option: Candidate) -> Floats:
        """Scores here and alone (n, 2) of the photos that each path is for, to calibrate by."""
        each = [
            (self.paths[path].pairs, option.choice[0] == index)
            for index, path in enumerate(option.paths)
        ]
        return np.concatenate([pairs[chosen[pairs[:, 2].astype(int)]] for pairs, chosen in each])[
            :, :2
        ]


LEAST_COST = 1e-6
"""Of a stage that costs nothing, for its worth to be a number."""
MERGES: tuple[Merge, ...] = ("discard", "fuse")


def _stage(kind: LookKind, rule: Rule | None = None) -> Stage:
    stage = Stage(shape=kind.shape, provider=kind.provider or None)
    return stage if rule is None else stage.model_copy(update={"rule": rule})


def _unlike(each: Iterable[list[LookKind]]) -> list[list[LookKind]]:
    """Each that is not empty, once."""
    return [list(kinds) for kinds in dict.fromkeys(map(tuple, each)) if kinds]


def _best(nets: Floats) -> Ints:
    """By grouping and photo the target (first axis) that nets most, numbered from 1; 0 where none
    nets anything."""
    return np.where(nets.max(axis=0) > 0, nets.argmax(axis=0) + 1, 0)


def _finer(first: LookKind, then: LookKind, times: int = FINER) -> bool:
    cells = then.shape.cells
    return first.provider != then.provider or first.shape.cells >= max(times * cells, cells + 1)


Each = Callable[[], None]


def learn(study: Study, *, jobs: int = -1, on_each: Each = lambda: None) -> None:
    """Learns every path and gate that an option may need, on so many cores (-1: all); `on_each`
    hears of each."""
    paths = _paths(study)
    begins = len(study.prefix)
    work = [
        partial(learn_path if path[:begins] == study.prefix else fuse_path, study.lesson, path)
        for path in paths
    ]
    study.paths.update(zip(paths, _spread(jobs, work, on_each), strict=True))
    gates = _gates(study)
    taught = [
        partial(learn_gate, study.lesson, study.paths[first], study.paths[*first, kind])
        for first, kind in gates
    ]
    study.gates.update(zip(gates, _spread(jobs, taught, on_each), strict=True))


def needed(study: Study) -> int:
    """How many paths and gates there are to learn."""
    return len(_paths(study)) + len(_gates(study))


def _paths(study: Study) -> list[Path]:
    """Every look first, and again; with the free looks before, and without, only fused, for
    comparison."""
    paths: list[Path] = []
    for prefix in dict.fromkeys([study.prefix, ()]):
        paths += [prefix] if prefix else []
        for first in study.paid:
            paths += [(*prefix, first), *((*prefix, first, kind) for kind in study.targets(first))]
    return paths


def _gates(study: Study) -> list[tuple[Path, LookKind]]:
    first = [(study.prefix, kind) for kind in study.paid] if study.prefix else []
    return first + [
        ((*study.prefix, kind), finer) for kind in study.paid for finer in study.targets(kind)
    ]


def _spread(jobs: int, work: Sequence[Callable[[], T]], on_each: Each) -> Iterator[T]:
    """The results in order, as they come; processes, for much of the work is Python's own."""
    from joblib import Parallel, delayed

    for each in Parallel(n_jobs=jobs, return_as="generator")(delayed(do)() for do in work):
        on_each()
        yield each
