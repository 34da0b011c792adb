"""The inventory of a run: every photo once, in the source's order or in a random one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.batch.inventory import Inventory, write_inventory
from gateway.batch.photo_sources import PhotoEntry, Place
from gateway.config.errors import ConfigError


class Numbers:
    """A source of so many photos that are numbers. Holds how often it was listed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.listings = 0

    def entries(self) -> Iterator[PhotoEntry]:
        self.listings += 1
        for number in range(self.count):
            yield PhotoEntry(f"é{number}.jpg", [number])

    def read(self, place: Place, most_bytes: int) -> bytes:
        return b""


def keys_of(inventory: Inventory) -> list[str]:
    return [entry.key for entry in inventory.entries(0, len(inventory))]


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_every_photo_comes_once(tmp_path: Path, seed: int | None) -> None:
    """Each photo has one position; with a seed the order is another than the source's, and the same
    each time."""
    source = Numbers(500)
    inventory = Inventory(write_inventory(source, tmp_path, lambda: None), seed)
    keys = keys_of(inventory)
    in_order = [entry.key for entry in source.entries()]
    assert sorted(keys) == sorted(in_order)
    assert (keys == in_order) == (seed is None)
    again = Inventory(tmp_path / "inventory.jsonl", seed)
    assert keys_of(again) == keys
    inventory.close()
    again.close()


def test_a_part_is_that_of_the_whole(tmp_path: Path) -> None:
    """The photos of some positions are those of the whole order; past the end there are none."""
    inventory = Inventory(write_inventory(Numbers(10), tmp_path, lambda: None), 3)
    keys = keys_of(inventory)
    assert [entry.key for entry in inventory.entries(4, 7)] == keys[4:7]
    assert [entry.key for entry in inventory.entries(8, 20)] == keys[8:]
    inventory.close()


def test_photos_are_listed_once_for_all(tmp_path: Path) -> None:
    """A run that goes on has the photos that it began with; nothing is listed again."""
    source = Numbers(3)
    write_inventory(source, tmp_path, lambda: None)
    source.count = 5
    inventory = Inventory(write_inventory(source, tmp_path, lambda: None), None)
    assert len(inventory) == 3
    assert source.listings == 1
    inventory.close()


def test_no_photos_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    """Where there is no photo the run does not begin, and the next one lists again."""
    with pytest.raises(ConfigError, match="there are no photos"):
        write_inventory(Numbers(0), tmp_path, lambda: None)
    assert not (tmp_path / "inventory.jsonl").exists()
