"""Options over stored answers: what they would cost and reach, and that a gateway would do as they
say."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.prices import Price
from thresholds import cascade as cascades
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.metrics.agreement import photo_agreement
from thresholds.metrics.average_precision import coco_average_precision
from thresholds.metrics.quality import quality_of
from thresholds.plan.candidates import Candidate, OperatingPoint, pareto_front
from thresholds.plan.cascade_of import cascade_of
from thresholds.plan.cost import Costs, Traffic
from thresholds.plan.learning import learn, training_count
from thresholds.plan.search import (
    PRICES,
    THRESHOLDS,
    companion_candidates,
    flat_candidates,
    gated_candidates,
    seed_candidates,
)
from thresholds.plan.selection import held_out_photos
from thresholds.plan.study import Study
from thresholds.plan.training_data import TrainingData, folds
from thresholds.profile.profile import Profile, profile_of_sample
from thresholds.samples.replay import replay
from thresholds.shape import Shape
from thresholds.testing import COMPANION, KINDS, synthetic_sample

ALONE, PAIR, GRID = KINDS


@pytest.fixture(scope="module")
def options(study: Study, measured: Profile) -> dict[str, list[Candidate]]:
    """Of every sort of option those that a plan would look at."""
    return {
        "flat": list(flat_candidates(study)),
        "gated": list(gated_candidates(study)),
        "chosen": list(companion_candidates(study)),
        "seeded": list(seed_candidates(study, measured)),
    }


def replayed(study, cascade, photos, grouping):
    return [replay(cascade, study.sample, int(photo), grouping) for photo in photos]


def told(study, boxes, photos):
    return {str(photo): study.sample.detections(boxes.of_photo(photo)) for photo in photos}


# -- what is simulated is what a gateway runs


@pytest.mark.parametrize("sort", ["gated", "chosen"])
@pytest.mark.parametrize("which", range(0, 2 * PRICES, 5))
def test_gated_as_simulated(
    study: Study, options: dict[str, list[Candidate]], tmp_path: Path, sort: str, which: int
) -> None:
    """A cascade with gates, written to its file, sends each photo that no model has seen the way
    its option says."""
    gated = options[sort]
    option = gated[which % len(gated)]
    cascades.save(cascade_of(study, option), tmp_path / "c.json")
    cascade, photos = cascades.load(tmp_path / "c.json"), held_out_photos(study)
    for grouping in range(2):
        ways = [option.paths[index] for index in option.choice[grouping, photos]]
        assert [each.looks for each in replayed(study, cascade, photos, grouping)] == ways


@pytest.mark.parametrize("which", range(0, 16, 3))
def test_seeded_as_simulated(
    study: Study, measured: Profile, options: dict[str, list[Candidate]], which: int
) -> None:
    """The seed's cascades, fused and not, send every photo the way their option says."""
    seeded = options["seeded"]
    option = seeded[which % len(seeded)]
    cascade, photos = cascade_of(study, option, measured), np.arange(len(study.sample))
    for grouping in range(2):
        ways = [option.paths[index] for index in option.choice[grouping]]
        assert [each.looks for each in replayed(study, cascade, photos, grouping)] == ways


def every_sort(options):
    """One option of each sort, and among those with gates one that uses several."""
    gated, chosen = (
        max(options[sort], key=lambda option: len(set(option.choice.ravel().tolist())))
        for sort in ("gated", "chosen")
    )
    fused = next(option for option in options["seeded"] if option.merge == "fuse")
    return [
        *options["flat"],
        gated,
        chosen,
        fused,
        next(o for o in options["seeded"] if o.merge == "discard"),
    ]


def test_costs_as_simulated(
    study: Study, measured: Profile, options: dict[str, list[Candidate]]
) -> None:
    """What the cascade pays over photos that no model has seen is what its option says that they
    cost."""
    photos = held_out_photos(study)
    for option in every_sort(options):
        cascade = cascade_of(study, option, measured)
        looks = Counter(
            kind
            for grouping in range(2)
            for each in replayed(study, cascade, photos, grouping)
            for kind in each.looks
        )
        paid = sum(count * study.costs.images(kind) for kind, count in looks.items()) / (
            2 * len(photos)
        )
        assert paid == pytest.approx(study.images(option, photos), abs=1e-9)


def test_answers_as_simulated(
    study: Study, measured: Profile, options: dict[str, list[Candidate]]
) -> None:
    """What the cascade answers about them is as precise as its option says."""
    photos = held_out_photos(study)
    truth = told(study, study.sample.truth, photos)
    for option in every_sort(options):
        cascade = cascade_of(study, option, measured)
        values = []
        for grouping in range(2):
            found = [each.detections for each in replayed(study, cascade, photos, grouping)]
            values.append(
                coco_average_precision(truth, dict(zip(map(str, photos), found, strict=True))).ap50
            )
        assert np.mean(values) == pytest.approx(study.value(option, photos), abs=0.004), option.name


def test_agreement_as_simulated(agreed: Study) -> None:
    """So too where agreement was planned for: photo by photo, fused, rescored and calibrated, or as
    it came."""
    photos, sample = held_out_photos(agreed), agreed.sample
    measured = profile_of_sample(sample)
    gated = max(
        gated_candidates(agreed), key=lambda option: len(set(option.choice.ravel().tolist()))
    )
    seeded = [
        option
        for option in seed_candidates(agreed, measured)
        if option.factor == 1.0 and option.paths[0] == (GRID,)
    ]
    for option in (*flat_candidates(agreed), gated, *seeded):
        cascade = cascade_of(agreed, option, measured)
        shares = np.zeros(len(photos))
        for grouping in range(2):
            found = [each.detections for each in replayed(agreed, cascade, photos, grouping)]
            alone = [sample.detections(sample.look(ITSELF, 0).of_photo(photo)) for photo in photos]
            shares += [photo_agreement(*pair) / 2 for pair in zip(alone, found, strict=True)]
        assert shares.mean() == pytest.approx(agreed.parts(option)[photos].mean(), abs=0.01), (
            option.name
        )


# -- what there is to choose from


def test_flat(study: Study, options: dict[str, list[Candidate]]) -> None:
    """Every kind that is paid for is an option for all photos: as it comes, and rescored with the
    companion's."""
    assert [option.name for option in options["flat"]] == [
        "3x2",
        "free:1x1,3x2 (rescored)",
        "2x1",
        "free:1x1,2x1 (rescored)",
        "1x1",
        "free:1x1,1x1 (rescored)",
    ]
    assert [option.is_reference for option in options["flat"]] == [True, False] * 3


def test_gated(study: Study, options: dict[str, list[Candidate]]) -> None:
    """With gates, whatever shows photos at least twice as large can come second, the price deciding
    how often."""
    ways = {tuple(path[-1] for path in option.paths) for option in options["gated"]}
    assert ways == {(GRID, PAIR, ALONE), (PAIR, ALONE)}
    assert all(option.price > 0 and not option.is_reference for option in options["gated"])
    for way in ways:
        own = sorted(
            (o for o in options["gated"] if tuple(p[-1] for p in o.paths) == way),
            key=lambda o: o.price,
        )
        again = [(option.choice > 0).mean() for option in own]
        assert again == sorted(again, reverse=True)
        assert again[0] > again[-1]
        assert len(own) <= PRICES


def test_chosen(study: Study, options: dict[str, list[Candidate]]) -> None:
    """With a companion its answer may be enough, or choose how a photo is shown first; then it may
    be asked again."""
    ways = {tuple(path[1:] for path in option.paths) for option in options["chosen"]}
    assert ways == {
        ((), (GRID,), (PAIR,), (ALONE,), (GRID, PAIR), (GRID, ALONE), (PAIR, ALONE)),
    }
    assert all(path[0] == COMPANION for option in options["chosen"] for path in option.paths)
    most = max(options["chosen"], key=lambda option: option.price)
    assert study.images(most, study.training.photos) < study.costs.images(GRID)


def test_few_shapes(study: Study) -> None:
    """Where photos come slowly there are cascades of few shapes as well, which fill their canvases
    sooner."""
    slow = Study(
        study.training,
        Costs(companions=study.costs.companions, traffic=Traffic(10.0)),
        study.paths,
        study.gates,
    )
    ways = {tuple(path[-1] for path in option.paths) for option in gated_candidates(slow)}
    assert ways == {(GRID, PAIR, ALONE), (GRID, ALONE), (PAIR, ALONE)}
    chosen = {
        tuple(path[-1] for path in option.paths if len(path) == 2)
        for option in companion_candidates(slow)
    }
    assert chosen == {(GRID, PAIR, ALONE), (GRID, ALONE), (PAIR,), (ALONE,)}


@pytest.mark.slow
def test_of_one_price() -> None:
    """Providers of one price stand side by side: each may be asked after the other, first, or
    never."""
    other = [LookKind(kind.shape, "other") for kind in (GRID, ALONE)]
    sample = synthetic_sample(
        40, kinds=(ALONE, GRID, *other, COMPANION), groupings=1, companions=("free",)
    )
    lesson = TrainingData(sample, quality_of(sample, "ap50"), folds(40, np.arange(40)), ("free",))
    one = Study(lesson, Costs(companions=("free",)), {}, {})
    learn(one, jobs=1)
    afters = {
        option.paths[0][-1]: {path[-1] for path in option.paths[1:]}
        for option in gated_candidates(one)
    }
    assert afters == {GRID: {ALONE, other[1]}, other[0]: {ALONE, other[1]}}
    (kinds,) = {
        tuple(path[-1] for path in option.paths if len(path) == 2)
        for option in companion_candidates(one)
    }
    assert set(kinds) == {GRID, ALONE, *other}
    for option in (*gated_candidates(one), *companion_candidates(one)):
        assert cascade_of(one, option).stages


def test_chosen_by_nobody(agreed: Study) -> None:
    """Without a companion there is nobody to choose."""
    assert not agreed.prefix
    assert list(companion_candidates(agreed)) == []


def test_gates_for_whoever_is_shown_larger(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
    """Every stage that a photo may be seen at first, as on a canvas that is not full, judges what
    comes after."""
    option = next(
        o for o in options["gated"] if [path[-1] for path in o.paths] == [GRID, PAIR, ALONE]
    )
    companion, first, middle, last = cascade_of(study, option).stages
    assert [stage.rule.kind for stage in (companion, first, middle, last)] == [
        "onward",
        "gain",
        "gain",
        "always",
    ]
    assert (first.rule.path, middle.rule.path) == ("free:1x1,3x2", "free:1x1,2x1")
    assert [target.ahead for target in first.rule.targets] == [1, 2]
    assert [target.ahead for target in middle.rule.targets] == [1]


@pytest.fixture(scope="module")
def four_shapes() -> Study:
    """What is learned of four shapes, whatever the traffic costs."""
    kinds = (ALONE, PAIR, GRID, LookKind(Shape(5, 5)))
    return quick(synthetic_sample(40, kinds=kinds, groupings=1))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0, 2.0])
def test_so_little_traffic_that_shapes_cost_the_same(four_shapes: Study, rate: float) -> None:
    """Where canvases hold a photo or two whatever their shape, nothing is asked again that costs no
    more."""
    one = Study(
        four_shapes.training, Costs(traffic=Traffic(rate)), four_shapes.paths, four_shapes.gates
    )
    measured = profile_of_sample(one.sample)
    options = (*flat_candidates(one), *gated_candidates(one), *seed_candidates(one, measured))
    for option in options:
        assert cascade_of(one, option, measured).stages
        costs = [one.costs.images(path[-1]) for path in option.paths]
        assert all(cost > costs[0] for cost in costs[1:])


def test_calibrated_for_whom_it_serves(study: Study, options: dict[str, list[Candidate]]) -> None:
    """Scores are mapped to scores alone by the photos that each path is for: a path that nobody
    goes has no say."""
    option = next(
        o for o in options["gated"] if [path[-1] for path in o.paths] == [GRID, PAIR, ALONE]
    )
    nobody = option._replace(choice=np.zeros_like(option.choice))
    flat = Candidate(option.paths[:1], nobody.choice)
    curves = [
        next(iter(cascade_of(study, each).fusion.calibration.values()))
        for each in (option, nobody, flat)
    ]
    assert curves[1] == curves[2] != curves[0]


def test_seeded(study: Study, options: dict[str, list[Candidate]]) -> None:
    """The seed's cascades of two shapes are there by each of its thresholds, discarding and fusing;
    the higher these are, the more is asked again."""
    assert len(options["seeded"]) == 3 * len(THRESHOLDS) * 2
    pair = [
        o
        for o in options["seeded"]
        if [p[-1] for p in o.paths] == [GRID, ALONE] and o.merge == "discard"
    ]
    for own in ([o for o in pair if not o.deviations], [o for o in pair if o.factor == 1.0]):
        again = [
            option.choice.mean()
            for option in sorted(own, key=lambda each: (each.factor, each.deviations))
        ]
        assert again == sorted(again)
        assert again[0] < again[-1]
    assert [option.name for option in pair if option.is_reference] == ["3x2 then 1x1 (imgrid x1)"]


def test_alone(study: Study) -> None:
    """Asking about each photo alone costs an image each, and is what changes are counted from."""
    point = study.point(study.alone)
    assert (point.images, point.change) == (1, 0)
    truth, answers = (
        told(study, boxes, study.training.photos)
        for boxes in (study.sample.truth, study.sample.look(ALONE, 0))
    )
    assert point.value == pytest.approx(coco_average_precision(truth, answers).ap50)


def test_points(study: Study, options: dict[str, list[Candidate]]) -> None:
    """An option's figures are of the photos that it was made from: images by share, value over
    groupings."""
    option = options["gated"][3]
    point, fit = study.point(option), study.training.photos
    shares = [(option.choice[:, fit] == index).mean() for index in range(len(option.paths))]
    paid = 1 / 6 + sum(
        share * study.costs.images(path[-1])
        for share, path in zip(shares[1:], option.paths[1:], strict=True)
    )
    assert point.images == pytest.approx(paid)
    assert point.change == pytest.approx(point.value - study.base)


def test_traffic(study: Study, options: dict[str, list[Candidate]]) -> None:
    """With little traffic canvases stay half empty: all costs more, and most of all the few photos
    that are asked again."""
    option = min(options["gated"], key=lambda option: abs((option.choice > 0).mean() - 0.3))
    costs = [
        Costs(companions=study.costs.companions, traffic=Traffic(rate)) for rate in (1.0, 20.0, 1e5)
    ]
    images = [
        Study(study.training, each, study.paths, study.gates).point(option).images for each in costs
    ]
    assert images == sorted(images, reverse=True)
    assert images[0] > 1
    assert images[2] == pytest.approx(study.point(option).images)


def test_parts(study: Study, options: dict[str, list[Candidate]]) -> None:
    """Photos' parts in the metric have it as their mean, but for its envelope."""
    fit = study.training.photos
    for option in every_sort(options):
        assert study.parts(option)[fit].mean() == pytest.approx(
            study.point(option).value, abs=0.012
        )


def test_gates_pay(study: Study, options: dict[str, list[Candidate]]) -> None:
    """On this sample, where facts tell which photos a grid loses, the front is made of gates
    between its ends."""
    every = [study.point(option) for each in options.values() for option in each]
    best = pareto_front(every)
    assert {point.candidate.price is not None for point in best[:-1]} == {True}


def test_learned_as_counted(study: Study) -> None:
    """It is known beforehand how many things there are to learn, and each is told of when it is
    learned."""
    sample = synthetic_sample(40, kinds=(ALONE, GRID), groupings=1)
    small = Study(
        TrainingData(sample, quality_of(sample, "ap50"), folds(40, np.arange(40))), Costs(), {}, {}
    )
    heard = []
    learn(small, jobs=1, on_each=lambda: heard.append(1))
    assert len(heard) == training_count(small) == len(small.paths) + len(small.gates) == 4


# -- odd samples


def quick(sample, costs=None):
    one = Study(
        TrainingData(
            sample, quality_of(sample, "ap50"), folds(len(sample), np.arange(len(sample)))
        ),
        costs or Costs(),
        {},
        {},
    )
    learn(one, jobs=1)
    return one


@pytest.mark.slow
def test_shapes_of_as_many_cells() -> None:
    """Shapes of as many cells are never asked one after the other: a cascade would refuse that."""
    tall, wide = LookKind(Shape(2, 1)), LookKind(Shape(1, 2))
    one = quick(synthetic_sample(40, kinds=(ALONE, tall, wide, GRID), groupings=1))
    for option in (*flat_candidates(one), *gated_candidates(one)):
        assert cascade_of(one, option).stages


def test_a_shape_that_sees_nothing(study: Study, measured: Profile) -> None:
    """A shape at which the profile saw nothing has no rule of the seed's, and all others have."""
    blind = measured.model_copy(
        update={"groups": tuple(g for g in measured.groups if g.shape != GRID.shape)}
    )
    firsts = {option.paths[0][-1] for option in seed_candidates(study, blind)}
    assert firsts == {PAIR}


@pytest.mark.slow
def test_another_provider() -> None:
    """Another provider may be asked after the route's own at any shape, where it costs more."""
    dear = LookKind(Shape(1, 1), "dear")
    one = quick(
        synthetic_sample(40, kinds=(ALONE, GRID, dear), groupings=1),
        Costs({"": Price(0.001), "dear": Price(0.004)}),
    )
    option = next(o for o in gated_candidates(one) if [p[-1] for p in o.paths] == [ALONE, dear])
    cascade = cascade_of(one, option)
    assert [(str(stage.shape), stage.provider) for stage in cascade.stages] == [
        ("1x1", None),
        ("1x1", "dear"),
    ]
    assert one.point(
        next(o for o in flat_candidates(one) if o.paths == ((dear,),))
    ).images == pytest.approx(4)
    assert [
        option.paths[0][-1] for option in seed_candidates(one, profile_of_sample(one.sample))
    ] == [GRID] * 2 * len(THRESHOLDS)


# -- the front


def point(images, value):
    return OperatingPoint(Candidate(((ALONE,),), np.zeros((1, 1), int)), images, value, value)


POINTS = st.lists(st.builds(point, st.floats(0, 2), st.floats(0, 1)), max_size=12)


@given(POINTS)
def test_front(points) -> None:
    """On the front each costs more than the one before and reaches more; all others are beaten by
    one of them."""
    best = pareto_front(points)
    assert all(a.images < b.images and a.value < b.value for a, b in pairwise(best))
    for each in points:
        assert any(b.images <= each.images and b.value >= each.value for b in best)
    assert all(any(b is each for each in points) for b in best)
