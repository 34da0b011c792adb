"""What answers depend on changes while photos are under way."""

from __future__ import annotations

from gateway.core.origin import Origin


def test_a_photo_keeps_the_origin_of_its_acceptance() -> None:
    """A photo has the digest in force when it was accepted, whatever came after."""
    origin = Origin("old")
    origin.change("new", 10.0)
    assert [origin.at(9.9), origin.at(10.0), origin.digest] == ["old", "new", "new"]
    assert origin.has_changed_since(9.9)
    assert not origin.has_changed_since(10.0)


def test_the_same_digest_is_no_change() -> None:
    """A file that was written anew with the same content makes no answers stale."""
    origin = Origin("old")
    origin.change("old", 10.0)
    assert not origin.has_changed_since(5.0)
