"""Kind `onnx`: any detector in ONNX whose outputs have one of the common layouts, run by ONNX
Runtime."""

from __future__ import annotations

import os
from dataclasses import replace
from math import inf
from pathlib import Path

from pydantic import Field

from providers.base import Provider
from providers.engine import detector
from providers.engine.loading import ModelOptions, OnnxDetector, load_model
from providers.engine.machine import MachineProfile
from providers.engine.mini_batches import MiniBatches, RunnableNetwork
from providers.engine.vocabulary import vocabulary_of
from providers.engine.worker import LocalProvider
from providers.errors import Misconfigured
from providers.options import Canvas, about_of

QUEUE_FACTOR = 2
"""Pictures that are in a provider's hand for each that it looks at: the next is there when one is
done."""


class Options(ModelOptions):
    """Settings of kind `onnx`."""

    concurrency: int = Field(
        0,
        ge=0,
        le=256,
        description="pictures looked at in parallel, a thread each; 0: one a core, and with "
        "`mini_batch` enough to fill each run",
    )
    machine: Path | None = Field(
        None,
        description="a machine profile of `imgrid calibrate`: what is not set of `threads`, "
        "`concurrency` and `mini_batch` is as it was the fastest there",
    )
    max_run_ms: float | None = Field(
        None,
        gt=0,
        description="with `machine`: the longest that a mini-batch may take, for clients with "
        "deadlines; unset: the mini-batch of the most photos a second",
    )
    reload_s: float = Field(
        0.0,
        ge=0,
        description="seconds between looks at the files of `model` and `labels`: a running gateway "
        "takes a changed network; 0: never",
    )

    @property
    def workers(self) -> int:
        """The number of threads that look at pictures."""
        if self.concurrency:
            return self.concurrency
        return self.runs if self.mini_batch == 1 else self.runs * (1 + self.mini_batch)

    @property
    def runs(self) -> int:
        """How many runs of the network are under way at most: one on an accelerator, and on a CPU
        one for each of its cores."""
        return max(cores_of_process() // self.threads, 1) if self.execution == "cpu" else 1


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider. Raises Misconfigured as `load_model` does, and for a machine profile that
    cannot be read or does not know the provider."""
    try:
        options = tuned(name, options, folder)
        model = load_model(options, folder)
    except Misconfigured as error:
        raise Misconfigured(f"provider {name}: {error}") from error
    about = replace(
        about_of(name, options, detector.tasks_of(options)),
        wants="drawing",
        in_process=True,
        vocabulary=vocabulary_of(options.vocabulary, model.class_names),
        labels=tuple(model.class_names),
        concurrency=QUEUE_FACTOR * options.workers,
        canvas_px=_canvas_of(options, model.reader.size),
    )
    network: RunnableNetwork = model.network
    if options.mini_batch > 1:
        network = MiniBatches(network, options.mini_batch, runs=options.runs)
    looker = OnnxDetector(network, model.reader)
    return LocalProvider(
        about,
        looker,
        options.timeout_ms,
        workers=options.workers,
        memory_bytes=model.memory_bytes,
    )


def _canvas_of(options: Options, input_px: Canvas) -> tuple[int, int]:
    """The largest picture worth sending: never smaller than what the network sees."""
    width, height = map(max, zip(options.canvas, input_px, strict=True))
    return width, height


def tuned(name: str, options: Options, folder: Path) -> Options:
    """The options with the machine profile's numbers, where they name one, for what they leave
    open."""
    if options.machine is None:
        return options
    try:
        profile = MachineProfile.load(folder / options.machine)
        speed = profile.nearest_speed(name, options.input_size or options.canvas)
    except ValueError as error:
        raise Misconfigured(f"machine: {error}") from None
    run = speed.fastest_within(inf if options.max_run_ms is None else options.max_run_ms / 1000)
    if speed.execution != options.execution:
        raise Misconfigured(
            f"machine: {options.machine} was measured with execution: {speed.execution}, and this "
            f"provider has {options.execution}; make it anew with: imgrid calibrate"
        )
    numbers = {"threads": speed.threads, "mini_batch": run.mini_batch}
    if speed.execution == "cpu" and run.mini_batch == 1:
        numbers["concurrency"] = min(speed.workers, cores_of_process())
    unset = {key: value for key, value in numbers.items() if key not in options.model_fields_set}
    return options.model_copy(update=unset)


def cores_of_process() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
