"""`imgrid plan`, over a profile's folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import main
from gateway.config.errors import ConfigError
from gateway.quality.collect.photo_list import PhotoList
from gateway.testing.gateway import parts_of
from providers.prices import Price
from thresholds.cascade import load
from thresholds.fusion.arrays import BoxTable
from thresholds.profile.profile import FILE as PROFILE
from thresholds.profile.profile import profile_of_sample
from thresholds.samples.sample import FILE, Sample
from thresholds.testing import COMPANION, KINDS, synthetic_sample

pytestmark = pytest.mark.slow

ALONE, _, GRID = KINDS


def write_profile(folder: Path, sample: Sample) -> Path:
    """The folder, with a profile and this sample in it."""
    folder.mkdir(parents=True)
    sample.save(folder / FILE)
    (folder / PROFILE).write_text(profile_of_sample(sample).model_dump_json())
    return folder


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 90 photos at two shapes, with a companion and a price."""
    sample = synthetic_sample(
        90,
        kinds=(ALONE, GRID, COMPANION),
        groupings=1,
        companions=("free",),
        provider="eye",
        prices={"": Price(0.001)},
    )
    return write_profile(tmp_path_factory.mktemp("profiles") / "one", sample)


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Result]:
    """`plan(folder, *options)`: the command, which writes `c.json`."""

    def run_plan(*words: object) -> Result:
        return CliRunner().invoke(
            main.app, ["plan", *map(str, words), "--out", str(tmp_path / "c.json")]
        )

    return run_plan


def output_of(result: Result) -> str:
    """The command's output in one line; it must have succeeded."""
    assert result.exit_code == 0, result.exception or result.output
    return re.sub(r"\s+", " ", result.output)


def test_it_prints_choices_and_writes_the_picked_cascade(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """The command prints the choices, the picked one and its cost, and writes its cascade with its
    promise."""
    result = plan(profile, "--save", "0.5", "--photos-per-month", "2000000")
    text = output_of(result)
    for word in (
        "estimated on 90 photos, cross-fitted",
        "what the front is held against",
        "row cascade images saved AP50 change",
        "take another row with --take and its number",
        "by traffic, at a wait of 150 ms",
        "photos a second images a photo saved",
        "3x2",
        "3x2 then 1x1 (imgrid x1)",
        "2,000,000 photos a month:",
        "USD instead of 2,000.00",
        "promised: AP50 falls by no more than",
        "On 90 photos, each with a plan of the others, it changed by",
        "in full canvases, on 90 photos",
    ):
        assert word in text
    assert f"use it in a route as cascade: {tmp_path / 'c.json'}" in text
    cascade = load(tmp_path / "c.json")
    assert cascade.promise.photos == 90
    assert cascade.promise.metric == "ap50"
    assert 0 < cascade.promise.agreement < 1
    assert all(
        len(line) <= 80
        for line in result.output.splitlines()
        if re.search(r"\d%", line) and "  " in line
    )


def test_rare_labels_are_told(plan: Callable[..., Result], profile: Path, tmp_path: Path) -> None:
    """Where a label has few objects, the command says that average precision itself may fall more
    than is promised; else it does not."""
    assert "fewer than 15 objects" not in output_of(plan(profile, "--save", "0.5"))
    sample = synthetic_sample(60, kinds=(ALONE, GRID), groupings=1)
    assert sample.truth is not None
    assert sample.covered is not None
    labels = sample.truth.boxes.labels.copy()
    labels[:3] = len(sample.labels)
    rare = replace(
        sample,
        labels=(*sample.labels, "unicorn"),
        truth=BoxTable(sample.truth.starts, sample.truth.boxes.with_labels(labels)),
        covered=np.column_stack([sample.covered, np.ones(60, bool)]),
    )
    folder = write_profile(tmp_path / "rare", rare)
    text = output_of(plan(folder, "--save", "0.2", "--force"))
    assert "1 of 4 labels have fewer than 15 objects, and weigh less in the promise" in text


def test_a_route_can_name_the_written_cascade(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """A route can name the written cascade, and asks its companion under the profiled name."""
    output_of(plan(profile, "--save", "0.5", "--delta", "1"))
    routes = [{"task": "objects", "provider": "eye", "cascade": "c.json"}]
    parts = parts_of(
        tmp_path,
        {"providers": {"eye": {"kind": "shapes"}, "free": {"kind": "shapes"}}, "routes": routes},
    )
    (route,) = parts.routes.values()
    assert route.cascade == load(tmp_path / "c.json")
    assert [stage.provider for stage in route.cascade.stages][:2] == ["free", None]
    with pytest.raises(ConfigError, match="free"):
        parts_of(tmp_path, {"providers": {"eye": {"kind": "shapes"}}, "routes": routes})


def test_a_delta_of_1_promises_nothing(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """With a delta of 1 the plan trains on all photos, and the file promises nothing."""
    text = output_of(plan(profile, "--max-drop", "0.05", "--delta", "1"))
    assert "estimated on 90 photos, cross-fitted " in text
    assert "nothing is promised (--delta 1)" in text
    assert load(tmp_path / "c.json").promise is None


def test_too_few_photos_for_a_promise_give_1x1(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """If the photos are too few for any promise, the command names the best estimate, how many more
    would certify it, and the profile's own command; it writes 1x1."""
    words = ("--photos", "my photos", "--truth", "objects.json", "--out", str(profile))
    PhotoList(words=words).save(profile)
    text = output_of(plan(profile, "--max-drop", "0.03", "--no-companion"))
    assert "nothing cheaper than asking about each photo alone is promised" in text
    assert re.search(
        r"the best estimate, .*, would save \d+ % \(\d+ to \d+ %\) and change AP50 by .\d\.\d+; "
        r"the sample is too small, and about \d[\d,]* more photos would certify it",
        text,
    )
    assert "more photos like these into my photos, with their objects in its ground truth" in text
    assert "only the new ones are paid for (about " in text
    assert f"imgrid profile --photos 'my photos' --truth objects.json --out {profile}" in text
    assert load(tmp_path / "c.json").shapes == "1x1"


def test_it_says_when_more_photos_would_not_help(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """The command says when more photos would not help, as anything cheaper loses too much, and
    names the command that goes by the estimate."""
    text = output_of(plan(profile, "--max-drop", "0", "--no-companion", "--metric", "agreement"))
    assert "nothing cheaper than asking about each photo alone is promised" in text
    assert re.search("anything cheaper is estimated to lose more|such plans lost more", text)
    assert re.search(
        r"imgrid plan .*--max-drop 0\.0 .*--metric agreement .*--delta 1 --force", text
    )
    assert load(tmp_path / "c.json").shapes == "1x1"


def test_a_row_of_the_front_can_be_taken(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """Any row can be taken by its number, without a goal; the loss of plans at its price is
    bounded, and that is what its cascade promises."""
    text = output_of(plan(profile, "--take", "1", "--no-companion"))
    row = re.search(r" 1 (\S+) .*?(\d\.\d+) (\d+\.\d)%", text[text.index("the front (") :])
    assert row is not None
    assert f"row 1, {row[1]}" in text
    promised = re.search(r"promised: AP50 falls by no more than (\d\.\d+)", text)
    promise = load(tmp_path / "c.json").promise
    assert promise.photos == 90
    assert promise.max_drop == pytest.approx(float(promised[1]), abs=5e-4)


def test_a_row_that_may_lose_more_than_the_goal_is_taken_and_told(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """With a goal that the row is not promised to meet, the command says so, and the cascade
    promises what was shown."""
    text = output_of(plan(profile, "--max-drop", "0.001", "--take", "1", "--no-companion"))
    assert "not promised to lose at most 0.001; promised: AP50 falls by no more than" in text
    assert load(tmp_path / "c.json").promise.max_drop > 0.001


def test_a_file_is_not_overwritten_unasked(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """A cascade that is there is not overwritten: the error comes before any work, here before the
    profile is read, and names both ways out."""
    (tmp_path / "c.json").write_text("mine")
    result = plan(tmp_path / "no profile", "--save", "0.5")
    assert isinstance(result.exception, ConfigError)
    assert re.search(
        r"c\.json: is there already.*--out other\.json.*--force", str(result.exception)
    )
    assert (tmp_path / "c.json").read_text() == "mine"
    output_of(plan(profile, "--save", "0.5", "--delta", "1", "--no-companion", "--force"))
    assert load(tmp_path / "c.json").stages


def test_without_the_companion_its_answers_are_unused(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """Without the companion its answers are left out of everything."""
    output_of(plan(profile, "--save", "0.5", "--delta", "1", "--no-companion"))
    assert "free" not in (tmp_path / "c.json").read_text()


def test_the_same_profile_and_goal_give_the_same_cascade(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """The same profile and goal give the same cascade; another seed holds out other photos."""
    output_of(plan(profile, "--save", "0.5", "--no-companion"))
    first = (tmp_path / "c.json").read_bytes()
    output_of(plan(profile, "--save", "0.5", "--no-companion", "--force"))
    assert (tmp_path / "c.json").read_bytes() == first
    output_of(plan(profile, "--save", "0.5", "--no-companion", "--seed", "3", "--force"))
    assert (tmp_path / "c.json").read_bytes() != first


def test_cascades_may_use_a_second_providers_profile(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """With a second provider's profile of the same photos, cascades may ask that provider at its
    price."""
    other = synthetic_sample(
        90, kinds=(ALONE,), groupings=1, provider="dear", prices={"": Price(0.004)}, seed=0
    )
    text = output_of(
        plan(
            profile,
            write_profile(tmp_path / "other", other),
            "--save",
            "0.3",
            "--delta",
            "1",
            "--no-companion",
        )
    )
    assert "dear:1x1 4.000 -300.0%" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--save", "0.99", "--no-companion"],
            r"--save 0\.99: the most that any option saves is 0\.833 \(.*3x2",
        ),
        (
            ["--budget-usd", "1", "--no-companion"],
            r"--budget-usd 1: 1e\+06 photos a month cost 166\.67 USD at least",
        ),
        (["--save", "0.5", "--metric", "speed"], "--metric speed: there are ap50, map, agreement"),
        ([], "give one of --max-drop, --save and --budget-usd"),
        (["--save", "0.5", "--max-drop", "0.1"], "give one of --max-drop, --save and --budget-usd"),
        (["--take", "999", "--no-companion"], r"--take 999: the front has rows 1 to \d+"),
    ],
)
def test_the_error_for_an_unreachable_goal_names_its_option(
    plan: Callable[..., Result], profile: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    """The error for a goal that cannot be met names its option and its limit; nothing is
    written."""
    result = plan(profile, *words)
    assert isinstance(result.exception, ConfigError)
    assert re.search(message, str(result.exception))
    assert not (tmp_path / "c.json").exists()


def test_a_folder_without_a_profile_is_named(plan: Callable[..., Result], tmp_path: Path) -> None:
    """The error for a folder without a profile names it and says how to make one; a foreign file in
    it is named too."""
    result = plan(tmp_path / "none", "--save", "0.5")
    assert isinstance(result.exception, ConfigError)
    assert re.search(r"none/sample\.npz: cannot be read .*imgrid profile", str(result.exception))
    folder = write_profile(tmp_path / "broken", synthetic_sample(5))
    for content in ("{", json.dumps({"photos": "many"}), None):
        (folder / PROFILE).unlink() if content is None else (folder / PROFILE).write_text(content)
        result = plan(folder, "--save", "0.5")
        assert isinstance(result.exception, ConfigError)
        assert str(folder / PROFILE) in str(result.exception)
        assert "\n" not in str(result.exception)


def test_incomplete_photos_do_not_count(plan: Callable[..., Result], tmp_path: Path) -> None:
    """Photos that were not asked at every shape do not count; with too few others the error says
    how many are needed."""
    sample = synthetic_sample(45)
    missing = np.arange(45) < 10
    sample.has_answer[GRID][:, missing] = False
    result = plan(write_profile(tmp_path / "few", sample), "--save", "0.5")
    assert isinstance(result.exception, ConfigError)
    assert "35 photos have an answer at every shape; a plan needs 40" in str(result.exception)


def test_agreement_needs_answers_alone(plan: Callable[..., Result], tmp_path: Path) -> None:
    """Without answers alone there is no agreement, and the error says what to add to the
    profile."""
    folder = write_profile(tmp_path / "coarse", synthetic_sample(45, kinds=KINDS[1:]))
    result = plan(folder, "--save", "0.5", "--metric", "agreement")
    assert isinstance(result.exception, ConfigError)
    assert "add 1x1 to --shapes" in str(result.exception)


@pytest.mark.parametrize("metric", ["agreement", "labels"])
def test_without_ground_truth_the_promise_has_its_floor(
    plan: Callable[..., Result], tmp_path: Path, metric: str
) -> None:
    """Without ground truth the plan tells how well two looks alone agree, and the route is watched
    for that agreement less the promised drop."""
    sample = synthetic_sample(
        90, kinds=(ALONE, GRID), groupings=1, known=False, referenced=True, provider="eye"
    )
    folder = write_profile(tmp_path / "unknown", sample)
    text = output_of(plan(folder, "--save", "0.2", "--metric", metric, "--min-score", "0.6"))
    promise = load(tmp_path / "c.json").promise
    assert (promise.metric, promise.min_score) == (metric, 0.6)
    assert 0.5 < promise.floor < 1
    assert promise.agreement == pytest.approx(max(promise.floor - promise.max_drop, 0), abs=1e-4)
    assert "against a second look at each photo alone, mirrored" in text
    assert f"1x1 itself has {promise.floor:.3f}" in text


def test_a_page_with_the_front_is_written_on_request(
    plan: Callable[..., Result], profile: Path, tmp_path: Path
) -> None:
    """On request the command writes a page, and names it. It begins with the conclusion and the
    command to run next; the front and the photos follow, all else is folded."""
    page = tmp_path / "plan.html"
    text = output_of(
        plan(profile, "--save", "0.5", "--delta", "1", "--no-companion", "--report", page)
    )
    assert f"page: {page}" in text
    content = page.read_text()
    lead = re.search(r'<p class="lead soft">(.*?)</p>', content)[1]
    assert re.search(r"saves \d+ % \(\d+ to \d+ %\) of the images in full canvases", lead)
    assert "nothing is promised. Name it in the route as cascade:" in lead
    headings = re.findall(r"<h2>(.*?)</h2>", content.partition("<details>")[0])
    assert headings == ["Run next", "What saving costs", "Where it loses and gains most"]
    assert content.count("<details>") == 5
    assert "photos are no longer where the profile found them" in content
    assert content.count("<figcaption>") > 2


def test_no_metric_works_without_answers_alone(plan: Callable[..., Result], tmp_path: Path) -> None:
    """Without answers alone no metric can measure a change."""
    result = plan(
        write_profile(tmp_path / "coarse", synthetic_sample(45, kinds=KINDS[1:])), "--save", "0.5"
    )
    assert isinstance(result.exception, ConfigError)
    assert "add 1x1 to --shapes" in str(result.exception)
