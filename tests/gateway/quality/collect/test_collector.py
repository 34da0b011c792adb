"""Profiles: which canvases are asked about, which answers are stored, and the result."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.errors import ConfigError
from gateway.core.model import Photo, Size
from gateway.grid.renderer import Renderer
from gateway.quality import profile
from gateway.quality.collect.answer_store import AnswerStore, answers_by_shape, stored_answers
from gateway.quality.collect.collector import Collector
from gateway.quality.collect.photo_list import PhotoList
from gateway.quality.collect.photos import find_photos, read_photos
from gateway.quality.collect.purchase import Purchase
from gateway.quality.collect.questions import CanvasQuestion, questions
from gateway.quality.errors import QuoteDeclined
from gateway.quality.profile import ProfileOptions, ProfileResult, parse_shapes
from gateway.quality.progress import NoProgress
from gateway.testing.gateway import routing_of
from gateway.testing.pictures import Block, drawn, encoded, photo
from gateway.testing.provider import ScriptedProvider, about
from gateway.wiring.routes import Routing
from providers.base import Provider
from providers.detection import Box, Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from thresholds.cascade import load
from thresholds.fusion.looks import LookKind
from thresholds.samples import sample as samples
from thresholds.shape import Shape

MADE_WITH = {"task": "objects", "provider": {"kind": "fake"}}
ROUTE = {
    "providers": {"here": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "here", "stages": [{"shape": "1x1"}]}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve photos, two of them portraits, each with one shape and some with a second, small
    one."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        size = (150, 200) if number < 2 else (200, 150)
        blocks = [Block("red", 20, 20, 100 + number, 100)] + [Block("blue", 120, 110, 132, 122)] * (
            number % 3 == 0
        )
        (photos / f"{number:02d}.png").write_bytes(encoded(drawn(size, *blocks)))
    return photos


def write_truth(folder: Path, names: Sequence[str] | None = None) -> Path:
    """A COCO file with one red box on each of these photos, or on all in the folder."""
    names = names or sorted(path.name for path in folder.glob("*.png"))
    images = [
        {"id": number, "file_name": name, "width": 200, "height": 150}
        for number, name in enumerate(names)
    ]
    boxes = [
        {"image_id": number, "category_id": 7, "bbox": [20, 20, 85, 80]}
        for number in range(len(names))
    ]
    file = folder.parent / "truth.json"
    document = {"images": images, "annotations": boxes, "categories": [{"id": 7, "name": "Red"}]}
    file.write_text(json.dumps(document))
    return file


def options(shapes: str = "1x1,2x2", **fields: Any) -> ProfileOptions:
    """Options of a profile of these shapes in one grouping, without a reference look; `fields` are
    further options."""
    return ProfileOptions(parse_shapes(shapes), 1, 0.3, **{"reference": False, **fields})


def profile_of(
    routing: Routing, folders: Sequence[Path], truths: Sequence[Path], options: ProfileOptions
) -> ProfileResult:
    """The profile of the route `objects`, beside the config file."""
    return profile.run(
        routing,
        routing.routes["objects"],
        read_photos(folders, truths),
        options,
        folder=routing.file.parent / "out",
        confirm=lambda quote: True,
        progress=NoProgress(),
    )


class TestQuestions:
    """The canvases that a profile asks about."""

    SIZES = {f"l{n}": Size(200, 100) for n in range(10)} | {
        f"p{n}": Size(100, 200) for n in range(3)
    }

    def test_every_photo_is_asked_at_every_shape(self) -> None:
        """At each shape every photo is on a canvas, and every canvas is full."""
        for shape in (Shape(1, 1), Shape(2, 2), Shape(5, 5)):
            canvases = questions(self.SIZES, [shape], 1)
            assert {key for question in canvases for key in question.photos} == set(self.SIZES)
            assert {len(question.photos) for question in canvases} == {shape.cells}

    def test_a_canvas_holds_one_orientation(self) -> None:
        """A canvas holds photos of one orientation, as lanes do."""
        for question in questions(self.SIZES, [Shape(2, 1)], 1):
            assert len({self.SIZES[key].portrait for key in question.photos}) == 1

    def test_another_grouping_has_other_neighbours(self) -> None:
        """Another grouping has other neighbours; a photo alone has none, and is asked about
        once."""
        first, second = (questions(self.SIZES, [Shape(2, 2)], count) for count in (1, 2))
        assert first == second[: len(first)]
        assert set(first).isdisjoint(second[len(first) :])
        assert len(questions(self.SIZES, [Shape(1, 1)], 5)) == len(self.SIZES)

    def test_equal_canvases_of_groupings_are_paid_for_once(self, tmp_path: Path) -> None:
        """A canvas that several groupings have is paid for once, and its answer counts for each of
        them."""
        sizes = {"only": Size(100, 200)}
        canvases = questions(sizes, [Shape(2, 2)], 3)
        purchase = Purchase(ScriptedProvider(), canvases, AnswerStore(tmp_path, MADE_WITH))
        assert (len(canvases), purchase.images, len(purchase.missing)) == (3, 1, 1)
        purchase.store.put(canvases[0], [])
        assert len(purchase.answers(sizes)) == 3

    def test_the_same_sample_gives_the_same_questions(self) -> None:
        """The order in which photos are found makes no difference, so that stored answers are found
        again."""
        backwards = dict(reversed(self.SIZES.items()))
        assert questions(self.SIZES, [Shape(3, 2)], 2) == questions(backwards, [Shape(3, 2)], 2)


class TestStore:
    """The store of paid answers."""

    FOUND = [
        Detection(
            "dog", 0.5, Box(0.1, 0.2, 0.3, 0.4), kind="x", polygon=((0.1, 0.2), (0.3, 0.4)), key=3
        )
    ]
    QUESTION = CanvasQuestion(Shape(2, 1), ("a", "b"))

    def test_a_new_store_has_the_stored_answers(self, tmp_path: Path) -> None:
        """A new store of the same folder has the answers of the one before."""
        AnswerStore(tmp_path, MADE_WITH).put(self.QUESTION, self.FOUND)
        (detection,) = AnswerStore(tmp_path, MADE_WITH).get(self.QUESTION)
        assert (detection.label, detection.score, detection.box, detection.key) == (
            "dog",
            0.5,
            Box(0.1, 0.2, 0.3, 0.4),
            3,
        )

    def test_a_line_cut_short_is_skipped(self, tmp_path: Path) -> None:
        """A crash in the middle of a line costs only that line, even when writing continues after
        it."""
        store = AnswerStore(tmp_path, MADE_WITH)
        store.put(self.QUESTION, self.FOUND)
        with (tmp_path / "responses.jsonl").open("a") as file:
            file.write('{"key": "cut sh')
        other = CanvasQuestion(Shape(1, 1), ("c",))
        AnswerStore(tmp_path, MADE_WITH).put(other, [])
        reopened = AnswerStore(tmp_path, MADE_WITH)
        assert reopened.get(self.QUESTION) is not None
        assert reopened.get(other) == []

    def test_a_folder_of_another_providers_answers_is_refused(self, tmp_path: Path) -> None:
        """The error for a folder of another provider's answers names the option for another
        folder."""
        AnswerStore(tmp_path, MADE_WITH)
        with pytest.raises(ValueError, match=r"another provider.*--out"):
            AnswerStore(tmp_path, {"task": "objects", "provider": {"kind": "other"}})


class TestAsking:
    """The collector at work."""

    def collect(
        self,
        folder: Path,
        provider: Provider,
        photos: Mapping[str, Photo],
        canvases: Sequence[CanvasQuestion],
    ) -> Collector:
        """The collector, after it asked about all canvases without a stored answer."""
        collector = Collector(
            provider, Task.OBJECTS, photos, AnswerStore(folder, MADE_WITH), Renderer(1)
        )
        asyncio.run(
            collector.ask(
                [canvas for canvas in canvases if collector.store.get(canvas) is None], lambda: None
            )
        )
        return collector

    @pytest.fixture
    def photos(self) -> dict[str, Photo]:
        """Six photos of one red block each."""
        photos = [photo(drawn((120, 90), Block("red", 10, 10, 40 + 5 * n, 60))) for n in range(6)]
        return {str(number): each for number, each in enumerate(photos)}

    @pytest.fixture
    def canvases(self, photos: dict[str, Photo]) -> list[CanvasQuestion]:
        """All canvases of the photos at 1x1 and 2x2."""
        return questions(
            {key: one.size for key, one in photos.items()}, [Shape(1, 1), Shape(2, 2)], 1
        )

    def test_an_answer_is_never_paid_for_twice(
        self, tmp_path: Path, photos: dict[str, Photo], canvases: list[CanvasQuestion]
    ) -> None:
        """A second run over the same folder asks nothing."""
        first, second = ScriptedProvider(), ScriptedProvider()
        self.collect(tmp_path, first, photos, canvases)
        self.collect(tmp_path, second, photos, canvases)
        assert (first.calls, second.calls) == (len(canvases), 0)

    def test_a_new_run_asks_only_missing_canvases(
        self, tmp_path: Path, photos: dict[str, Photo], canvases: list[CanvasQuestion]
    ) -> None:
        """After the provider failed, a new run asks only about the canvases without an answer."""
        failing_provider = ScriptedProvider(errors=[*[None] * 3, Misconfigured("no credit")])
        with pytest.raises(Misconfigured):
            self.collect(tmp_path, failing_provider, photos, canvases)
        provider = ScriptedProvider()
        self.collect(tmp_path, provider, photos, canvases)
        assert provider.calls == len(canvases) - (failing_provider.calls - 1)

    def test_a_call_without_an_answer_is_not_repeated(
        self, tmp_path: Path, photos: dict[str, Photo], canvases: list[CanvasQuestion]
    ) -> None:
        """A call without an answer, which may have been billed, is the last one, and the answers
        before it are stored."""
        silent_provider = ScriptedProvider(
            about=about(concurrency=1), errors=[None, None, NoAnswer("20 s")]
        )
        with pytest.raises(NoAnswer):
            self.collect(tmp_path, silent_provider, photos, canvases)
        assert silent_provider.calls == 3
        provider = ScriptedProvider()
        self.collect(tmp_path, provider, photos, canvases)
        assert provider.calls == len(canvases) - 2

    def test_a_missing_answer_is_raised_before_other_errors(
        self, tmp_path: Path, photos: dict[str, Photo], canvases: list[CanvasQuestion]
    ) -> None:
        """Of several errors at a time one that may have been billed is raised, and all such are
        recorded."""
        errors = [Misconfigured("no credit"), NoAnswer("20 s"), NoAnswer("20 s")]
        collector = Collector(
            ScriptedProvider(about=about(concurrency=3), errors=errors),
            Task.OBJECTS,
            photos,
            AnswerStore(tmp_path, MADE_WITH),
            Renderer(1),
        )
        with pytest.raises(NoAnswer):
            asyncio.run(collector.ask(canvases, lambda: None))
        assert len(collector.unanswered) == 2

    @pytest.mark.parametrize("error", [Throttled("slow down"), Unavailable("502")])
    def test_an_error_that_costs_nothing_is_retried(
        self,
        tmp_path: Path,
        photos: dict[str, Photo],
        canvases: list[CanvasQuestion],
        error: Throttled | Unavailable,
    ) -> None:
        """An error that costs nothing is followed by a second call."""
        provider = ScriptedProvider(errors=[error])
        collector = self.collect(tmp_path, provider, photos, canvases)
        assert provider.calls == len(canvases) + 1
        assert all(collector.store.get(question) is not None for question in canvases)

    def test_a_grid_has_the_profiles_border(
        self, tmp_path: Path, photos: dict[str, Photo], canvases: list[CanvasQuestion]
    ) -> None:
        """Photos of a grid have the profile's border, and a photo alone has none."""
        plain, bordered = ScriptedProvider(), ScriptedProvider()
        for name, border, provider in (("plain", "none", plain), ("bordered", "black", bordered)):
            collector = Collector(
                provider,
                Task.OBJECTS,
                photos,
                AnswerStore(tmp_path / name, MADE_WITH),
                Renderer(1),
                border,
            )
            asyncio.run(collector.ask(canvases, lambda: None))
        alone = sum(len(question.photos) == 1 for question in canvases)
        common = {picture.data for picture in plain.pictures} & {
            picture.data for picture in bordered.pictures
        }
        assert 0 < alone == len(common) < len(canvases)

    def test_answers_under_way_are_stored_on_interruption(
        self, tmp_path: Path, photos: dict[str, Photo], canvases: list[CanvasQuestion]
    ) -> None:
        """When the run is interrupted it waits for answers under way, as they will be billed."""
        provider = ScriptedProvider(about=about(concurrency=2))
        collector = Collector(
            provider, Task.OBJECTS, photos, AnswerStore(tmp_path, MADE_WITH), Renderer(1)
        )

        async def interrupt() -> None:
            run = asyncio.create_task(
                collector.ask(canvases, lambda: run.cancelling() or run.cancel())
            )
            await asyncio.gather(run, return_exceptions=True)

        asyncio.run(interrupt())
        stored = len((tmp_path / "responses.jsonl").read_text().splitlines())
        assert 1 <= stored == provider.calls < len(canvases)

    def test_a_refused_canvas_is_left_out(
        self, tmp_path: Path, photos: dict[str, Photo], canvases: list[CanvasQuestion]
    ) -> None:
        """A canvas that the provider refuses is recorded and left out, and the others are asked
        about."""
        collector = self.collect(
            tmp_path, ScriptedProvider(errors=[PictureRefused("no")]), photos, canvases
        )
        assert len(collector.refused) == 1
        assert len((tmp_path / "responses.jsonl").read_text().splitlines()) == len(canvases) - 1

    def test_boxes_come_back_to_their_photos(
        self, tmp_path: Path, photos: dict[str, Photo], canvases: list[CanvasQuestion]
    ) -> None:
        """Boxes from a 2x2 grid are where they are on the photo alone."""
        collector = self.collect(tmp_path, ScriptedProvider(), photos, canvases)
        sizes = {key: each.size for key, each in photos.items()}
        answers = answers_by_shape(
            stored_answers(canvases, sizes, collector.store, about(canvas_px=(320, 320)))
        )
        for key in photos:
            ((alone,),) = answers[Shape(1, 1)][key]
            for (gridded,) in answers[Shape(2, 2)][key]:
                assert gridded.box == pytest.approx(alone.box, abs=0.03)


@pytest.mark.slow
class TestCommand:
    """`imgrid profile`, called as a function."""

    def run(
        self,
        folder: Path,
        provider: Provider | None = None,
        friend: Provider | None = None,
        truths: Sequence[Path] = (),
        profile_options: ProfileOptions | None = None,
        **route: Any,
    ) -> ProfileResult:
        """The profile of the photos in the folder, by these providers in place of the configured
        ones."""
        configs = {"here": {"kind": "shapes"}, "friend": {"kind": "shapes"}}
        config = {"providers": configs, "routes": [{**ROUTE["routes"][0], **route}]}
        providers = {
            name: stand_in
            for name, stand_in in (("here", provider), ("friend", friend))
            if stand_in
        }
        routing = routing_of(folder.parent, config, providers)
        return profile_of(routing, [folder], truths, profile_options or options())

    def test_it_writes_a_cascade_that_loads(self, tmp_path: Path, folder: Path) -> None:
        """The command's cascades can be loaded, and have the scores of the sample."""
        result = self.run(folder)
        result.write_cascade(parse_shapes("2x2,1x1"), factor=0.9, deviations=0.5)
        rule = load(tmp_path / "out/cascade-2x2-1x1.json").stages[0].rule
        assert (rule.kind, rule.factor, rule.deviations) == ("imgrid", 0.9, 0.5)
        assert "red" in rule.scores

    def test_the_error_for_a_missing_answer_names_its_cost(
        self, tmp_path: Path, folder: Path
    ) -> None:
        """After a call without an answer the command stops and names what may be paid twice and
        what is stored."""
        silent_provider = ScriptedProvider(
            about=about(concurrency=1), errors=[None, NoAnswer("20 s")]
        )
        with pytest.raises(
            ConfigError, match=r"20 s.*1 image may have been billed.*is kept.*that one once more"
        ):
            self.run(folder, silent_provider)
        assert silent_provider.calls == 2
        assert len((tmp_path / "out/responses.jsonl").read_text().splitlines()) == 1

    def test_its_cascades_have_the_routes_border(self, tmp_path: Path, folder: Path) -> None:
        """The route's border is stored with the answers, and the cascades have it."""
        result = self.run(folder, border="blurred")
        result.write_cascade(parse_shapes("2x2,1x1"), factor=1, deviations=0)
        assert load(tmp_path / "out/cascade-2x2-1x1.json").border == "blurred"
        assert json.loads((tmp_path / "out/made-with.json").read_text())["border"] == "blurred"

    def test_answers_with_another_border_are_refused(self, tmp_path: Path, folder: Path) -> None:
        """Stored answers about photos with another border are refused."""
        self.run(folder)
        with pytest.raises(ConfigError, match="border"):
            self.run(folder, border="black")

    def test_ground_truth_gives_the_mean_area(self, tmp_path: Path, folder: Path) -> None:
        """With ground truth the mean area is that of the true boxes, and only listed photos are
        asked about."""
        result = self.run(folder, truths=[write_truth(folder, ["03.png", "04.png"])])
        assert result.profile.photos == 2
        assert result.profile.area.mean == pytest.approx(85 * 80 / (200 * 150))

    @pytest.mark.parametrize("known", [False, True])
    def test_each_photo_is_always_asked_about_alone(
        self, tmp_path: Path, folder: Path, known: bool
    ) -> None:
        """Each photo is asked about alone whatever shapes are named, because all answers are
        compared with that one."""
        truths = [write_truth(folder)] if known else []
        result = self.run(folder, truths=truths, profile_options=options(shapes="2x2"))
        assert {str(group.shape) for group in result.profile.groups} == {"1x1", "2x2"}

    def test_the_sample_is_stored_beside_the_profile(self, tmp_path: Path, folder: Path) -> None:
        """Beside the profile lies the sample: facts and answers of every photo that was opened, by
        shape, each grouping apart."""
        self.run(folder, profile_options=replace(options(), groupings=2)).save()
        sample = samples.Sample.load(tmp_path / "out" / samples.FILE)
        assert len(sample) == len(sample.complete) == 12
        assert {str(kind): len(looks) for kind, looks in sample.looks.items()} == {
            "1x1": 1,
            "2x2": 2,
        }
        assert sorted({(fact.width_px, fact.height_px) for fact in sample.facts}) == [
            (150, 200),
            (200, 150),
        ]
        assert sorted(fact.bytes for fact in sample.facts) == sorted(
            len(file.read_bytes()) for file in folder.iterdir()
        )
        assert (sample.truth, sample.covered) == (None, None)

    def test_the_sample_covers_labels_by_truth_file(self, tmp_path: Path, folder: Path) -> None:
        """Labels that are no category of a photo's own ground truth file are not covered, whatever
        other files cover."""
        other = folder.parent / "other"
        other.mkdir()
        (other / "one.png").write_bytes(encoded(drawn((200, 150), Block("blue", 20, 20, 100, 100))))
        second = other / "truth.json"
        image = {"id": 1, "file_name": "one.png", "width": 200, "height": 150}
        box = {"image_id": 1, "category_id": 1, "bbox": [20, 20, 80, 80]}
        categories = [{"id": 1, "name": "blue"}, {"id": 2, "name": "red"}]
        second.write_text(
            json.dumps({"images": [image], "annotations": [box], "categories": categories})
        )
        routing = routing_of(tmp_path, ROUTE)
        sample = profile_of(
            routing, [folder, other], [write_truth(folder), second], options("1x1")
        ).sample
        label_counts = Counter(
            tuple(name for name, is_covered in zip(sample.labels, row, strict=True) if is_covered)
            for row in sample.covered
        )
        assert label_counts == {("red",): 12, ("red", "blue"): 1}
        assert len(sample.truth.boxes) == 13

    def test_a_companion_is_asked_about_each_photo_alone(
        self, tmp_path: Path, folder: Path
    ) -> None:
        """A companion's answers about each photo alone are looks of their own, stored in a folder
        of their own; a second run asks nothing."""
        companions = ScriptedProvider(), ScriptedProvider()
        for provider in companions:
            result = self.run(folder, friend=provider, profile_options=options(companion="friend"))
        assert [provider.calls for provider in companions] == [12, 0]
        assert {str(kind) for kind in result.sample.looks} == {"1x1", "2x2", "friend:1x1"}
        assert result.sample.has_answer[LookKind(Shape(1, 1), "friend")].all()
        assert (
            len((tmp_path / "out/companion-friend/responses.jsonl").read_text().splitlines()) == 12
        )

    def test_only_new_photos_are_paid_for(self, tmp_path: Path, folder: Path) -> None:
        """After photos were added, the same command asks about the new ones only; the old ones are
        asked about no more, at any shape."""
        routing = routing_of(tmp_path, ROUTE)
        profile_of(routing, [folder], [], options())
        rows = (tmp_path / "out/responses.jsonl").read_text().splitlines()
        earlier = {key for row in rows for key in json.loads(row)["photos"]}
        for number in range(3):
            image = drawn((120, 90), Block("blue", 10, 10, 90 - number, 60))
            (folder / f"more-{number}.png").write_bytes(encoded(image))
        profile_of(routing, [folder], [], options())
        all_rows = (tmp_path / "out/responses.jsonl").read_text().splitlines()
        assert all_rows[: len(rows)] == rows
        bought = {key for row in all_rows[len(rows) :] for key in json.loads(row)["photos"]}
        assert len(bought) == 3
        assert bought.isdisjoint(earlier)

    def test_a_declined_price_leaves_the_photos_ungrouped(
        self, tmp_path: Path, folder: Path
    ) -> None:
        """Photos of a purchase that was declined are not yet photos of the profile."""
        routing = routing_of(tmp_path, ROUTE)
        with pytest.raises(QuoteDeclined):
            profile.run(
                routing,
                routing.routes["objects"],
                read_photos([folder], []),
                options(),
                folder=tmp_path / "out",
                confirm=lambda quote: False,
                progress=NoProgress(),
            )
        assert PhotoList.load(tmp_path / "out") == PhotoList()

    def test_an_unknown_companion_is_refused(self, tmp_path: Path, folder: Path) -> None:
        """The error for a companion that is not configured names the configured providers."""
        with pytest.raises(ConfigError, match=r"no provider 'nobody'; there are friend, here"):
            self.run(folder, profile_options=options(companion="nobody"))

    def test_photos_that_cannot_be_read_are_left_out(self, tmp_path: Path, folder: Path) -> None:
        """A file that is no picture costs only itself."""
        (folder / "broken.jpg").write_bytes(b"no picture")
        assert self.run(folder).profile.photos == 12

    def test_a_cascade_of_an_unprofiled_shape_is_refused(
        self, tmp_path: Path, folder: Path
    ) -> None:
        """The error for a cascade of an unprofiled shape names the shape."""
        result = self.run(folder)
        with pytest.raises(ConfigError, match="3x3"):
            result.write_cascade(parse_shapes("3x3,1x1"), factor=1, deviations=0)

    @pytest.mark.parametrize(
        ("truths", "message"), [(2, "one truth for each"), (1, "which is not there")]
    )
    def test_ground_truth_that_does_not_fit_is_refused(
        self, folder: Path, truths: int, message: str
    ) -> None:
        """The error for too many ground truths, or one that lists a missing photo, says so."""
        file = write_truth(folder, ["03.png", "nowhere.png"])
        with pytest.raises(ValueError, match=message):
            find_photos([folder], [file] * truths)

    def test_the_same_photo_counts_once(self, folder: Path) -> None:
        """A photo that lies in two files is one photo."""
        (folder / "copy.png").write_bytes((folder / "03.png").read_bytes())
        assert len(find_photos([folder], [])) == 12

    def test_an_empty_folder_is_named(self, tmp_path: Path) -> None:
        """The error for a folder without photos names it."""
        with pytest.raises(ValueError, match=r"no photos in .*empty"):
            find_photos([tmp_path / "empty"], [])


class TestFiles:
    """A model is identified by the content of its files, which lie where the config file says."""

    @pytest.fixture
    def run(self, tmp_path: Path, folder: Path) -> Callable[[Provider], ProfileResult]:
        """`run(provider)`: the profile of a detector in files, by this provider in its place."""
        (tmp_path / "det.onnx").write_bytes(b"weights")
        (tmp_path / "names.txt").write_text("red\nblue\n")
        detector = {"kind": "onnx", "model": "det.onnx", "labels": "names.txt"}
        config = {**ROUTE, "providers": {"here": detector}}

        def run_profile(provider: Provider) -> ProfileResult:
            routing = routing_of(tmp_path, config, {"here": provider})
            return profile_of(routing, [folder], [], options())

        return run_profile

    def test_the_same_content_is_the_same_model(
        self, tmp_path: Path, run: Callable[[Provider], ProfileResult]
    ) -> None:
        """Files that are written again with the same content are the same model, and their digests
        are stored."""
        run(ScriptedProvider())
        (tmp_path / "det.onnx").write_bytes(b"weights")
        provider = ScriptedProvider()
        run(provider)
        assert provider.calls == 0
        digests = json.loads((tmp_path / "out/made-with.json").read_text())["sha256"]
        assert digests["model"] == hashlib.sha256(b"weights").hexdigest()[:16]

    @pytest.mark.parametrize("name", ["det.onnx", "names.txt"])
    def test_a_file_replaced_in_place_is_refused(
        self, tmp_path: Path, run: Callable[[Provider], ProfileResult], name: str
    ) -> None:
        """Another network, or other labels, under the same name is another provider."""
        run(ScriptedProvider())
        (tmp_path / name).write_text("another")
        with pytest.raises(ConfigError, match="another provider, model"):
            run(ScriptedProvider())

    def test_a_missing_file_is_named_before_asking(
        self, tmp_path: Path, run: Callable[[Provider], ProfileResult]
    ) -> None:
        """The error for a file that cannot be read names it, before anything is asked."""
        (tmp_path / "det.onnx").unlink()
        provider = ScriptedProvider()
        with pytest.raises(ConfigError, match=r"det\.onnx"):
            run(provider)
        assert provider.calls == 0


def test_photos_repeat_only_in_the_last_canvas() -> None:
    """Photos repeat only in the last canvas of a grouping."""
    sizes = {str(number): Size(10, 10) for number in range(10)}
    *whole, last = questions(sizes, [Shape(2, 2)], 1)
    assert all(
        count == 1
        for count in Counter(key for question in whole for key in question.photos).values()
    )
    assert len(set(last.photos)) == 4
