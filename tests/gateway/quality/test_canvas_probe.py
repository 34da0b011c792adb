"""The probe for a provider's hidden input size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway.quality import canvas_probe, profile
from gateway.quality.collect.photos import read_photos
from gateway.quality.profile import ProfileOptions, parse_shapes
from gateway.quality.progress import NoProgress
from gateway.testing.gateway import routing_of
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about, image_of
from providers.base import Limits, Picture
from providers.detection import Detection, Task
from providers.shapes import shapes_on
from thresholds.profile.input_size import AtCanvas, Probe
from thresholds.profile.profile import Profile
from thresholds.shape import Shape

CONFIG = {
    "providers": {"here": {"kind": "shapes", "canvas": "640x640"}},
    "routes": [{"task": "objects", "provider": "here", "stages": [{"shape": "1x1"}]}],
}
HIDDEN_PX = 640


def shapes_when_squeezed(picture: Picture, task: Task) -> Sequence[Detection]:
    """The answer of a provider that scales pictures down to 640 pixels."""
    image = image_of(picture)
    scale = min(HIDDEN_PX / max(image.size), 1)
    return shapes_on(
        image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.NEAREST
        )
    )


class TestCanvases:
    """The sizes that are asked about."""

    @pytest.mark.parametrize(
        ("configured", "sides"),
        [
            ((640, 640), [320, 416, 512, 640, 800, 1024, 1280]),
            ((300, 300), [300, 384, 480, 608]),
            ((80, 80), [80]),
        ],
    )
    def test_sizes_surround_the_configured_one(
        self, configured: tuple[int, ...], sides: list[int]
    ) -> None:
        """Sizes go from 320 pixels to twice the configured size, which is always among them."""
        assert [max(size) for size in canvas_probe.canvases(about(canvas_px=configured))] == sides

    def test_all_sizes_have_the_configured_form(self) -> None:
        """All sizes have the configured one's form, up to a multiple of 32 pixels."""
        for width, height in canvas_probe.canvases(about(canvas_px=(1280, 640))):
            assert abs(width - 2 * height) <= 48

    def test_sizes_stay_within_the_providers_limits(self) -> None:
        """A size that the provider would refuse is not tried."""
        limits = Limits(max_side_px=1000, max_pixels=700_000)
        assert [w for w, _ in canvas_probe.canvases(about(canvas_px=(640, 640), limits=limits))][
            -1
        ] == 800


class TestProbe:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Callable[..., Profile]:
        """`run(provider, probe=True)`: a profile of eight photos, each with a block that shows only
        at full size."""
        (tmp_path / "photos").mkdir()
        for number in range(8):
            blocks = Block("red", 20, 20, 200 + number, 200), Block("blue", 250, 200, 276, 226)
            (tmp_path / f"photos/{number}.png").write_bytes(encoded(drawn((400, 300), *blocks)))

        def run_profile(provider: ScriptedProvider, **fields: Any) -> Profile:
            routing = routing_of(tmp_path, CONFIG, {"here": provider})
            return profile.run(
                routing,
                routing.routes["objects"],
                read_photos([tmp_path / "photos"], []),
                ProfileOptions(parse_shapes("1x1"), 1, 0.3, reference=False, **fields),
                folder=tmp_path / "out",
                confirm=lambda quote: True,
                progress=NoProgress(),
            ).profile

        return run_profile

    def squeezing_provider(self) -> ScriptedProvider:
        """A provider that scales pictures down to 640 pixels."""
        return ScriptedProvider(shapes_when_squeezed, about=about(canvas_px=(640, 640)))

    def test_it_finds_the_hidden_size(self, run: Callable[..., Profile]) -> None:
        """The size to which the provider scales pictures is enough, and is the one advised."""
        probe = run(self.squeezing_provider(), probe=True).probe
        assert str(probe.sizes[probe.enough]) == "640x640"
        assert [size.agreement for size in probe.sizes] == pytest.approx([2 / 3] * 3 + [1] * 4)
        assert "leave it as it is" in canvas_probe.advice(probe, (640, 640))
        assert "canvas: 640x640; set that" in canvas_probe.advice(probe, (1280, 1280))

    def test_stored_answers_are_not_asked_again(self, run: Callable[..., Profile]) -> None:
        """Answers are stored by size, and a later profile has the probe's result even without
        probing."""
        first, second = self.squeezing_provider(), self.squeezing_provider()
        probe = run(first, probe=True).probe
        assert first.calls == 8 + 7 * 2
        assert run(second).probe == probe
        assert second.calls == 0

    def test_without_probing_canvases_have_one_size(self, run: Callable[..., Profile]) -> None:
        """A profile without a probe asks about canvases of one size."""
        provider = self.squeezing_provider()
        assert run(provider).probe is None
        assert {max(picture.width_px, picture.height_px) for picture in provider.pictures} <= {
            400,
            640,
        }


def test_a_best_largest_size_advises_to_look_further() -> None:
    """If the largest size is the best, the advice is to look further."""
    sizes = tuple(AtCanvas(width_px=side, height_px=side, agreement=1) for side in (640, 1280))
    probe = Probe(shape=Shape(2, 2), photos=8, sizes=sizes, enough=1)
    assert "still improve at canvas: 1280x1280" in canvas_probe.advice(probe, (640, 640))
