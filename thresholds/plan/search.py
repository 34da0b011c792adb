"""The candidates of a plan, which are simulated over stored answers.

They are: every kind of look for all photos; the seed paper's cascades by its rule, stricter and
laxer, discarding and fusing; cascades that ask again where a gate predicts enough gain, at a range
of prices; and, with a companion, cascades whose gates choose from its answer the first paid look of
a photo, if any. Answers and gates are cross-fitted (`thresholds.plan.cross_fitting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from thresholds.cascade import Merge
from thresholds.fusion.arrays import Floats, Ints
from thresholds.fusion.looks import ITSELF, Evidence, Look, LookKind, Path
from thresholds.plan.candidates import Candidate
from thresholds.plan.study import Study, is_finer
from thresholds.profile.profile import Profile
from thresholds.rules.base import Rule

PRICES = 24
"""Prices that a gate is tried at, from those where no photo is asked again to those where nearly
all are."""
THRESHOLDS = ((0.6, 0.0), (0.8, 0.0), (1.0, -0.5), (1.0, 0.0), (1.0, 0.5), (1.25, 0.0))
"""The seed paper's two ways to a stricter or laxer rule: a factor on its means, and standard
deviations added."""
SPARSE = 4
"""In a sparse ladder of shapes each shows photos at least this many times larger than the one
before."""
FULL = 0.9
"""Canvases filled to this share count as full."""
MIN_COST = 1e-6
"""The cost of a free stage, so that its gain has a finite ratio to it."""
MERGES: tuple[Merge, ...] = ("discard", "fuse")


def flat_candidates(study: Study) -> Iterator[Candidate]:
    """Every kind of look for all photos, plain and rescored."""
    for kind in study.paid:
        if kind == ITSELF:
            yield study.alone
        else:
            yield Candidate(((kind,),), study.everyone(0), plain=True)
        yield Candidate(((*study.prefix, kind),), study.everyone(0))


def gated_candidates(study: Study) -> Iterator[Candidate]:
    """Cascades that ask again where a gate predicts enough gain, at a range of prices."""
    sparse = SPARSE in _ladder_steps(study)
    for start, first in enumerate(study.paid):
        every = study.targets(first)
        ladder = _ladder(study, start, SPARSE)
        few = [kind for kind in every if kind in ladder]
        for targets in _distinct([every, few] if sparse else [every]):
            yield from _priced_candidates(study, (*study.prefix, first), targets)


def companion_candidates(study: Study) -> Iterator[Candidate]:
    """Cascades in which a companion's answer decides the first paid look of each photo, or is
    enough; after that gates decide as in others. None without a companion."""
    if not study.prefix:
        return
    ladders = []
    for step in _ladder_steps(study):
        starts = range(len(study.paid)) if step > 1 else range(1)
        ladders += [_ladder(study, start, step) for start in starts]
    for kinds in _distinct(ladders):
        then = {}
        for kind in kinds:
            then[kind] = [target for target in study.targets(kind) if target in kinds]
        yield from _priced_candidates(study, study.prefix, kinds, then)


def seed_candidates(study: Study, profile: Profile) -> Iterator[Candidate]:
    """The seed paper's cascades of two shapes, discarding and fusing, with scaled thresholds; none
    from a shape at which the profile has no scores."""
    profiled = {group.shape for group in profile.groups}
    for first in study.paid:
        targets = [kind for kind in study.targets(first) if not kind.provider]
        if first.provider or first.shape not in profiled or not targets:
            continue
        evidence = _first_evidence(study, first)
        for factor, deviations in THRESHOLDS:
            rule = profile.rule(first.shape, factor=factor, deviations=deviations)
            choice = _asked_again(rule, evidence)
            for target, merge in product(targets, MERGES):
                yield Candidate(
                    ((first,), (first, target)),
                    choice,
                    plain=True,
                    merge=merge,
                    factor=factor,
                    deviations=deviations,
                )


def _asked_again(rule: Rule, evidence: list[list[Evidence]]) -> Ints:
    """Whether the rule asks again, as 0 or 1 by grouping and photo."""
    rows = []
    for grouping in evidence:
        rows.append([int(not rule.judge(each).accepted) for each in grouping])
    return np.array(rows)


def _first_evidence(study: Study, first: LookKind) -> list[list[Evidence]]:
    """By grouping and photo, the evidence after that look."""
    sample, evidence = study.sample, list[list[Evidence]]()
    for grouping in range(study.training.groupings):
        evidence.append([])
        for photo, facts in enumerate(sample.facts):
            boxes = sample.look(first, grouping).of_photo(photo)
            evidence[-1].append(Evidence(facts, (Look(first.shape, sample.detections(boxes)),)))
    return evidence


def _ladder_steps(study: Study) -> tuple[int, ...]:
    """The steps of ladders to try. All shapes where there are photos enough to fill them, for the
    best of many plans is chosen by luck; sparse ladders as well where photos come so slowly that
    many shapes would each stay half empty."""
    coarsest = max(kind.shape.cells for kind in study.paid)
    full = study.costs.traffic.fill(coarsest) > FULL * coarsest
    return (1,) if full else (1, SPARSE)


def _ladder(study: Study, start: int, step: int) -> list[LookKind]:
    """Kinds of looks to choose from, each `step` times as fine as the one before, or of another
    provider."""
    kinds = [study.paid[start]]
    for kind in study.paid[start + 1 :]:
        if is_finer(kind, kinds[-1], step):
            kinds.append(kind)
    return kinds


def _distinct(ladders: Iterable[list[LookKind]]) -> list[list[LookKind]]:
    """The ladders that are not empty, each once."""
    return [list(kinds) for kinds in dict.fromkeys(map(tuple, ladders)) if kinds]


def _priced_candidates(
    study: Study,
    first: Path,
    targets: Sequence[LookKind],
    then: Mapping[LookKind, Sequence[LookKind]] | None = None,
) -> Iterator[Candidate]:
    """At each price, the cascade that asks after a first path the target of the largest net gain,
    and after a target once more, likewise, one of its kinds in `then`."""
    again = {kind: list(finer) for kind, finer in (then or {}).items() if finer}
    gains, costs = _gains_and_costs(study, first, targets)
    later = {kind: _gains_and_costs(study, (*first, kind), finer) for kind, finer in again.items()}
    paths = [first, *((*first, kind) for kind in targets)]
    for kind, finer in again.items():
        paths += [(*first, kind, target) for target in finer]
    for price in _prices(gains / np.maximum(costs, MIN_COST), study.training.photos):
        choice = _best_targets(gains - price * costs)
        next_path = len(targets) + 1
        for kind, finer in again.items():
            later_gains, later_costs = later[kind]
            best = _best_targets(later_gains - price * later_costs)
            asked_again = (choice == targets.index(kind) + 1) & (best > 0)
            choice[asked_again] = next_path - 1 + best[asked_again]
            next_path += len(finer)
        yield Candidate(tuple(paths), choice, price=price)


def _prices(ratios: Floats, photos: Ints) -> list[float]:
    """Prices at which different shares of these photos are asked again, in ascending order, from
    the ratios of gain to cost (targets, groupings, photos)."""
    best = ratios.max(axis=0)
    shares = np.linspace(0.03, 0.97, PRICES)
    prices = np.unique(np.quantile(best[:, photos], 1 - shares))
    return [float(price) for price in prices if price > 0]


def _gains_and_costs(
    study: Study, first: Path, targets: Sequence[LookKind]
) -> tuple[Floats, Floats]:
    """The predicted gain of each target (targets, groupings, photos), and its cost
    (targets, 1, 1)."""
    shape = (study.training.groupings, len(study.sample))
    gains = [np.broadcast_to(study.gates[first, kind].gains, shape) for kind in targets]
    costs = np.array([study.costs.images(kind) for kind in targets])
    return np.stack(gains), costs[:, None, None]


def _best_targets(net_gains: Floats) -> Ints:
    """By grouping and photo the target (first axis) of the largest net gain, numbered from 1; 0
    where none is positive."""
    return np.where(net_gains.max(axis=0) > 0, net_gains.argmax(axis=0) + 1, 0)
