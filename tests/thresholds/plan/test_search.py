"""Options over stored answers: their costs and values, and a gateway that does as they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.detection import Detection
from providers.prices import Price
from tests.support.studies import study_of, untrained_study
from thresholds import cascade as cascades
from thresholds.cascade import Cascade
from thresholds.fusion.arrays import BoxTable
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.metrics.agreement import photo_agreement
from thresholds.metrics.average_precision import coco_average_precision
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
from thresholds.profile.profile import Profile, profile_of_sample
from thresholds.samples.replay import ReplayedAnswer, replay
from thresholds.shape import Shape
from thresholds.testing import COMPANION, KINDS, synthetic_sample

pytestmark = pytest.mark.slow

ALONE, PAIR, GRID = KINDS


@pytest.fixture(scope="module")
def options(study: Study, profile: Profile) -> dict[str, list[Candidate]]:
    """The options of every sort that a plan looks at."""
    return {
        "flat": list(flat_candidates(study)),
        "gated": list(gated_candidates(study)),
        "chosen": list(companion_candidates(study)),
        "seeded": list(seed_candidates(study, profile)),
    }


def replays(
    study: Study, cascade: Cascade, photos: Iterable[int], grouping: int
) -> list[ReplayedAnswer]:
    """The answers of a cascade for these photos, replayed over stored answers."""
    return [replay(cascade, study.sample, int(photo), grouping) for photo in photos]


def detections_by_photo(
    study: Study, boxes: BoxTable, photos: Iterable[int]
) -> dict[str, list[Detection]]:
    """The boxes as detections, by photo, as `coco_average_precision` takes them."""
    return {str(photo): study.sample.detections(boxes.of_photo(photo)) for photo in photos}


# -- what is simulated is what a gateway runs


@pytest.mark.parametrize("sort", ["gated", "chosen"])
@pytest.mark.parametrize("which", range(0, 2 * PRICES, 5))
def test_a_gated_cascade_asks_as_its_option_says(
    study: Study, options: dict[str, list[Candidate]], tmp_path: Path, sort: str, which: int
) -> None:
    """A cascade with gates, written to its file, asks about each photo that no model has seen as
    its option says."""
    candidates = options[sort]
    option = candidates[which % len(candidates)]
    cascades.save(cascade_of(study, option), tmp_path / "c.json")
    cascade, photos = cascades.load(tmp_path / "c.json"), held_out_photos(study)
    for grouping in range(2):
        paths = [option.paths[index] for index in option.choice[grouping, photos]]
        assert [answer.looks for answer in replays(study, cascade, photos, grouping)] == paths


@pytest.mark.parametrize("which", range(0, 16, 3))
def test_a_seed_cascade_asks_as_its_option_says(
    study: Study, profile: Profile, options: dict[str, list[Candidate]], which: int
) -> None:
    """The paper's cascades, fused and not, ask about every photo as their option says."""
    candidates = options["seeded"]
    option = candidates[which % len(candidates)]
    cascade, photos = cascade_of(study, option, profile), np.arange(len(study.sample))
    for grouping in range(2):
        paths = [option.paths[index] for index in option.choice[grouping]]
        assert [answer.looks for answer in replays(study, cascade, photos, grouping)] == paths


def every_sort(options: dict[str, list[Candidate]]) -> list[Candidate]:
    """One option of each sort; of those with gates, the one that uses most paths."""
    gated, by_companion = (
        max(options[sort], key=lambda option: len(set(option.choice.ravel().tolist())))
        for sort in ("gated", "chosen")
    )
    fused = next(option for option in options["seeded"] if option.merge == "fuse")
    return [
        *options["flat"],
        gated,
        by_companion,
        fused,
        next(option for option in options["seeded"] if option.merge == "discard"),
    ]


def test_a_cascade_costs_what_its_option_says(
    study: Study, profile: Profile, options: dict[str, list[Candidate]]
) -> None:
    """The cost of a cascade over photos that no model has seen is the cost of its option."""
    photos = held_out_photos(study)
    for option in every_sort(options):
        cascade = cascade_of(study, option, profile)
        looks = Counter(
            kind
            for grouping in range(2)
            for answer in replays(study, cascade, photos, grouping)
            for kind in answer.looks
        )
        paid = sum(count * study.costs.images(kind) for kind, count in looks.items()) / (
            2 * len(photos)
        )
        assert paid == pytest.approx(study.images(option, photos), abs=1e-9)


def test_a_cascade_is_as_precise_as_its_option_says(
    study: Study, profile: Profile, options: dict[str, list[Candidate]]
) -> None:
    """The precision of a cascade over photos that no model has seen is the value of its option."""
    photos = held_out_photos(study)
    truth = detections_by_photo(study, study.sample.truth, photos)
    for option in every_sort(options):
        cascade = cascade_of(study, option, profile)
        values = []
        for grouping in range(2):
            detections = [answer.detections for answer in replays(study, cascade, photos, grouping)]
            values.append(
                coco_average_precision(
                    truth, dict(zip(map(str, photos), detections, strict=True))
                ).ap50
            )
        assert np.mean(values) == pytest.approx(study.value(option, photos), abs=0.004), option.name


def test_a_cascade_agrees_as_its_option_says(agreement_study: Study) -> None:
    """By agreement too, a cascade agrees photo by photo as its option says: fused, rescored and
    calibrated, or as it came."""
    photos, sample = held_out_photos(agreement_study), agreement_study.sample
    profile = profile_of_sample(sample)
    gated = max(
        gated_candidates(agreement_study),
        key=lambda option: len(set(option.choice.ravel().tolist())),
    )
    seed_options = [
        option
        for option in seed_candidates(agreement_study, profile)
        if option.factor == 1.0 and option.paths[0] == (GRID,)
    ]
    for option in (*flat_candidates(agreement_study), gated, *seed_options):
        cascade = cascade_of(agreement_study, option, profile)
        shares = np.zeros(len(photos))
        for grouping in range(2):
            detections = [
                answer.detections for answer in replays(agreement_study, cascade, photos, grouping)
            ]
            alone = [sample.detections(sample.look(ITSELF, 0).of_photo(photo)) for photo in photos]
            shares += [photo_agreement(*pair) / 2 for pair in zip(alone, detections, strict=True)]
        assert shares.mean() == pytest.approx(
            agreement_study.parts(option)[photos].mean(), abs=0.01
        ), option.name


# -- what there is to choose from


def test_every_paid_kind_is_a_flat_option(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
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


def test_gates_follow_with_shapes_twice_as_large(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
    """With gates every kind that shows photos at least twice as large can come second, and the
    price decides how often."""
    last_kinds = {tuple(path[-1] for path in option.paths) for option in options["gated"]}
    assert last_kinds == {(GRID, PAIR, ALONE), (PAIR, ALONE)}
    assert all(option.price > 0 and not option.is_reference for option in options["gated"])
    for kinds in last_kinds:
        candidates = sorted(
            (
                option
                for option in options["gated"]
                if tuple(path[-1] for path in option.paths) == kinds
            ),
            key=lambda option: option.price,
        )
        again = [(option.choice > 0).mean() for option in candidates]
        assert again == sorted(again, reverse=True)
        assert again[0] > again[-1]
        assert len(candidates) <= PRICES


def test_a_companion_chooses_the_first_shape(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
    """A companion's answer may be enough, or choose how a photo is shown first; the photo may then
    be asked again."""
    paid_paths = {tuple(path[1:] for path in option.paths) for option in options["chosen"]}
    assert paid_paths == {
        ((), (GRID,), (PAIR,), (ALONE,), (GRID, PAIR), (GRID, ALONE), (PAIR, ALONE)),
    }
    assert all(path[0] == COMPANION for option in options["chosen"] for path in option.paths)
    most = max(options["chosen"], key=lambda option: option.price)
    assert study.images(most, study.training.photos) < study.costs.images(GRID)


def test_slow_traffic_adds_cascades_of_few_shapes(study: Study) -> None:
    """Where photos come slowly there are also cascades of few shapes, which fill their canvases
    sooner."""
    slow = Study(
        study.training,
        Costs(companions=study.costs.companions, traffic=Traffic(10.0)),
        study.paths,
        study.gates,
    )
    last_kinds = {tuple(path[-1] for path in option.paths) for option in gated_candidates(slow)}
    assert last_kinds == {(GRID, PAIR, ALONE), (GRID, ALONE), (PAIR, ALONE)}
    companion_kinds = {
        tuple(path[-1] for path in option.paths if len(path) == 2)
        for option in companion_candidates(slow)
    }
    assert companion_kinds == {(GRID, PAIR, ALONE), (GRID, ALONE), (PAIR,), (ALONE,)}


def test_providers_of_one_price_may_follow_each_other() -> None:
    """Providers of one price stand side by side: each may be asked after the other, first, or
    never."""
    other = [LookKind(kind.shape, "other") for kind in (GRID, ALONE)]
    sample = synthetic_sample(
        40, kinds=(ALONE, GRID, *other, COMPANION), groupings=1, companions=("free",)
    )
    study = study_of(sample)
    later_kinds = {
        option.paths[0][-1]: {path[-1] for path in option.paths[1:]}
        for option in gated_candidates(study)
    }
    assert later_kinds == {GRID: {ALONE, other[1]}, other[0]: {ALONE, other[1]}}
    (kinds,) = {
        tuple(path[-1] for path in option.paths if len(path) == 2)
        for option in companion_candidates(study)
    }
    assert set(kinds) == {GRID, ALONE, *other}
    for option in (*gated_candidates(study), *companion_candidates(study)):
        assert cascade_of(study, option).stages


def test_without_a_companion_there_is_no_choice(agreement_study: Study) -> None:
    """Without a companion there are no options that it chooses."""
    assert not agreement_study.prefix
    assert list(companion_candidates(agreement_study)) == []


def test_every_possible_first_stage_has_a_gate(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
    """Every stage that can be a photo's first, as on a canvas that is not full, has a gate to the
    stages after it."""
    option = next(
        option
        for option in options["gated"]
        if [path[-1] for path in option.paths] == [GRID, PAIR, ALONE]
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
    """A study of four shapes."""
    kinds = (ALONE, PAIR, GRID, LookKind(Shape(5, 5)))
    return study_of(synthetic_sample(40, kinds=kinds, groupings=1))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0, 2.0])
def test_no_option_asks_again_at_no_higher_cost(four_shapes: Study, rate: float) -> None:
    """Where canvases hold a photo or two whatever their shape, no option asks again at a kind that
    costs no more."""
    study = Study(
        four_shapes.training, Costs(traffic=Traffic(rate)), four_shapes.paths, four_shapes.gates
    )
    profile = profile_of_sample(study.sample)
    options = (*flat_candidates(study), *gated_candidates(study), *seed_candidates(study, profile))
    for option in options:
        assert cascade_of(study, option, profile).stages
        costs = [study.costs.images(path[-1]) for path in option.paths]
        assert all(cost > costs[0] for cost in costs[1:])


def test_calibration_follows_the_photos_of_each_path(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
    """Scores are calibrated by the photos that each path serves: a path that no photo takes has no
    influence."""
    option = next(
        option
        for option in options["gated"]
        if [path[-1] for path in option.paths] == [GRID, PAIR, ALONE]
    )
    unused = option._replace(choice=np.zeros_like(option.choice))
    flat = Candidate(option.paths[:1], unused.choice)
    curves = [
        next(iter(cascade_of(study, candidate).fusion.calibration.values()))
        for candidate in (option, unused, flat)
    ]
    assert curves[1] == curves[2] != curves[0]


def test_seed_cascades_vary_threshold_and_merge(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
    """The paper's cascades of two shapes are there for each threshold, discarding and fusing; a
    higher threshold asks again more often."""
    assert len(options["seeded"]) == 3 * len(THRESHOLDS) * 2
    candidates = [
        option
        for option in options["seeded"]
        if [path[-1] for path in option.paths] == [GRID, ALONE] and option.merge == "discard"
    ]
    for series in (
        [option for option in candidates if not option.deviations],
        [option for option in candidates if option.factor == 1.0],
    ):
        again = [
            option.choice.mean()
            for option in sorted(
                series, key=lambda candidate: (candidate.factor, candidate.deviations)
            )
        ]
        assert again == sorted(again)
        assert again[0] < again[-1]
    assert [option.name for option in candidates if option.is_reference] == [
        "3x2 then 1x1 (imgrid x1)"
    ]


def test_asking_alone_costs_one_image(study: Study) -> None:
    """Asking about each photo alone costs one image each, and changes are counted from it."""
    point = study.point(study.alone)
    assert (point.images, point.change) == (1, 0)
    truth, answers = (
        detections_by_photo(study, boxes, study.training.photos)
        for boxes in (study.sample.truth, study.sample.look(ALONE, 0))
    )
    assert point.value == pytest.approx(coco_average_precision(truth, answers).ap50)


def test_a_points_figures_are_of_the_training_photos(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
    """An option's figures are of the photos that it was made from: images by share, value over
    groupings."""
    option = options["gated"][3]
    point, photos = study.point(option), study.training.photos
    shares = [(option.choice[:, photos] == index).mean() for index in range(len(option.paths))]
    paid = 1 / 6 + sum(
        share * study.costs.images(path[-1])
        for share, path in zip(shares[1:], option.paths[1:], strict=True)
    )
    assert point.images == pytest.approx(paid)
    assert point.change == pytest.approx(point.value - study.base)


def test_little_traffic_raises_costs(study: Study, options: dict[str, list[Candidate]]) -> None:
    """With little traffic canvases stay half empty: every option costs more, and at last about as
    much as each photo alone; a second look that shows a photo no larger is left out."""
    option = min(options["gated"], key=lambda option: abs((option.choice > 0).mean() - 0.3))
    costs = [
        Costs(companions=study.costs.companions, traffic=Traffic(rate)) for rate in (1.0, 20.0, 1e5)
    ]
    images = [
        Study(study.training, study_costs, study.paths, study.gates).point(option).images
        for study_costs in costs
    ]
    assert images == sorted(images, reverse=True)
    assert 0.9 < images[0] <= 1
    assert images[2] == pytest.approx(study.point(option).images)


def test_the_mean_of_the_photos_parts_is_the_value(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
    """The mean of the photos' parts is the metric, except for its envelope."""
    photos = study.training.photos
    for option in every_sort(options):
        assert study.parts(option)[photos].mean() == pytest.approx(
            study.point(option).value, abs=0.012
        )


def test_gates_make_the_front_between_its_ends(
    study: Study, options: dict[str, list[Candidate]]
) -> None:
    """On this sample, where facts tell which photos a grid loses, the front between its ends
    consists of gates."""
    points = [study.point(option) for candidates in options.values() for option in candidates]
    front = pareto_front(points)
    assert {point.candidate.price is not None for point in front[:-1]} == {True}


def test_the_training_count_is_known_beforehand(study: Study) -> None:
    """The number of models to learn is known beforehand, and each is reported when it is
    learned."""
    sample = synthetic_sample(40, kinds=(ALONE, GRID), groupings=1)
    small = untrained_study(sample)
    calls = []
    learn(small, jobs=1, on_each=lambda: calls.append(1))
    assert len(calls) == training_count(small) == len(small.paths) + len(small.gates) == 4


# -- odd samples


def test_shapes_of_equal_cells_never_follow_each_other() -> None:
    """Shapes of equally many cells are never asked one after the other: a cascade would refuse
    that."""
    tall, wide = LookKind(Shape(2, 1)), LookKind(Shape(1, 2))
    study = study_of(synthetic_sample(40, kinds=(ALONE, tall, wide, GRID), groupings=1))
    for option in (*flat_candidates(study), *gated_candidates(study)):
        assert cascade_of(study, option).stages


def test_a_shape_without_detections_has_no_seed_rule(study: Study, profile: Profile) -> None:
    """A shape without detections in the profile has no rule of the paper, and all others have."""
    blind = profile.model_copy(
        update={"groups": tuple(group for group in profile.groups if group.shape != GRID.shape)}
    )
    firsts = {option.paths[0][-1] for option in seed_candidates(study, blind)}
    assert firsts == {PAIR}


def test_a_dearer_provider_may_follow_at_any_shape() -> None:
    """Another provider may be asked after the route's own at any shape, where it costs more."""
    dear = LookKind(Shape(1, 1), "dear")
    study = study_of(
        synthetic_sample(40, kinds=(ALONE, GRID, dear), groupings=1),
        costs=Costs({"": Price(0.001), "dear": Price(0.004)}),
    )
    option = next(
        option
        for option in gated_candidates(study)
        if [path[-1] for path in option.paths] == [ALONE, dear]
    )
    cascade = cascade_of(study, option)
    assert [(str(stage.shape), stage.provider) for stage in cascade.stages] == [
        ("1x1", None),
        ("1x1", "dear"),
    ]
    assert study.point(
        next(option for option in flat_candidates(study) if option.paths == ((dear,),))
    ).images == pytest.approx(4)
    assert [
        option.paths[0][-1] for option in seed_candidates(study, profile_of_sample(study.sample))
    ] == [GRID] * 2 * len(THRESHOLDS)


# -- the front


def point_of(images: float, value: float) -> OperatingPoint:
    """An option with these figures."""
    return OperatingPoint(Candidate(((ALONE,),), np.zeros((1, 1), int)), images, value, value)


POINTS = st.lists(st.builds(point_of, st.floats(0, 2), st.floats(0, 1)), max_size=12)


@given(POINTS)
def test_the_front_beats_all_other_points(points: list[OperatingPoint]) -> None:
    """On the front each point costs more than the one before and has a higher value; all other
    points are beaten by one of them."""
    front = pareto_front(points)
    assert all(a.images < b.images and a.value < b.value for a, b in pairwise(front))
    for each in points:
        assert any(beater.images <= each.images and beater.value >= each.value for beater in front)
    assert all(any(beater is each for each in points) for beater in front)
