"""What plans save and lose, against flat grids and the seed paper's cascades: through boto3, with a
detector that keeps a bill, both as they lie in ../shared.

A profile is made of voc-animals and one half of voc-dev (or of coco-dev), plans are made from it,
and every strategy is graded on the other half; then the halves change places. Everything that was
asked or graded is kept in --out, so that a run that was stopped goes on where it was.

python benchmarks/quality.py [--shared ../shared] [--data voc-dev coco-dev] [--out
bench-out/quality]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import yaml
from grade import halves, process
from rich.console import Console
from rich.progress import TimeElapsedColumn
from rich.table import Table
from upstream import load

from gateway.cli.progress import Bars
from gateway.quality import plan_input
from gateway.testing.redis_server import free_port
from thresholds import cascade as cascades
from thresholds.cascade import Cascade, Stage
from thresholds.plan import planner
from thresholds.plan.cascade_of import cascade_of
from thresholds.plan.cost import Traffic
from thresholds.plan.planner import PlanOptions
from thresholds.plan.selection import Goal
from thresholds.shape import Shape

FLAT = ("1x1", "2x1", "2x2", "3x2", "3x3", "4x4", "5x5")
SEEDED = ("5x5,1x1", "5x5,2x1")
SHAPES = "1x1,2x1,2x2,3x2,3x3,4x3,4x4,5x5"
GOALS: Mapping[str, Goal] = {
    **{f"--max-drop {drop:g}": Goal(max_drop=drop, delta=1) for drop in (0.05, 0.02, 0.01, 0.0)},
    **{
        f"--save {save:g}": Goal(save=save, delta=1)
        for save in (0.83, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5)
    },
}
FIGURES = ("per_image", "saved", "ap50", "delta", "ap", "agreement")
PORT = 9317
"""The upstream's, always the same: a profile goes on only where it was begun."""
WAIT_MS = 4000
CLIENTS = 512
TRAFFIC = Traffic(per_second=40, max_wait_s=WAIT_MS / 1000)
"""A half's photos all come at once, and are answered within some seconds: a plan counts how full
canvases become."""


@dataclass(frozen=True)
class Bench:
    """Where everything lies, and the grader of ../shared."""

    shared: Path
    out: Path
    upstream: str
    grader: ModuleType

    def config(self, name: str, route: Mapping[str, Any]) -> Path:
        aws = {
            "kind": "rekognition",
            "endpoint": self.upstream,
            "canvas": "640x640",
            "access_key": "any",
            "secret_key": "any",
            "concurrency": 3,
        }
        models = self.shared / "models"
        det = {
            "kind": "onnx",
            "model": str(models / "nanodet_m_320.onnx"),
            "labels": str(models / "coco80.txt"),
            "canvas": "320x320",
            "floor": 0.05,
        }
        file = self.out / f"{name}.yaml"
        file.write_text(
            yaml.safe_dump(
                {
                    "listen": f"127.0.0.1:{free_port()}",
                    "providers": {"aws": aws, "det": det},
                    "routes": [
                        {
                            "task": "objects",
                            "provider": "aws",
                            "max_wait_ms": WAIT_MS,
                            "companion": "det",
                            "watch": {"share": 0},
                            **route,
                        }
                    ],
                    "tenants": [
                        {
                            "name": "shop",
                            "keys": [
                                {"dialect": "rekognition", "access_key": "AK", "secret_key": "SK"}
                            ],
                        }
                    ],
                }
            )
        )
        return file

    def profile(self, half: Path, out: Path) -> Path:
        """Of voc-animals and this half; what was asked before is not asked again."""
        sources: list[str] = []
        for data in (self.shared / "data/voc-animals", half):
            sources += ["--photos", str(data), "--truth", str(data / "annotations.json")]
        wanted = [part for cascade in SEEDED for part in ("--cascade", cascade)]
        file = self.config("profile", {"stages": [{"shape": "1x1"}]})
        subprocess.run(
            [
                imgrid(),
                "profile",
                "-c",
                str(file),
                *sources,
                "--shapes",
                SHAPES,
                *wanted,
                "--out",
                str(out),
                "--yes",
            ],
            check=True,
        )
        return out

    def grade(self, route: Mapping[str, Any], half: Path) -> dict[str, Any]:
        """Billed images, and AP against truth, of a gateway with this route."""
        file = self.config("serve", route)
        url = "http://" + yaml.safe_load(file.read_text())["listen"]
        truth, photos = self.photos(half)
        self.bill(reset=True)
        with process(imgrid(), "serve", "-c", str(file), ready=f"{url}/healthz"):
            answers, seconds = self.grader.run(url, photos, CLIENTS, "AK", "SK")
        paid = self.bill()
        errors = [repr(found) for found, _ in answers if isinstance(found, Exception)]
        if errors:
            raise SystemExit(f"{route}: {len(errors)} photos failed: {errors[0]}")
        alone = self.alone(half)
        ids = {
            self.grader.ALIAS.get(each["name"], each["name"]): each["id"]
            for each in truth["categories"]
        }
        ap, ap50 = self.grader.average_precision(
            truth, self.grader.to_coco(answers, truth["images"], ids)
        )
        agreed = self.grader.agreement(answers, [(found, 0.0) for found in alone["found"]])
        return {
            "per_image": paid / len(photos),
            "saved": 1 - paid / len(photos),
            "ap50": ap50,
            "ap": ap,
            "delta": ap50 - alone["ap50"],
            "agreement": agreed,
            "seconds": seconds,
        }

    def alone(self, half: Path) -> dict[str, Any]:
        """What the upstream says of each photo, without a gateway; asked once."""
        return kept(self.out / f"alone-{half.name}.json", lambda: self._alone(half))

    def _alone(self, half: Path) -> dict[str, Any]:
        truth, photos = self.photos(half)
        answers, _ = self.grader.run(self.upstream, photos, 4, "AK", "SK")
        ids = {
            self.grader.ALIAS.get(each["name"], each["name"]): each["id"]
            for each in truth["categories"]
        }
        _, ap50 = self.grader.average_precision(
            truth, self.grader.to_coco(answers, truth["images"], ids)
        )
        return {"found": [found for found, _ in answers], "ap50": ap50}

    def photos(self, half: Path) -> tuple[dict[str, Any], list[bytes]]:
        truth = json.loads((half / "annotations.json").read_text())
        return truth, [
            (half / "images" / image["file_name"]).read_bytes() for image in truth["images"]
        ]

    def bill(self, *, reset: bool = False) -> int:
        path = "/_reset" if reset else "/_bill"
        request = urllib.request.Request(self.upstream + path, data=b"" if reset else None)
        answer = json.loads(urllib.request.urlopen(request).read())
        return int(answer.get("images", 0))


def imgrid() -> str:
    return str(Path(sys.executable).parent / "imgrid")


def kept(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is in the file, made if there is none."""
    if not file.exists():
        file.write_text(json.dumps(make()))
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def strategies(profile: Path, out: Path, console: Console) -> dict[str, Path]:
    """A cascade file for each strategy, by its name."""
    out.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    for shape in FLAT:
        files[shape] = out / f"flat-{shape}.json"
        cascades.save(Cascade(stages=(Stage(shape=Shape.parse(shape)),)), files[shape])
    for seed in SEEDED:
        files[f"ImGrid {{{seed}}}"] = profile / f"cascade-{seed.replace(',', '-')}.json"
    for companion in (False, True):
        files |= planned(profile, out, console, companion=companion)
    return files


def planned(profile: Path, out: Path, console: Console, *, companion: bool) -> dict[str, Path]:
    """Plans, and the fair baseline: 1x1 with the companion's answers fused."""
    suffix = ", companion" if companion else ""
    files = {
        f"plan {goal}{suffix}": out / f"plan{goal}{suffix}.json".replace(" ", "") for goal in GOALS
    }
    names = dict(zip(files, GOALS.values(), strict=True))
    base = f"1x1 rescored{suffix}"
    files[base] = out / f"alone{suffix}.json".replace(" ", "")
    if not all(file.exists() for file in files.values()):
        sample, floor = plan_input.read([profile], companion=companion)
        bars = Bars(console, TimeElapsedColumn)
        explored = planner.explore(
            sample,
            floor,
            PlanOptions(held=0.0, traffic=TRAFFIC),
            bars.stage,
        )
        for name, goal in names.items():
            plan = planner.settle(explored, goal)
            console.print(
                f"{name}: {plan.picked.point.candidate.name}, {plan.picked.point.images:.3f}, "
                f"{plan.picked.point.change:+.4f}"
            )
            cascades.save(plan.cascade, files[name])
        alone = next(
            point
            for point in explored.points
            if len(point.candidate.paths) == 1
            and not point.candidate.plain
            and point.candidate.paths[0][-1].shape.cells == 1
        )
        cascades.save(cascade_of(explored.study, alone.candidate), files[base])
    return files


def table(title: str, rows: Mapping[str, Sequence[Mapping[str, float]]]) -> Table:
    made = Table(title=title)
    made.add_column("strategy")
    for column in ("images a photo", "saved", "AP50", "change", "mAP", "agrees", "change by half"):
        made.add_column(column, justify="right")
    for name, figures in rows.items():
        mean = {key: fmean(each[key] for each in figures) for key in FIGURES}
        by_half = ", ".join(f"{each['delta']:+.3f} at {each['per_image']:.3f}" for each in figures)
        made.add_row(
            name,
            f"{mean['per_image']:.3f}",
            f"{mean['saved']:.1%}",
            f"{mean['ap50']:.3f}",
            f"{mean['delta']:+.4f}",
            f"{mean['ap']:.3f}",
            f"{mean['agreement']:.3f}",
            by_half,
        )
    return made


def compare(bench: Bench, data: str, console: Console) -> None:
    folder = bench.out / data
    parts = sorted(folder.glob("half-?")) if folder.exists() else []
    if not parts:
        folder.mkdir(parents=True)
        parts = halves(bench.shared / "data" / data, folder)
    rows: dict[str, list[dict[str, Any]]] = {}
    inner = Bench(bench.shared, folder, bench.upstream, bench.grader)
    for index, half in enumerate(parts):
        profile = inner.profile(parts[1 - index], folder / f"profile-{1 - index}")
        files = strategies(profile, folder / f"plans-{1 - index}", console)
        for name, cascade in files.items():
            graded = folder / f"graded-{index}-{cascade.stem}.json"
            figures = kept(
                graded,
                lambda cascade=cascade, half=half: inner.grade(
                    {"cascade": str(cascade.resolve())}, half
                ),
            )  # type: ignore[misc]
            rows.setdefault(name, []).append(figures)
            console.print(
                f"half {index}, {name}: {figures['per_image']:.3f}, {figures['delta']:+.4f}"
            )
    console.print(
        table(
            f"{data}: profile of voc-animals and one half, graded on the other, mean of both", rows
        )
    )


@contextmanager
def opened(shared: Path, out: Path) -> Iterator[Bench]:
    """With an upstream of its own, which is stopped at the end."""
    out.mkdir(parents=True, exist_ok=True)
    upstream = f"http://127.0.0.1:{PORT}"
    server = str(shared / "upstream/vision_upstream.py")
    with process(
        sys.executable,
        server,
        "--port",
        str(PORT),
        "--input-size",
        "640",
        ready=f"{upstream}/_bill",
    ):
        yield Bench(shared, out, upstream, load(shared, "grade"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--data", nargs="+", default=["voc-dev", "coco-dev"])
    parser.add_argument("--out", type=Path, default=Path("bench-out/quality"))
    options = parser.parse_args()
    shared, console, out = options.shared.resolve(), Console(width=150), options.out.resolve()
    with opened(shared, out) as bench:
        for data in options.data:
            compare(bench, data, console)


if __name__ == "__main__":
    main()
