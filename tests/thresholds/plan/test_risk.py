"""Group testing with priors: the recall on new photos, the cost, and the cascade that is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from thresholds.plan.group_sample import EmptyCanvases, GroupSample, found_by
from thresholds.plan.recall import MIN_POSITIVES, RecallGoal, cheapest, recall_cascades
from thresholds.plan.risk import risk_cascades
from thresholds.rules import clean
from thresholds.shape import Shape

SHAPES = Shape.parse("3x3"), Shape.parse("2x2"), Shape.parse("2x1")
GOAL = RecallGoal(0.95, 0.5, 0.02)


def sample_of(positives: int, negatives: int = 200, *, seed: int = 1) -> GroupSample:
    """A sample of photos: a companion sees most positives, and few negatives; canvases show
    positives less the more photos they hold, and one empty canvas in ten shows something."""
    rng = np.random.default_rng(seed)
    seen = np.where(rng.random(positives) < 0.9, rng.beta(8, 2, positives), 0.0)
    scores, empty = {}, {}
    for shape in SHAPES:
        photo_scores = rng.beta(6, 1 + shape.cells / 5, (positives, 1))
        noisy = photo_scores + rng.normal(0, 0.05, (positives, 3))
        scores[shape] = np.clip(noisy, 0.02, 0.99)
        canvases = 3 * (negatives // shape.cells)
        photos = np.argsort(rng.random((canvases, negatives)), axis=1)[:, : shape.cells]
        shown = np.where(rng.random(canvases) < 0.1, rng.beta(2, 3, canvases), 0.0)
        empty[shape] = EmptyCanvases(photos, shown)
    noise = np.where(rng.random(negatives) < 0.05, rng.random(negatives) / 2, 0.0)
    return GroupSample(
        scores,
        empty,
        rng.random(negatives) / 10,
        np.stack([rng.random(positives) / 5, seen], axis=1),
        np.stack([rng.random(negatives) / 5, noise], axis=1),
        ("chair", "weapon"),
    )


def test_the_recall_holds_on_new_photos() -> None:
    """In the mean over samples, new photos are found as often as promised, with and without the
    priors' own fit counted."""
    recalls = []
    for seed in range(30):
        best = cheapest(risk_cascades(sample_of(60, seed=seed), GOAL, "net"), GOAL.rate)
        assert best is not None
        assert best.threshold.promised == 0.95
        recalls.append(found_by(best.cascade, sample_of(200, seed=seed + 100)).mean())
    assert np.mean(recalls) >= 0.94


def test_priors_save_images() -> None:
    """With priors the same recall costs fewer images than without."""
    sample = sample_of(60)
    negatives = {shape: canvases.scores for shape, canvases in sample.empty.items()}
    plain = cheapest(recall_cascades(sample.scores, negatives, GOAL), GOAL.rate)
    best = cheapest(risk_cascades(sample, GOAL, "net"), GOAL.rate)
    assert plain is not None
    assert best is not None
    assert best.images(GOAL.rate) < 0.9 * plain.images(GOAL.rate)


def test_the_cascade_runs_the_plan() -> None:
    """The cascade asks the companion first, sends likely photos to its last stage, and judges
    groups by the posterior; the group's rate is that of the photos that are left."""
    best = cheapest(risk_cascades(sample_of(60), GOAL, "net"), GOAL.rate)
    assert best is not None
    cascade = best.cascade
    assert (str(cascade.stages[0].shape), cascade.stages[0].provider) == ("1x1", "net")
    assert cascade.risk is not None
    assert cascade.risk.skip == len(cascade.stages) - 1
    assert cascade.risk.weights["weapon"] > cascade.risk.weights.get("chair", 0)
    rule = cascade.stages[1].rule
    assert isinstance(rule, clean.Rule)
    assert rule.posterior is not None
    assert rule.rate < GOAL.rate / 2
    assert best.alone_positives > 0.5 > best.alone_negatives


def test_photos_that_go_alone_cost_an_image_each() -> None:
    """The cost counts an image for each photo that is asked about alone at once."""
    best = risk_cascades(sample_of(60), GOAL, "net")[0]
    everybody = replace(best, alone_positives=1.0, alone_negatives=1.0)
    assert everybody.images(0.02) == 1.0
    more = replace(best, alone_negatives=best.alone_negatives + 0.1)
    assert more.images(0.02) > best.images(0.02)


def test_a_handful_of_positives_gives_no_cascade() -> None:
    """A handful of positives gives no cascade."""
    assert risk_cascades(sample_of(MIN_POSITIVES - 1), GOAL, "net") == []
    assert risk_cascades(sample_of(MIN_POSITIVES), GOAL, "net")


def test_a_blind_companion_sends_no_photo_alone() -> None:
    """Where the companion sees nothing on any photo, priors are equal, and all photos go into
    groups."""
    sample = sample_of(60)
    blind = replace(
        sample,
        positive_answers=np.zeros_like(sample.positive_answers),
        negative_answers=np.zeros_like(sample.negative_answers),
    )
    best = cheapest(risk_cascades(blind, GOAL, "net"), GOAL.rate)
    assert best is not None
    assert best.cascade.risk is not None
    assert best.cascade.risk.alone == 1.0
    assert best.images(GOAL.rate) == pytest.approx(
        replace(best, alone_negatives=0.0).images(GOAL.rate)
    )


def test_positives_of_a_part_keep_their_answers() -> None:
    """A part of the positives keeps its scores and the companion's answers, beside all
    negatives."""
    sample = sample_of(30)
    part = sample.of_positives(np.arange(30) < 4)
    assert part.count == 4
    assert part.scores[SHAPES[0]].tolist() == sample.scores[SHAPES[0]][:4].tolist()
    assert part.positive_answers.tolist() == sample.positive_answers[:4].tolist()
    assert len(part.negative_answers) == len(sample.negative_answers)
