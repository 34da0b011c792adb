"""Pages that load nothing, and the figures of a profile."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gateway.config.errors import ConfigError
from gateway.quality import profile
from gateway.quality.collect.photos import read_photos
from gateway.quality.profile import ProfileOptions, parse_shapes
from gateway.quality.progress import NoProgress
from gateway.quality.report import page as report
from gateway.quality.report import profile as profile_page
from gateway.quality.report.page import FigureImage, PageCommand, PageSection, PageTable
from gateway.testing.gateway import routing_of
from gateway.testing.pictures import Block, drawn, encoded
from thresholds.fusion.looks import LookKind
from thresholds.profile.profile import Profile
from thresholds.rules.imgrid import Spread
from thresholds.samples.sample import Sample
from thresholds.shape import Shape

DOT = encoded(Image.new("RGB", (2, 2)))
CONFIG = {
    "providers": {"here": {"kind": "shapes", "canvas": "320x320"}},
    "routes": [{"task": "objects", "provider": "here", "stages": [{"shape": "1x1"}]}],
}


def test_a_page_loads_nothing(tmp_path: Path) -> None:
    """A page loads nothing from elsewhere: its pictures are in it, and beside it as files."""
    file = report.write(
        tmp_path / "new/page.html",
        "t",
        "l",
        [PageSection("s", "x", [FigureImage("dot", DOT, "A dot.")])],
    )
    text = file.read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\(|@import|<script", text)
    assert 'src="data:image/png;base64,' in text
    assert "default-src 'none'" in text
    assert (tmp_path / "new/dot.png").read_bytes() == DOT


def test_texts_are_escaped() -> None:
    """Any text of a label or a name is shown as text on the page."""
    evil = "<script>alert('x')</script>&\""
    parts = [PageTable([evil], [[evil, evil]]), FigureImage("p", DOT, evil), PageCommand(evil)]
    text = report.page(evil, evil, [PageSection(evil, evil, parts, folded=True)])
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 10


def test_a_folded_section_shows_its_heading_only() -> None:
    """A folded section opens without a script; others are open."""
    sections = [PageSection("Open", "x"), PageSection("Folded", "y", folded=True)]
    text = report.page("t", "l", sections)
    assert "<section><h2>Open</h2>" in text
    assert "<details><summary><h2>Folded</h2></summary>" in text


def test_a_row_of_a_table_can_stand_out() -> None:
    """A table marks one row, and the column that names rows, wherever it is."""
    text = PageTable(["row", "cascade"], [["1", "a"], ["2", "b"]], 1, strong=1).html()
    assert '<tr class="strong"><td>2</td><th scope="row" class="name">b</th></tr>' in text
    assert '<tr><td>1</td><th scope="row" class="name">a</th></tr>' in text


def test_a_narrow_window_gets_a_figure_of_its_own() -> None:
    """A figure may have another one for narrow windows, inside the page as well."""
    text = FigureImage("p", DOT, "A dot.", DOT).html()
    assert re.search(r'<source media="\(max-width: 640px\)" srcset="data:image/png;base64,', text)


def test_a_missing_package_is_named() -> None:
    """The error for a missing drawing package names it and how to install it."""
    report.need("json")
    with pytest.raises(ConfigError, match=r"no_such_package.*imgrid-gateway\[plan\]"):
        report.need("no_such_package")


@pytest.mark.slow
class TestShow:
    """`imgrid profile show`, called as a function."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Callable[..., Path]:
        """`folder("1x1,2x2", probe=True)`: the folder of a profile of nine photos."""
        (tmp_path / "photos").mkdir()
        for number in range(9):
            image = drawn(
                (200, 150),
                Block("red", 20, 20, 100 + number, 100),
                Block("blue", 120, 110, 150, 140),
            )
            (tmp_path / f"photos/{number}.png").write_bytes(encoded(image))

        def write_profile(shapes: str, **fields: Any) -> Path:
            routing = routing_of(tmp_path, CONFIG)
            result = profile.run(
                routing,
                routing.routes["objects"],
                read_photos([tmp_path / "photos"], []),
                ProfileOptions(parse_shapes(shapes), 2, 0.3, **fields),
                folder=tmp_path / "out",
                confirm=lambda quote: True,
                progress=NoProgress(),
            )
            result.save()
            return tmp_path / "out"

        return write_profile

    def test_every_figure_with_data_is_drawn(self, folder: Callable[..., Path]) -> None:
        """Every figure with data is drawn as PNG, and the page has them all."""
        page = profile_page.show(folder("1x1,2x1,2x2", probe=True))
        pictures = sorted(file.name for file in page.parent.glob("*.png"))
        names = ["canvas", "quality", "reliability", "scores-alone", "scores-by-label", "seams"]
        assert pictures == [f"{name}.png" for name in names]
        for name in pictures:
            with Image.open(page.parent / name) as image:
                assert min(image.size) > 300
        text = page.read_text()
        assert text.count("<img") == len(names)
        assert "Profile of here" in text
        assert "Without a cascade, 2x2 for every photo saves 75 % of the images" in text
        assert "A plan finds the cheapest cascade" in text
        assert f"imgrid plan {page.parent.parent} --max-drop 0.02 --report plan.html" in text
        headings = re.findall(r"<h2>(.*?)</h2>", text.partition("<details>")[0])
        assert headings == ["Run next", "How good answers are", "Where it loses and gains most"]

    def test_photos_are_shown_with_both_answers(self, folder: Callable[..., Path]) -> None:
        """Photos that a shape loses or gains on are shown with both answers, unless their files
        are gone; then the page says so."""
        profile_folder = folder("1x1,3x3")
        sample = Sample.load(profile_folder / "sample.npz")
        grid = LookKind(Shape(3, 3))
        looks = {**sample.looks, grid: (sample.looks[grid][0].of_photos(np.arange(9)[::-1]),)}
        replace(sample, looks=looks).save(profile_folder / "sample.npz")
        text = profile_page.show(profile_folder).read_text()
        assert "data:image/jpeg" in text
        assert "no longer where" not in text
        for photo in (profile_folder.parent / "photos").iterdir():
            photo.unlink()
        text = profile_page.show(profile_folder).read_text()
        assert "data:image/jpeg" not in text
        assert "photos are no longer where the profile found them" in text

    def test_figures_without_data_are_not_drawn(self, folder: Callable[..., Path]) -> None:
        """Figures without data, here of the probe and of grids, are not drawn."""
        page = profile_page.show(folder("1x1"))
        assert {file.stem for file in page.parent.glob("*.png")} == {
            "quality",
            "reliability",
            "scores-by-label",
        }

    def test_a_profile_without_detections_has_a_page(self, folder: Callable[..., Path]) -> None:
        """A profile without detections still has a page."""
        profile_folder = folder("1x1,2x2")
        file = profile_folder / "profile.json"
        empty = Profile.model_validate_json(file.read_bytes()).model_copy(update={"groups": ()})
        empty.save(file)
        assert not (profile_page.show(profile_folder).parent / "scores-by-label.png").exists()

    def test_the_error_for_a_bad_profile_names_the_remedy(self, tmp_path: Path) -> None:
        """The error for a folder without a profile, with something else, or with an old profile
        without data to draw says what to do."""
        with pytest.raises(ConfigError, match=r"profile\.json: cannot be read.*imgrid profile"):
            profile_page.show(tmp_path)
        (tmp_path / "profile.json").write_text("{}")
        with pytest.raises(ConfigError, match="is no profile"):
            profile_page.show(tmp_path)
        Profile(photos=1, floor=0.3, area=Spread(mean=0), groups=()).save(tmp_path / "profile.json")
        with pytest.raises(ConfigError, match="costs nothing"):
            profile_page.show(tmp_path)


def test_a_figure_is_a_png_of_few_colours() -> None:
    """A figure becomes a PNG of few colours."""
    figure = report.picture("line", Figure(figsize=(4, 3)), "Nothing.")
    with Image.open(BytesIO(figure.png)) as image:
        assert (image.format, image.mode) == ("PNG", "P")
