"""The filters of DetectText: words by confidence and size, and regions of interest.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_DetectTextFilters.html
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from providers.detection import Box, Detection

Percent = Annotated[float, Meta(ge=0, le=100)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class BoundingBox(Struct, rename="pascal", frozen=True):
    width: Fraction
    height: Fraction
    left: Fraction
    top: Fraction

    @property
    def box(self) -> Box:
        return Box(self.left, self.top, self.left + self.width, self.top + self.height)


class PolygonPoint(Struct, rename="pascal", frozen=True):
    x: Fraction
    y: Fraction


class RegionOfInterest(Struct, rename="pascal", frozen=True):
    bounding_box: BoundingBox | None = None
    polygon: Annotated[tuple[PolygonPoint, ...], Meta(max_length=10)] = ()

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies in the box, or else in the polygon by the even-odd rule."""
        if self.bounding_box is not None:
            box = self.bounding_box.box
            return box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1
        is_inside = False
        following = self.polygon[1:] + self.polygon[:1]
        for a, b in zip(self.polygon, following, strict=True):
            if (a.y > y) != (b.y > y) and x < a.x + (y - a.y) * (b.x - a.x) / (b.y - a.y):
                is_inside = not is_inside
        return is_inside


class WordFilter(Struct, rename="pascal", frozen=True):
    min_confidence: Percent = 0.0
    min_bounding_box_height: Fraction = 0.0
    min_bounding_box_width: Fraction = 0.0

    def passes(self, word: Detection) -> bool:
        """Whether a word is sure and large enough."""
        return (
            100 * word.score >= self.min_confidence
            and word.box.x1 - word.box.x0 >= self.min_bounding_box_width
            and word.box.y1 - word.box.y0 >= self.min_bounding_box_height
        )


class TextFilters(Struct, rename="pascal", frozen=True):
    word_filter: WordFilter = WordFilter()
    regions_of_interest: Annotated[tuple[RegionOfInterest, ...], Meta(max_length=10)] = ()

    def passes_line(self, line: Detection) -> bool:
        """Whether the line's midpoint lies in a region of interest; without regions always."""
        x, y = line.box.midpoint
        regions = self.regions_of_interest
        return not regions or any(region.contains(x, y) for region in regions)

    def passes_word(self, word: Detection) -> bool:
        """Whether a word passes the word filter and lies in a region of interest."""
        return self.word_filter.passes(word) and self.passes_line(word)
