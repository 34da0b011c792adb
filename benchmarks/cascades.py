"""Cascades of classifiers against the best single one, all by the product's own commands.

EfficientNet-lite0, 1 and 2 with heads for six animals (benchmarks/recipes/classifiers.py), crops of
VOC photos in five folds. In turn one fold is to test on: `imgrid profile` asks every network about
the others, with heads that have seen neither them nor the one to test on; `imgrid plan` chooses a
cascade from their answers, and that is judged on the fold to test on, with heads that have seen all
others. Then a gateway with the cascade of the first turn and one with the best network alone answer
the same photos, in rounds.

    python benchmarks/cascades.py [--out bench-out/classifiers] [--rounds 5] [--requests 300]

The first run makes an environment with torch for the recipe (some minutes, 1 GB), unless
--recipe-python names one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from common import SAMPLE
from engine_parts import Request, Speed, served_speed
from rich import box
from rich.console import Console
from rich.table import Table

from gateway.api.server import serve
from gateway.app import create_app
from gateway.config import settings
from gateway.wiring.parts import build
from thresholds import cascade as cascades
from thresholds.classification.sample import ClassificationSample, Objective
from thresholds.classification.search import ClassCascade, results_of
from thresholds.rules.confidence import Rule

RECIPE = Path(__file__).parent / "recipes/classifiers.py"
REQUIREMENTS = Path(__file__).parent / "recipes/requirements-classifiers.txt"
DATA = SAMPLE.parents[1]
FOLDS = 5
REFERENCE = "lite1-240"
"""The best network alone, as the first lines of the output say."""
DROPS = (0.0, 0.005, 0.01, 0.02)
OBJECTIVES: tuple[Objective, ...] = ("compute", "time")
COLUMNS = ("plan", "goal", "times less", "change", "on the photos chosen by", "cascade of turn 1")


class Turn(NamedTuple):
    """One fold to test on: the folder of the profile of the photos that thresholds are chosen on,
    and the samples of those and of the photos to test on."""

    config: Path
    profile: Path
    chosen: ClassificationSample
    test: ClassificationSample


class Outcome(NamedTuple):
    """A plan on the photos to test on: by photo the right labels and the costs, of the cascade and
    of the reference; and what its own estimate was."""

    correct: np.ndarray
    costs: np.ndarray
    alone: np.ndarray
    alone_costs: np.ndarray
    times_less: float
    name: str


def imgrid(*words: str | Path) -> str:
    """The output of the command. Raises RuntimeError with its words where it fails."""
    command = [str(Path(sys.executable).with_name("imgrid")), *map(str, words)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {result.stderr[-500:]}")
    return result.stdout


def make_data(out: Path, python: Path | None) -> None:
    """Photos and networks in the folder, unless they are there."""
    if (out / "labels.txt").exists():
        return
    if python is None:
        environment = out.parent / "classifiers-env"
        python = environment / "bin/python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            install = [python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS]
            subprocess.run(install, check=True)
    words: list[str | Path] = [python, RECIPE, "--out", out]
    for name in ("voc-dev", "voc-animals"):
        words += ["--photos", DATA / name, "--truth", DATA / name / "annotations.json"]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)


def config_of(out: Path, *left_out: int) -> Path:
    """The config file of the networks whose heads have not seen those folds: each a provider, the
    best the route's own."""
    name = "-".join(map(str, sorted(left_out)))
    providers: dict[str, Any] = {}
    for file in sorted((out / f"models{name}").glob("*.onnx")):
        side = file.stem.rpartition("-")[2]
        providers[file.stem] = {
            "kind": "onnx",
            "model": str(file.resolve()),
            "labels": str((out / "labels.txt").resolve()),
            "layout": "classifier",
            "normalise": "unit",
            "input_size": f"{side}x{side}",
        }
    route = {"task": "labels", "provider": REFERENCE, "stages": [{"shape": "1x1"}]}
    config = {"listen": "127.0.0.1:0", "providers": providers, "routes": [route]}
    path = out / f"imgrid{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def profiled(out: Path, fold: int, *left_out: int) -> ClassificationSample:
    """The sample of a profile of a fold, by networks whose heads have not seen those."""
    folder = out / f"profile-{fold}-by-{'-'.join(map(str, sorted(left_out)))}"
    photos = ("--photos", out / "photos" / f"fold{fold}", "--truth", "folders")
    config = config_of(out, *left_out)
    imgrid("profile", "--config", config, "--route", "labels", *photos, "--out", folder, "--yes")
    return ClassificationSample.load(folder / "classes.json")


def joined(samples: Sequence[ClassificationSample]) -> ClassificationSample:
    """The samples as one, with the costs of the first."""
    first = samples[0]
    names = tuple(dict.fromkeys(name for sample in samples for name in sample.labels))
    tops, truths = [], []
    for sample in samples:
        numbers = [names.index(name) for name in sample.labels]
        tops.append([[numbers[top] for top in row] for row in sample.tops])
        truths += [tuple(numbers[label] for label in truth) for truth in sample.truths or ()]
    tables = {
        "tops": tops,
        "scores": [sample.scores for sample in samples],
        "agreements": [sample.agreements for sample in samples],
    }
    rows = {
        name: tuple(tuple(chain.from_iterable(parts)) for parts in zip(*table, strict=True))
        for name, table in tables.items()
    }
    photos = tuple(photo for sample in samples for photo in sample.photos)
    update = {"labels": names, "truths": tuple(truths), "photos": photos, **rows}
    return first.model_copy(update=update)


def turn_of(out: Path, test: int) -> Turn:
    """The turn in which a fold is to test on."""
    others = [fold for fold in range(FOLDS) if fold != test]
    chosen = joined([profiled(out, fold, fold, test) for fold in others])
    profile = out / f"profile{test}"
    profile.mkdir(exist_ok=True)
    chosen.save(profile / "classes.json")
    return Turn(config_of(out, test), profile, chosen, profiled(out, test, test))


def index_cascade(sample: ClassificationSample, file: Path) -> ClassCascade:
    """The cascade of a file by the sample's stages."""
    stages, thresholds, agreements = [], [], []
    for stage in cascades.load(file).stages:
        stages.append(sample.names.index(stage.provider or sample.reference))
        if isinstance(stage.rule, Rule):
            thresholds.append(np.inf if stage.rule.threshold is None else stage.rule.threshold)
            agreements.append(stage.rule.agreement is not None)
    return ClassCascade(tuple(stages), tuple(thresholds), tuple(agreements))


def outcome_of(turn: Turn, objective: Objective, drop: float) -> Outcome:
    """The cascade that the plan chooses by estimate, on the photos to test on. Costs are those of
    the profile that chose."""
    file = turn.profile / f"cascade-{objective}-{drop:g}.json"
    goal = ("--max-drop", f"{drop:g}", "--delta", "1", "--objective", objective)
    imgrid("plan", turn.profile, *goal, "--out", file, "--force")
    costs = turn.chosen.costs(objective)
    cascade = index_cascade(turn.test, file)
    alone = ClassCascade((turn.test.reference_index,))
    mine, theirs = (results_of(turn.test.answers, costs, each) for each in (cascade, alone))
    own = results_of(turn.chosen.answers, costs, index_cascade(turn.chosen, file))
    names = " > ".join(turn.test.names[stage] for stage in cascade.stages)
    full = costs[turn.chosen.reference_index]
    return Outcome(
        mine.correct, mine.costs, theirs.correct, theirs.costs, full / own.costs.mean(), names
    )


def best_single(turns: Sequence[Turn]) -> str:
    """The network with the best accuracy on the photos that thresholds are chosen on."""
    accuracy = {
        name: np.mean([turn.chosen.answers.correct[index].mean() for turn in turns])
        for index, name in enumerate(turns[0].chosen.names)
    }
    return max(accuracy, key=lambda name: float(accuracy[name]))


def singles_table(turns: Sequence[Turn]) -> Table:
    table = Table(title="each network alone, on the photos to test on", box=box.SIMPLE_HEAD)
    for column in ("network", "accuracy", "GFLOPs", "ms"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for index, stage in enumerate(turns[0].chosen.stages):
        right = np.concatenate([turn.test.answers.correct[index] for turn in turns])
        gflops = turns[0].chosen.costs("compute")[index]
        ms = statistics.median(turn.chosen.costs("time")[index] for turn in turns)
        table.add_row(stage.provider, f"{right.mean():.3f}", f"{gflops:.2f}", f"{ms:.1f}")
    return table


def plans_table(turns: Sequence[Turn]) -> Table:
    photos = sum(len(turn.test.photos) for turn in turns)
    table = Table(title=f"cascades against {REFERENCE}, {photos} photos", box=box.SIMPLE_HEAD)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column.startswith("cascade") else "right")
    for objective in OBJECTIVES:
        for drop in DROPS:
            outcomes = [outcome_of(turn, objective, drop) for turn in turns]
            correct, costs, alone, alone_costs = (
                np.concatenate([outcome[field] for outcome in outcomes]) for field in range(4)
            )
            change = correct - alone
            error = change.std() / np.sqrt(len(change))
            table.add_row(
                objective,
                f"-{drop:g}",
                f"{alone_costs.mean() / costs.mean():.2f}",
                f"{change.mean():+.3f} ± {1.96 * error:.3f}",
                f"{statistics.fmean(each.times_less for each in outcomes):.2f}",
                outcomes[0].name,
            )
    return table


def _serve(config: Path, cascade: str, pipe: Any) -> None:
    content = yaml.safe_load(config.read_text())
    if cascade:
        (route,) = content["routes"]
        content["routes"] = [{"task": "labels", "provider": route["provider"], "cascade": cascade}]
    content["routes"][0]["watch"] = {"share": 0}
    file = config.with_name("serving.yaml")
    file.write_text(yaml.safe_dump(content))
    parts = build(settings.read(file, {}), file)
    serve(create_app(parts), "127.0.0.1", 0, pipe.send)


@contextmanager
def gateway(config: Path, cascade: Path | None) -> Iterator[tuple[str, int]]:
    """The place to ask and the process id of a gateway with the cascade, or without one."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    name = str(cascade.resolve()) if cascade else ""
    process = context.Process(target=_serve, args=(config, name, theirs))
    process.start()
    try:
        yield f"{ours.recv()}/v1/detect?task=labels", process.pid or 0
    finally:
        process.terminate()
        process.join()


def served_table(turn: Turn, photos: Sequence[Path], rounds: int, requests: int) -> Table:
    """Photos a second over HTTP, with the cascade chosen by time at a drop of 0.005 and with the
    largest network alone."""
    data = [file.read_bytes() for file in photos]
    bodies = [
        Request(data[index % len(data)], {"Content-Type": "image/jpeg"})
        for index in range(requests)
    ]
    cascade = turn.profile / "cascade-time-0.005.json"
    speeds: dict[str, list[Speed]] = {"alone": [], "cascade": []}
    for _ in range(rounds):
        for name, file in (("alone", None), ("cascade", cascade)):
            with gateway(turn.config, file) as (url, pid):
                speeds[name].append(served_speed(url, pid, bodies))
    ratios = [
        mine.photos_per_s / theirs.photos_per_s
        for mine, theirs in zip(speeds["cascade"], speeds["alone"], strict=True)
    ]
    table = Table(title=f"through the gateway, {rounds} rounds of {requests}", box=box.SIMPLE_HEAD)
    for column in ("", "photos/s", "CPU ms a photo", "times"):
        table.add_column(column, justify="right")
    for name, each in speeds.items():
        rate = statistics.median(speed.photos_per_s for speed in each)
        cpu = statistics.median(speed.cpu_ms for speed in each)
        times = f"{statistics.median(ratios):.2f}" if name == "cascade" else ""
        table.add_row(name, f"{rate:.1f}", f"{cpu:.1f}", times)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench-out/classifiers"))
    parser.add_argument("--recipe-python", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=300)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    make_data(options.out, options.recipe_python)
    console = Console()
    turns = [turn_of(options.out, turn) for turn in range(FOLDS)]
    console.print(f"the best single network on the photos chosen by: {best_single(turns)}")
    console.print(singles_table(turns), plans_table(turns))
    photos = sorted((options.out / "photos/fold0").glob("*/*.jpg"))
    if options.rounds:
        console.print(served_table(turns[0], photos, options.rounds, options.requests))


if __name__ == "__main__":
    main()
