"""The processor time (user and system) of whole `imgrid plan` commands over a profile, of this
checkout and of another one side by side, in rounds one after the other.

python benchmarks/plan_time.py PROFILE [--photos 60] [--no-companion] [--against CHECKOUT]
    [--rounds 2]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from thresholds.profile.profile import FILE as PROFILE
from thresholds.samples.sample import FILE as SAMPLE
from thresholds.samples.sample import Sample

HERE = Path(__file__).resolve().parents[1]


def first_photos(profile: Path, count: int | None, folder: Path) -> Path:
    """A profile of the first photos that have every answer."""
    sample = Sample.load(profile / SAMPLE)
    sample.of_photos(sample.complete[:count]).save(folder / SAMPLE)
    shutil.copy(profile / PROFILE, folder)
    return folder


def processor_s(checkout: Path, words: list[str]) -> float:
    """Processor seconds of one command with that checkout's code, its workers' included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = "from gateway.cli.main import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        cwd=checkout,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", type=Path)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--no-companion", action="store_true")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    checkouts = [HERE, *([options.against.resolve()] if options.against else [])]
    seconds = np.zeros((options.rounds, len(checkouts)))
    with TemporaryDirectory() as name:
        profile = first_photos(options.profile, options.photos, Path(name))
        files = [profile / f"cascade-{number}.json" for number in range(len(checkouts))]
        words = ["plan", str(profile), "--max-drop", "0.02", "--force"]
        words += ["--no-companion"] if options.no_companion else []
        for row in seconds:
            for number, checkout in enumerate(checkouts):
                row[number] = processor_s(checkout, [*words, "--out", str(files[number])])
            print("  ".join(f"{each:.1f} s" for each in row), flush=True)
        same = len({file.read_text() for file in files}) == 1
    if options.against:
        ratio = median(seconds[:, 0] / seconds[:, 1])
        print(f"ratio {ratio:.3f}, {'the same cascade' if same else 'cascades differ'}")


if __name__ == "__main__":
    main()
