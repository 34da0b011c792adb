"""The local engine: whole photos in one thread, inputs in the photo's proportions, mini-batches,
and the numbers of a machine profile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from providers import onnx
from providers.base import Picture, Provider
from providers.detection import Detection, Task
from providers.engine.machine import BatchRun, Machine, MachineProfile, NetworkSpeed
from providers.errors import Misconfigured, PictureRefused
from tests.support.colour_network import write_colour_network

Make = Callable[..., Provider]


def scene(size: tuple[int, int] = (320, 160)) -> Image.Image:
    """A black picture whose lower right quarter is green."""
    image = Image.new("RGB", size)
    image.paste((0, 255, 0), (size[0] // 2, size[1] // 2, *size))
    return image


@pytest.fixture
def engine(make: Make, tmp_path: Path) -> Make:
    """`engine(**settings)`: a provider with the network of colours."""
    write_colour_network(tmp_path / "net.onnx")

    def build(**settings: Any) -> Provider:
        options = {"labels": "labels.txt", "input_size": "320x320", "floor": 0.5, **settings}
        return make("onnx", tmp_path, model="net.onnx", **options)

    return build


async def look(provider: Provider, image: Image.Image) -> list[Detection]:
    detections = await provider.detect(Picture(*image.size, pixels=image), Task.OBJECTS)
    return sorted(detections, key=lambda each: each.box)


def drawn(image: Image.Image, sizes: list[tuple[int, int]]) -> Picture:
    """An undrawn picture, which notes the sizes that it was drawn for."""

    def draw(size: tuple[int, int]) -> Image.Image:
        sizes.append(size)
        return image

    return Picture(*image.size, draw=draw)


async def test_the_input_has_the_pictures_proportions(engine: Make) -> None:
    """A network with free sides sees a picture in its own proportions, and answers as about a
    padded square."""
    wide, padded = engine(), engine(rectangular=False)
    for image in (scene(), scene((160, 320)), scene((300, 200))):
        answer, expected = await look(wide, image), await look(padded, image)
        assert {each.label for each in answer} == {"green"}
        inside = [each for each in expected if max(each.box) < 1.0]
        assert len(answer) >= len(inside) > 0
    assert _input_sides(wide, (320, 160)) == (320, 160)
    assert _input_sides(wide, (300, 200)) == (320, 224)
    assert _input_sides(padded, (300, 200)) == (320, 320)


def _input_sides(provider: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the input for a picture of that size."""
    reader = provider._detector.reader
    tensor = reader.fitted(size).tensor(Image.new("RGB", size))
    return tensor.shape[3], tensor.shape[2]


def test_fixed_sides_are_padded(make: Make, tmp_path: Path) -> None:
    """A network whose sides are fixed has every picture padded to them."""
    write_colour_network(tmp_path / "net.onnx", sides=(64, 96))
    provider = make("onnx", tmp_path, model="net.onnx", labels="labels.txt")
    assert _input_sides(provider, (300, 30)) == (96, 64)


async def test_an_undrawn_picture_is_drawn_for_the_input(engine: Make) -> None:
    """A picture that is not drawn yet is drawn once, for the size in which the network sees it;
    one of extreme proportions, which is padded, for that of the canvas."""
    sizes: list[tuple[int, int]] = []
    provider = engine(canvas="640x640")
    detections = await provider.detect(drawn(scene(), sizes), Task.OBJECTS)
    assert {each.label for each in detections} == {"green"}
    await provider.detect(drawn(scene((1600, 20)), sizes), Task.OBJECTS)
    assert sizes == [(320, 160), (640, 8)]


async def test_a_picture_that_cannot_be_drawn_is_refused(engine: Make) -> None:
    """A picture whose drawing fails is refused with that error."""

    def draw(size: tuple[int, int]) -> Image.Image:
        raise PictureRefused("cut short")

    with pytest.raises(PictureRefused, match="cut short"):
        await engine().detect(Picture(10, 10, draw=draw), Task.OBJECTS)


async def test_pictures_of_many_clients_run_in_mini_batches(engine: Make) -> None:
    """Pictures that come together get the answers that each gets alone."""
    images = [scene((320, 160 + 32 * (n % 3))) for n in range(24)]
    alone, together = engine(), engine(mini_batch=4)
    expected = [await look(alone, image) for image in images]
    assert await asyncio.gather(*(look(together, image) for image in images)) == expected


def test_a_network_of_one_picture_takes_no_mini_batch(make: Make, tmp_path: Path) -> None:
    """A mini-batch that the network cannot take is an error that names the setting and the way
    out."""
    write_colour_network(tmp_path / "net.onnx", pictures=1)
    with pytest.raises(Misconfigured, match=r"mini_batch: 4, but net.onnx takes one .* free first"):
        make("onnx", tmp_path, model="net.onnx", labels="labels.txt", mini_batch=4)


@pytest.mark.parametrize("execution", ["cuda", "tensorrt", "openvino"])
def test_a_runtime_that_is_not_there_is_named(engine: Make, execution: str) -> None:
    """An execution that this ONNX Runtime has not is an error that names the package that has."""
    with pytest.raises(Misconfigured, match=f"execution: {execution} is not in .* onnxruntime-"):
        engine(execution=execution)


def machine_profile(**speed: Any) -> MachineProfile:
    """A profile of one network, named as the provider that fixtures make."""
    runs = (
        BatchRun(mini_batch=1, latency_s=0.03, warm_up_s=0.1, memory_mb=50),
        BatchRun(mini_batch=8, latency_s=0.12, warm_up_s=0.2, memory_mb=90),
    )
    fields = {"model": "mine", "input_px": (320, 320), "workers": 3, "threads": 2, "runs": runs}
    return MachineProfile(
        made_at="2026-11-30",
        machine=Machine(cpu="test", cores=6, memory_mb=1000),
        networks=(NetworkSpeed(**{**fields, **speed}),),
        preparations=(),
    )


def test_the_engine_runs_as_its_machine_was_fastest(tmp_path: Path) -> None:
    """With a machine profile the engine takes the threads, workers and mini-batch that were the
    fastest; what is set by hand stays."""
    machine_profile().save(tmp_path / "machine.json")
    write_colour_network(tmp_path / "net.onnx")
    settings = {"kind": "onnx", "model": "net.onnx", "labels": "labels.txt"}
    tuned = onnx.tuned("mine", onnx.Options(**settings, machine="machine.json"), tmp_path)
    assert (tuned.threads, tuned.mini_batch) == (2, 8)
    assert tuned.workers == tuned.runs * 9
    options = onnx.Options(**settings, machine="machine.json", mini_batch=2, concurrency=5)
    tuned = onnx.tuned("mine", options, tmp_path)
    assert (tuned.threads, tuned.workers, tuned.mini_batch) == (2, 5, 2)


def test_a_profile_of_another_execution_is_misconfigured(engine: Make, tmp_path: Path) -> None:
    """A profile that was measured elsewhere than the provider runs is an error that says so."""
    machine_profile(model="mine", execution="cuda").save(tmp_path / "machine.json")
    options = onnx.Options(kind="onnx", model="net.onnx", machine="machine.json")
    with pytest.raises(Misconfigured, match=r"measured with execution: cuda, and this .* has cpu"):
        onnx.tuned("mine", options, tmp_path)


def test_rates_within_noise_take_the_smaller_mini_batch() -> None:
    """A larger mini-batch has to be faster by more than noise."""
    runs = (
        BatchRun(mini_batch=1, latency_s=0.0105, warm_up_s=1, memory_mb=1),
        BatchRun(mini_batch=8, latency_s=0.08, warm_up_s=1, memory_mb=1),
    )
    assert machine_profile(runs=runs).networks[0].fastest.mini_batch == 1


def test_the_canvas_is_no_smaller_than_the_input(engine: Make) -> None:
    """Photos that come drawn, as large ones do, are drawn as large as the network sees them."""
    assert engine(input_size="1280x960", canvas="640x640").about.canvas_px == (1280, 960)
    assert engine(input_size="320x320", canvas="640x640").about.canvas_px == (640, 640)


def test_a_deadline_bounds_the_mini_batch(tmp_path: Path) -> None:
    """With a longest run the mini-batch is the fastest that keeps it, and one picture where none
    does."""
    machine_profile().save(tmp_path / "machine.json")
    settings = {"kind": "onnx", "model": "net.onnx", "labels": "labels.txt"}
    for max_run_ms, mini_batch in ((200, 8), (100, 1), (10, 1)):
        options = onnx.Options(**settings, machine="machine.json", max_run_ms=max_run_ms)
        assert onnx.tuned("mine", options, tmp_path).mini_batch == mini_batch


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("other", r"machine: the machine profile has no model '.*'; it has other"),
        (None, r"machine: .*machine.json: cannot be read .* imgrid calibrate"),
    ],
)
def test_a_profile_that_does_not_fit_is_misconfigured(
    engine: Make, tmp_path: Path, model: str | None, message: str
) -> None:
    """A machine profile that is missing, or that has not the provider, is an error that says so."""
    if model:
        machine_profile(model=model).save(tmp_path / "machine.json")
    with pytest.raises(Misconfigured, match=message):
        engine(machine="machine.json")


def test_a_profile_file_of_something_else_is_named(tmp_path: Path) -> None:
    """A file that is no machine profile is an error that names it."""
    (tmp_path / "machine.json").write_text("{}")
    with pytest.raises(ValueError, match=r"machine.json: is no machine profile"):
        MachineProfile.load(tmp_path / "machine.json")


def test_a_profile_survives_its_file(tmp_path: Path) -> None:
    """A machine profile that is saved and loaded is the same."""
    profile = machine_profile()
    profile.save(tmp_path / "machine.json")
    assert MachineProfile.load(tmp_path / "machine.json") == profile


def test_the_fastest_way_to_run_a_size_counts() -> None:
    """Of several numbers of workers the one with the most photos a second counts, at the input
    size whose area is nearest."""
    slow, fast = machine_profile(workers=1).networks[0], machine_profile(workers=4).networks[0]
    large = machine_profile(input_px=(640, 640)).networks[0]
    profile = machine_profile().model_copy(update={"networks": (large, slow, fast)})
    assert profile.speeds_of("mine") == [fast, large]
    assert profile.nearest_speed("mine", (352, 288)) is fast
    assert profile.nearest_speed("mine", (600, 600)) is large
    assert fast.fastest.mini_batch == 8
    assert np.isclose(fast.best_photos_per_s, 4 * 8 / 0.12)
