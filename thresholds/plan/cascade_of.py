"""The cascade of a candidate, as a gateway runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from thresholds.cascade import Cascade, Stage
from thresholds.fusion.arrays import Floats
from thresholds.fusion.calibration import Knots, calibration_knots
from thresholds.fusion.fusion import Fusion
from thresholds.fusion.looks import LookKind, Path, path_text
from thresholds.plan.candidates import Candidate
from thresholds.plan.learning import learn_final
from thresholds.plan.path_training import PathFit
from thresholds.plan.study import Study
from thresholds.plan.training_data import TrainingData
from thresholds.profile.profile import Profile
from thresholds.rules import gain, onward
from thresholds.rules.base import Rule


def cascade_of(study: Study, candidate: Candidate, profile: Profile | None = None) -> Cascade:
    """The candidate's cascade, with the border of the sample."""
    if candidate.factor is not None and profile is not None:
        cascade = _seed_cascade(candidate, candidate.factor, profile)
    elif candidate.plain:
        cascade = Cascade(stages=(_stage(candidate.paths[0][-1]),))
    else:
        cascade = _fusing_cascade(study, candidate)
    return cascade.model_copy(update={"border": study.sample.border})


def _seed_cascade(candidate: Candidate, factor: float, profile: Profile) -> Cascade:
    shapes = [path[-1].shape for path in candidate.paths]
    cascade = profile.cascade(shapes, factor=factor, deviations=candidate.deviations)
    return cascade.model_copy(update={"merge": candidate.merge})


def _fusing_cascade(study: Study, candidate: Candidate) -> Cascade:
    """A cascade that fuses and rescores, with a gate wherever a photo may be asked again."""
    kinds = list(dict.fromkeys(kind for path in candidate.paths for kind in path))
    targets = _targets(study, candidate, kinds)
    rules: dict[LookKind, Rule] = {kind: onward.Rule() for kind in kinds if kind in study.prefix}
    paths = _trained_paths(study, targets)
    for path, path_targets in targets.items():
        if path_targets:
            rules[path[-1]] = _gain_rule(study, candidate, path, path_targets, kinds=kinds)
    fusion = learned_fusion(study, paths, _scores(study, candidate))
    stages = tuple(_stage(kind, rules.get(kind)) for kind in kinds)
    return Cascade(stages=stages, merge="fuse", fusion=fusion)


def _trained_paths(study: Study, targets: Mapping[Path, Sequence[LookKind]]) -> list[Path]:
    """The paths by which photos may be answered, each once, of which and of whose gates the study
    has the final models afterwards."""
    paths, gates = list[Path](), list[tuple[Path, LookKind]]()
    for path, path_targets in targets.items():
        paths += [path, *((*path, kind) for kind in path_targets)]
        gates += [(path, kind) for kind in path_targets]
    paths = list(dict.fromkeys(paths))
    learn_final(study, paths, gates)
    return paths


def _targets(
    study: Study, candidate: Candidate, kinds: Sequence[LookKind]
) -> dict[Path, list[LookKind]]:
    """The kinds that may be asked after each path.

    Every stage at which a photo may be shown first has its targets: a canvas that is not full shows
    photos as a later stage would.
    """
    paid = [kind for kind in kinds if kind not in study.prefix]
    gated = candidate.price is not None
    targets: dict[Path, list[LookKind]] = {}
    for kind in paid:
        finer = [target for target in study.targets(kind) if gated and target in kinds]
        targets[*study.prefix, kind] = finer
    if study.prefix in candidate.paths:
        targets[study.prefix] = paid
    return targets


def _gain_rule(
    study: Study,
    candidate: Candidate,
    path: Path,
    targets: Sequence[LookKind],
    *,
    kinds: Sequence[LookKind],
) -> gain.Rule:
    """The rule after that path, in a cascade whose stages are of these kinds."""
    rule_targets = []
    for kind in targets:
        rule_targets.append(
            gain.Target(
                ahead=kinds.index(kind) - kinds.index(path[-1]),
                cost=round(study.costs.images(kind), 5),
                gain=study.gains[path, kind],
            )
        )
    price = candidate.price or 0.0
    return gain.Rule(path=path_text(path), price=price, targets=tuple(rule_targets))


def _stage(kind: LookKind, rule: Rule | None = None) -> Stage:
    stage = Stage(shape=kind.shape, provider=kind.provider or None)
    return stage if rule is None else stage.model_copy(update={"rule": rule})


def _scores(study: Study, candidate: Candidate) -> Floats:
    """The scores (n,) of the boxes in final answers, before calibration."""
    scores = []
    for index, path in enumerate(candidate.paths):
        path_scores, photos = study.paths[path].scores.T
        scores.append(path_scores[candidate.choice[0, photos.astype(int)] == index])
    return np.concatenate(scores)


# -- the fusion


def learned_fusion(study: Study, paths: Sequence[Path], scores: Floats) -> Fusion:
    """The fusion of a cascade with these paths, whose final models the study has. `scores` (n,) are
    those of the boxes in final answers, before calibration."""
    training, fits = study.training, {path: study.paths[path] for path in paths}
    names, labels = training.sample.labels, np.flatnonzero(training.provider_labels)
    aliases = {}
    for label, meaning in enumerate(training.aliases):
        if meaning != label:
            aliases[names[label].casefold()] = names[meaning]
    calibration = _calibration(training, fits, scores)
    return Fusion(
        companions=training.companions,
        labels=tuple(names[label] for label in labels),
        aliases=aliases,
        weights=tuple(training.label_weights[labels].tolist()),
        rescore={path_text(path): study.rescoring[path] for path in paths},
        calibration={path_text(path): knots for path, knots in calibration.items()},
        verbatim=training.quality.verbatim,
    )


def _calibration(
    training: TrainingData, paths: Mapping[Path, PathFit], scores: Floats
) -> Mapping[Path, Knots]:
    """The calibration of each path. For F1, where scores are compared with a threshold, it is its
    own. For precision, where scores of different paths are ranked together, it is the same
    for all, which changes no rank."""
    alone = training.scores_alone
    if not training.quality.is_f1:
        return dict.fromkeys(paths, calibration_knots(scores, alone))
    return {path: calibration_knots(fit.scores[:, 0], alone) for path, fit in paths.items()}
