"""The reference look: each photo asked about once more, in another view."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.quality import profile
from gateway.quality.collect.photos import LabelledPhotos, read_photos
from gateway.quality.profile import ProfileOptions, ProfileResult, parse_shapes
from gateway.quality.progress import NoProgress
from gateway.quality.quote import Quote
from gateway.quality.reference import ReferenceProvider
from gateway.testing.gateway import routing_of
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about, image_of
from providers.base import Picture
from providers.detection import Box, Detection, Task
from providers.errors import PictureRefused
from thresholds.fusion.looks import ITSELF
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import FILE, Sample

PHOTOS = 6
SIZE = (200, 150)
FRACTIONS = st.integers(0, 64).map(lambda number: number / 64)


@pytest.fixture
def photos(tmp_path: Path) -> LabelledPhotos:
    """Six photos, each with one shape on the left."""
    (tmp_path / "photos").mkdir()
    for number in range(PHOTOS):
        image = encoded(drawn(SIZE, Block("red", 20, 20, 80 + number, 100)))
        (tmp_path / f"photos/{number}.png").write_bytes(image)
    return read_photos([tmp_path / "photos"], [])


class ProfileBench:
    """Profiles of some photos at 1x1 by a fake provider. Holds the quotes that were agreed to."""

    def __init__(self, folder: Path, photos: LabelledPhotos, task: Task = Task.OBJECTS) -> None:
        self.eye = ScriptedProvider(about=about("eye", task=task))
        self.quotes: list[Quote] = []
        self._folder, self._photos, self._task = folder, photos, task

    def profile(self, **options: Any) -> ProfileResult:
        route = {"task": str(self._task), "provider": "eye", "stages": [{"shape": "1x1"}]}
        config = {"providers": {"eye": {"kind": "shapes"}}, "routes": [route]}
        routing = routing_of(self._folder, config, {"eye": self.eye})
        return profile.run(
            routing,
            next(iter(routing.routes.values())),
            self._photos,
            ProfileOptions(parse_shapes("1x1"), 1, 0.3, **options),
            folder=self._folder / "out",
            confirm=self._agree,
            progress=NoProgress(),
        )

    def _agree(self, quote: Quote) -> bool:
        self.quotes.append(quote)
        return True


@pytest.fixture
def bench(tmp_path: Path, photos: LabelledPhotos) -> ProfileBench:
    return ProfileBench(tmp_path, photos)


def known(photos: LabelledPhotos) -> LabelledPhotos:
    """The photos with ground truth."""
    truth = Known([Detection("Red", 1.0, Box(0.1, 0.1, 0.5, 0.7))], frozenset({"Red"}))
    return replace(photos, known=dict.fromkeys(photos.photos, truth))


def test_without_ground_truth_each_photo_is_asked_once_more(bench: ProfileBench) -> None:
    """Without ground truth each photo is asked about alone and mirrored, both in the price named
    before."""
    sample = bench.profile().sample
    assert bench.eye.calls == 2 * PHOTOS
    (quote,) = bench.quotes
    assert [(item.images, item.purpose) for item in quote.items] == [
        (PHOTOS, ""),
        (PHOTOS, " as reference, mirrored"),
    ]
    assert sample.reference.has_answer.all()


def test_reference_looks_are_bought_once(bench: ProfileBench) -> None:
    """A later profile has the stored reference looks, and asks about nothing again; not even where
    it was told to do without."""
    first = bench.profile().sample
    for options in ({}, {"reference": True}, {"reference": False}):
        again = bench.profile(**options).sample
        assert bench.eye.calls == 2 * PHOTOS
        assert bench.quotes[-1].images == 0
        assert (again.reference.table.boxes.xyxy == first.reference.table.boxes.xyxy).all()


@pytest.mark.parametrize(("options", "calls"), [({}, PHOTOS), ({"reference": True}, 2 * PHOTOS)])
def test_with_ground_truth_a_reference_is_asked_for_on_request(
    tmp_path: Path, photos: LabelledPhotos, options: dict[str, bool], calls: int
) -> None:
    """With ground truth nobody needs a reference look, and it is bought only on request."""
    bench = ProfileBench(tmp_path, known(photos))
    has_reference = bench.profile(**options).sample.reference is not None
    assert (bench.eye.calls, has_reference) == (calls, calls > PHOTOS)


def test_text_has_no_reference_look(tmp_path: Path, photos: LabelledPhotos) -> None:
    """Nobody reads text in a mirror, so photos with text are not asked about again."""
    bench = ProfileBench(tmp_path, photos, Task.TEXT)
    assert bench.profile(reference=True).sample.reference is None
    assert bench.eye.calls == PHOTOS


def test_a_reference_look_shows_things_where_they_are(bench: ProfileBench, tmp_path: Path) -> None:
    """What is left on the photo, and right on the mirrored one, is left in the reference look; the
    stored sample has it so."""
    result = bench.profile()
    result.save()
    for sample in (result.sample, Sample.load(tmp_path / "out" / FILE)):
        alone = sample.look(ITSELF, 0).boxes
        assert len(alone) == PHOTOS
        assert sample.reference.table.boxes.labels.tolist() == alone.labels.tolist()
        assert sample.reference.table.boxes.xyxy == pytest.approx(alone.xyxy, abs=0.03)
        assert (alone.xyxy[:, 2] < 0.5).all()


def test_the_provider_is_shown_the_view_of_the_upright_photo() -> None:
    """The provider sees the photo mirrored within its frame, after its EXIF is applied; a picture
    of pixels stays pixels."""
    eye = ScriptedProvider(about=about(applies_exif=True))
    pixels = drawn((34, 17), Block("red", 0, 0, 17, 17))
    data = encoded(pixels, "JPEG", orientation=6)
    asyncio.run(ReferenceProvider(eye).detect(Picture(34, 17, data=data), Task.OBJECTS))
    asyncio.run(ReferenceProvider(eye).detect(Picture(34, 17, pixels=pixels), Task.OBJECTS))
    for picture in eye.pictures:
        image = image_of(picture)
        assert image.size == (picture.width_px, picture.height_px) == (40, 20)
        greens = [image.getpixel((x, 10))[1] for x in (1, 10, 28, 39)]
        assert greens == [pytest.approx(value, abs=30) for value in (114, 114, 0, 114)]
    assert eye.pictures[1].pixels is not None


def test_a_photo_that_cannot_be_decoded_is_refused() -> None:
    """A picture that cannot be mirrored is refused as one that a provider rejects."""
    with pytest.raises(PictureRefused):
        asyncio.run(
            ReferenceProvider(ScriptedProvider()).detect(Picture(9, 9, data=b"no"), Task.OBJECTS)
        )


@given(st.lists(FRACTIONS, min_size=4, max_size=4), FRACTIONS)
def test_what_is_mirrored_twice_is_where_it_was(corners: list[float], x: float) -> None:
    """Mirroring swaps left and right of boxes, polygons and landmarks, keeps heights and sizes, and
    twice is nothing."""
    box = Box(*corners)
    detection = Detection("cat", 0.5, box, polygon=((x, 0.25), (0.0, 1.0)))
    mirrored = detection.mirrored
    assert (mirrored.box.y0, mirrored.box.y1) == (box.y0, box.y1)
    assert mirrored.box.x0 == 1 - box.x1
    assert mirrored.box.area == box.area
    assert mirrored.polygon[0] == (1 - x, 0.25)
    assert mirrored.mirrored == detection
