"""Training of all paths and gates that a study's candidates may use, and of a cascade's models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from thresholds.fusion.looks import LookKind, Path
from thresholds.plan.gate_training import gain_trees, train_gate
from thresholds.plan.path_training import fuse_path, rescoring_trees, train_path
from thresholds.plan.study import Study

T = TypeVar("T")

Callback = Callable[[], None]


def learn(study: Study, *, jobs: int = -1, on_each: Callback = lambda: None) -> None:
    """Trains every path and gate that a candidate may need, on that many cores (-1: all);
    `on_each` is called after each of them."""
    paths = _paths(study)
    prefix_length = len(study.prefix)
    path_jobs = []
    for path in paths:
        train = train_path if path[:prefix_length] == study.prefix else fuse_path
        path_jobs.append(partial(train, study.training, path))
    study.paths.update(zip(paths, _results(jobs, path_jobs, on_each), strict=True))
    gates = _gates(study)
    gate_jobs = [
        partial(train_gate, study.training, study.paths[first], study.paths[*first, kind])
        for first, kind in gates
    ]
    study.gates.update(zip(gates, _results(jobs, gate_jobs, on_each), strict=True))


def learn_final(
    study: Study,
    paths: Sequence[Path],
    gates: Sequence[tuple[Path, LookKind]],
    *,
    jobs: int = -1,
) -> None:
    """Trains the models of these paths and gates on all training photos, where the study has none
    of them yet."""
    paths = [path for path in paths if path not in study.rescoring]
    gates = [gate for gate in gates if gate not in study.gains]
    work = [partial(rescoring_trees, study.training, path) for path in paths]
    for first, kind in gates:
        before, after = study.paths[first], study.paths[*first, kind]
        work.append(partial(gain_trees, study.training, before, after))
    trees = list(_results(jobs, work, lambda: None))
    study.rescoring.update(zip(paths, trees[: len(paths)], strict=True))
    study.gains.update(zip(gates, trees[len(paths) :], strict=True))


def training_count(study: Study) -> int:
    """The number of paths and gates to train."""
    return len(_paths(study)) + len(_gates(study))


def _paths(study: Study) -> list[Path]:
    """Every first look, alone and followed by each target; after the free looks, and without them,
    fused only, for comparison."""
    paths: list[Path] = []
    for prefix in dict.fromkeys([study.prefix, ()]):
        if prefix:
            paths.append(prefix)
        for first in study.paid:
            paths.append((*prefix, first))
            paths += [(*prefix, first, target) for target in study.targets(first)]
    return paths


def _gates(study: Study) -> list[tuple[Path, LookKind]]:
    gates: list[tuple[Path, LookKind]] = []
    if study.prefix:
        gates += [(study.prefix, kind) for kind in study.paid]
    for kind in study.paid:
        gates += [((*study.prefix, kind), target) for target in study.targets(kind)]
    return gates


def _results(jobs: int, work: Sequence[Callable[[], T]], on_each: Callback) -> Iterator[T]:
    """The results in order. Work runs in processes, for much of it is Python's own."""
    from joblib import Parallel, delayed

    for result in Parallel(n_jobs=jobs, return_as="generator")(delayed(job)() for job in work):
        on_each()
        yield result
