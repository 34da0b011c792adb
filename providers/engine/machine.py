"""What a machine measured of itself: how long its networks and its decoders take.

`imgrid calibrate` makes it; the engine, the cost model (thresholds/plan/throughput.py) and the
capacity planner (thresholds/plan/capacity.py) read it. L, W and MB are those of "On Serving Image
Classification Models" (Murcia, TU Munich and IBM).
"""

from __future__ import annotations

from math import inf
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE = "machine.json"
NOISE = 0.1
"""By which share two rates may differ though nothing does."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(_Record):
    """The machine, and the versions of what ran on it."""

    cpu: str
    cores: int = Field(ge=1)
    memory_mb: float
    accelerator: str = ""
    versions: dict[str, str] = {}


class BatchRun(_Record):
    """The runs of one mini-batch size while every worker runs one: the median latency L of a
    mini-batch, the first run W of a new process, that of another session of it (`warm_start_s`),
    and the memory that the session takes by then, resident, in MB of 10^6 bytes."""

    mini_batch: int = Field(ge=1)
    latency_s: float = Field(gt=0)
    warm_up_s: float = Field(gt=0)
    warm_start_s: float = Field(0.0, ge=0)
    memory_mb: float = Field(ge=0)


class NetworkSpeed(_Record):
    """One network at one input size (width, height) in pixels. `workers` ran at once, each with
    `threads` threads of the runtime: those of a CPU share its cores, so their photos/s are workers
    times mini-batch over latency. `load_s` is how long it took to load."""

    model: str
    execution: str = "cpu"
    input_px: tuple[int, int]
    workers: int = Field(ge=1)
    threads: int = Field(ge=1)
    load_s: float = Field(0.0, ge=0)
    runs: tuple[BatchRun, ...] = Field(min_length=1)

    def photos_per_s(self, run: BatchRun) -> float:
        """What all workers together run in mini-batches of that size."""
        return self.workers * run.mini_batch / run.latency_s

    @property
    def fastest(self) -> BatchRun:
        """The mini-batch of the most photos/s; of near equals the smallest."""
        return self.fastest_within(inf)

    def fastest_within(self, latency_s: float) -> BatchRun:
        """The smallest mini-batch whose photos/s are within NOISE of the most, among those that
        take no longer; the smallest of all where all do."""
        by_size = sorted(self.runs, key=lambda run: run.mini_batch)
        runs = [run for run in by_size if run.latency_s <= latency_s] or by_size[:1]
        most = max(self.photos_per_s(run) for run in runs)
        return next(run for run in runs if self.photos_per_s(run) >= (1 - NOISE) * most)

    @property
    def best_photos_per_s(self) -> float:
        """The photos/s in the fastest mini-batch."""
        return self.photos_per_s(self.fastest)


def area_of(size: tuple[int, int]) -> int:
    """The pixels of a size (width, height)."""
    return size[0] * size[1]


class Preparation(_Record):
    """Decoding, turning upright, resizing and normalising photos of one format for one input: the
    mean seconds of one photo in one worker while `workers` of them do so at once. `source_px` is
    their mean size; formats that can are decoded at the scale that the input needs."""

    format: str
    source_px: tuple[int, int]
    input_px: tuple[int, int]
    workers: int = Field(ge=1)
    photo_s: float = Field(gt=0)


class MachineProfile(_Record):
    """All that `imgrid calibrate` measured, and when (ISO 8601)."""

    version: int = 1
    made_at: str
    machine: Machine
    networks: tuple[NetworkSpeed, ...]
    preparations: tuple[Preparation, ...]

    def speeds_of(self, model: str) -> list[NetworkSpeed]:
        """The fastest way to run a model at each input size that was measured, by the input's area.

        Raises ValueError where the model was not measured.
        """
        best: dict[tuple[int, int], NetworkSpeed] = {}
        for speed in self.networks:
            known = best.get(speed.input_px)
            if speed.model == model and (
                known is None or speed.best_photos_per_s > known.best_photos_per_s
            ):
                best[speed.input_px] = speed
        if not best:
            known_models = ", ".join(sorted({each.model for each in self.networks})) or "none"
            raise ValueError(
                f"the machine profile has no model {model!r}; it has {known_models}. Make it anew "
                "with: imgrid calibrate"
            )
        return sorted(best.values(), key=lambda speed: area_of(speed.input_px))

    def nearest_speed(self, model: str, input_px: tuple[int, int]) -> NetworkSpeed:
        """The fastest way to run a model at the measured input size whose area is nearest. Raises
        as `speeds_of` does."""
        area = area_of(input_px)
        return min(self.speeds_of(model), key=lambda speed: abs(area_of(speed.input_px) - area))

    @classmethod
    def load(cls, path: Path) -> MachineProfile:
        """The profile in a file. Raises ValueError, naming the file, where it is none."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ValueError(
                f"{path}: cannot be read ({error.strerror}); make it with: imgrid calibrate"
            ) from None
        except ValidationError:
            raise ValueError(
                f"{path}: is no machine profile; make it anew with: imgrid calibrate"
            ) from None

    def save(self, path: Path) -> None:
        """Writes the profile as JSON."""
        path.write_text(self.model_dump_json(indent=1) + "\n")
