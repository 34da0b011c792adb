"""Perceptual hashes of the same picture are near each other, and of different ones far apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gateway.core.model import Photo
from gateway.grid.perceptual_hash import distance, perceptual_hash
from gateway.testing.pictures import drawn, encoded, numbered, photo
from tests.support.photos import broken_photo


def picture(seed: int) -> Image.Image:
    """A picture with much structure, coarse and fine."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
    return coarse.resize((400, 300), Image.Resampling.BICUBIC)


def hash_of(each: Photo) -> int:
    value = perceptual_hash(each)
    assert value is not None
    return value


@given(st.integers(0, 10_000))
def test_a_picture_is_near_its_other_encodings(seed: int) -> None:
    """A picture as PNG and as JPEG differs in few bits, if in any: in an eighth of them at most."""
    image = picture(seed)
    assert distance(hash_of(photo(image)), hash_of(photo(image, form="JPEG"))) <= 8


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_is_hashed_upright(orientation: int) -> None:
    """However a file stores a picture, its hash is that of the upright one."""
    turned = photo(picture(1), form="JPEG", orientation=orientation)
    assert distance(hash_of(turned), hash_of(photo(picture(1)))) <= 4


def test_other_pictures_are_far_away() -> None:
    """Different pictures differ in a third of the bits on average, and none is near another."""
    hashes = [hash_of(photo(picture(seed))) for seed in range(20)]
    distances = [distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) > 8
    assert np.mean(distances) > 64 / 3


def test_the_bits_say_which_cells_are_darker_than_their_right_neighbours() -> None:
    """A picture that gets brighter to the right sets all bits, and one that gets darker none."""
    ramp = np.tile(np.linspace(0, 255, 360).astype(np.uint8), (80, 1))
    assert perceptual_hash(photo(Image.fromarray(ramp))) == 2**64 - 1
    assert perceptual_hash(photo(Image.fromarray(ramp[:, ::-1]))) == 0


def test_a_blank_picture_has_no_hash() -> None:
    """A picture without structure has no hash, and so no near-duplicates."""
    assert perceptual_hash(photo(drawn((300, 200)))) is None


def test_a_damaged_photo_has_no_hash() -> None:
    """A photo that cannot be decoded has no hash; its answer is another's business."""
    assert perceptual_hash(broken_photo()) is None
    assert perceptual_hash(photo(encoded(numbered(7, 320), "JPEG"))) is not None
