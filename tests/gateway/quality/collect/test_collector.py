"""Profiles: what is asked, what is kept, what comes out."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable
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
from gateway.quality.collect.photos import find_photos, read_photos
from gateway.quality.collect.purchase import Purchase
from gateway.quality.collect.questions import CanvasQuestion, questions
from gateway.quality.profile import ProfileOptions, parse_shapes
from gateway.quality.progress import NoProgress
from gateway.testing.gateway import routing_of
from gateway.testing.pictures import Block, drawn, encoded, photo
from gateway.testing.provider import ScriptedProvider, about
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


def truth_of(folder, names=None):
    names = names or sorted(path.name for path in folder.glob("*.png"))
    images = [
        {"id": i, "file_name": name, "width": 200, "height": 150} for i, name in enumerate(names)
    ]
    boxes = [{"image_id": i, "category_id": 7, "bbox": [20, 20, 85, 80]} for i in range(len(names))]
    file = folder.parent / "truth.json"
    document = {"images": images, "annotations": boxes, "categories": [{"id": 7, "name": "Red"}]}
    file.write_text(json.dumps(document))
    return file


def options(shapes="1x1,2x2", **how):
    return ProfileOptions(parse_shapes(shapes), 1, 0.3, **how)


def profiled(routing, folders, truths, wanted):
    """The profile of the route `objects`, beside the config file."""
    return profile.run(
        routing,
        routing.routes["objects"],
        read_photos(folders, truths),
        wanted,
        folder=routing.file.parent / "out",
        confirm=lambda quote: True,
        progress=NoProgress(),
    )


class TestQuestions:
    """Which canvases a profile asks about."""

    SIZES = {f"l{n}": Size(200, 100) for n in range(10)} | {
        f"p{n}": Size(100, 200) for n in range(3)
    }

    def test_every_photo_is_asked_at_every_shape(self) -> None:
        """At each shape, each photo is on a canvas, and every canvas is full."""
        for shape in (Shape(1, 1), Shape(2, 2), Shape(5, 5)):
            asked = questions(self.SIZES, [shape], 1)
            assert {key for question in asked for key in question.photos} == set(self.SIZES)
            assert {len(question.photos) for question in asked} == {shape.cells}

    def test_orientations_are_kept_apart(self) -> None:
        """A canvas holds photos of one orientation, as lanes do."""
        for question in questions(self.SIZES, [Shape(2, 1)], 1):
            assert len({self.SIZES[key].portrait for key in question.photos}) == 1

    def test_groupings_differ(self) -> None:
        """Another grouping has other neighbours; a photo alone has none, and is asked once."""
        first, second = (questions(self.SIZES, [Shape(2, 2)], count) for count in (1, 2))
        assert first == second[: len(first)]
        assert set(first).isdisjoint(second[len(first) :])
        assert len(questions(self.SIZES, [Shape(1, 1)], 5)) == len(self.SIZES)

    def test_groupings_that_come_out_the_same(self, tmp_path: Path) -> None:
        """A question that several groupings have is paid for once, and its answer is all of
        theirs."""
        sizes = {"only": Size(100, 200)}
        asked = questions(sizes, [Shape(2, 2)], 3)
        errand = Purchase(ScriptedProvider(), asked, AnswerStore(tmp_path, MADE_WITH))
        assert (len(asked), errand.images, len(errand.missing)) == (3, 1, 1)
        errand.store.put(asked[0], [])
        assert len(errand.answers(sizes)) == 3

    def test_the_same_sample_gives_the_same_questions(self) -> None:
        """The order in which photos are found makes no difference: what was paid for is found
        again."""
        backwards = dict(reversed(self.SIZES.items()))
        assert questions(self.SIZES, [Shape(3, 2)], 2) == questions(backwards, [Shape(3, 2)], 2)


class TestStore:
    """What is kept of what was paid for."""

    FOUND = [
        Detection(
            "dog", 0.5, Box(0.1, 0.2, 0.3, 0.4), kind="x", polygon=((0.1, 0.2), (0.3, 0.4)), key=3
        )
    ]
    QUESTION = CanvasQuestion(Shape(2, 1), ("a", "b"))

    def test_answers_survive(self, tmp_path: Path) -> None:
        """What one store was given, the next one has."""
        AnswerStore(tmp_path, MADE_WITH).put(self.QUESTION, self.FOUND)
        (kept,) = AnswerStore(tmp_path, MADE_WITH).get(self.QUESTION)
        assert (kept.label, kept.score, kept.box, kept.key) == (
            "dog",
            0.5,
            Box(0.1, 0.2, 0.3, 0.4),
            3,
        )

    def test_a_line_cut_short_is_passed_over(self, tmp_path: Path) -> None:
        """A crash in the middle of a line costs that line only, even when writing goes on after
        it."""
        store = AnswerStore(tmp_path, MADE_WITH)
        store.put(self.QUESTION, self.FOUND)
        with (tmp_path / "responses.jsonl").open("a") as file:
            file.write('{"key": "cut sh')
        other = CanvasQuestion(Shape(1, 1), ("c",))
        AnswerStore(tmp_path, MADE_WITH).put(other, [])
        again = AnswerStore(tmp_path, MADE_WITH)
        assert again.get(self.QUESTION) is not None
        assert again.get(other) == []

    def test_other_providers_answers_are_not_mixed_in(self, tmp_path: Path) -> None:
        """A folder of another provider's answers is refused, and the way out named."""
        AnswerStore(tmp_path, MADE_WITH)
        with pytest.raises(ValueError, match=r"another provider.*--out"):
            AnswerStore(tmp_path, {"task": "objects", "provider": {"kind": "other"}})


class TestAsking:
    """The profiler at work."""

    def ask(self, folder, provider, photos, asked):
        profiler = Collector(
            provider, Task.OBJECTS, photos, AnswerStore(folder, MADE_WITH), Renderer(1)
        )
        asyncio.run(profiler.ask([q for q in asked if profiler.store.get(q) is None], lambda: None))
        return profiler

    @pytest.fixture
    def photos(self) -> dict[str, Photo]:
        made = [photo(drawn((120, 90), Block("red", 10, 10, 40 + 5 * n, 60))) for n in range(6)]
        return {str(number): one for number, one in enumerate(made)}

    @pytest.fixture
    def asked(self, photos: dict[str, Photo]) -> list[CanvasQuestion]:
        return questions(
            {key: one.size for key, one in photos.items()}, [Shape(1, 1), Shape(2, 2)], 1
        )

    def test_an_answer_is_never_paid_for_twice(
        self, tmp_path: Path, photos: dict[str, Photo], asked: list[CanvasQuestion]
    ) -> None:
        """A second run over the same folder asks nothing."""
        first, second = ScriptedProvider(), ScriptedProvider()
        self.ask(tmp_path, first, photos, asked)
        self.ask(tmp_path, second, photos, asked)
        assert (first.calls, second.calls) == (len(asked), 0)

    def test_it_goes_on_where_it_stopped(
        self, tmp_path: Path, photos: dict[str, Photo], asked: list[CanvasQuestion]
    ) -> None:
        """After a provider broke down, only what is missing is asked."""
        broken = ScriptedProvider(errors=[*[None] * 3, Misconfigured("no credit")])
        with pytest.raises(Misconfigured):
            self.ask(tmp_path, broken, photos, asked)
        rest = ScriptedProvider()
        self.ask(tmp_path, rest, photos, asked)
        assert rest.calls == len(asked) - (broken.calls - 1)

    def test_silence_is_not_asked_again(
        self, tmp_path: Path, photos: dict[str, Photo], asked: list[CanvasQuestion]
    ) -> None:
        """A call that may have been billed without an answer is the last one, and what was answered
        is kept."""
        silent = ScriptedProvider(about=about(concurrency=1), errors=[None, None, NoAnswer("20 s")])
        with pytest.raises(NoAnswer):
            self.ask(tmp_path, silent, photos, asked)
        assert silent.calls == 3
        rest = ScriptedProvider()
        self.ask(tmp_path, rest, photos, asked)
        assert rest.calls == len(asked) - 2

    def test_silence_is_told_before_other_failures(
        self, tmp_path: Path, photos: dict[str, Photo], asked: list[CanvasQuestion]
    ) -> None:
        """Of several failures at a time, one that may have been billed is raised; all such are
        noted."""
        errors = [Misconfigured("no credit"), NoAnswer("20 s"), NoAnswer("20 s")]
        profiler = Collector(
            ScriptedProvider(about=about(concurrency=3), errors=errors),
            Task.OBJECTS,
            photos,
            AnswerStore(tmp_path, MADE_WITH),
            Renderer(1),
        )
        with pytest.raises(NoAnswer):
            asyncio.run(profiler.ask(asked, lambda: None))
        assert len(profiler.unanswered) == 2

    @pytest.mark.parametrize("error", [Throttled("slow down"), Unavailable("502")])
    def test_what_was_not_billed_is_asked_again(
        self,
        tmp_path: Path,
        photos: dict[str, Photo],
        asked: list[CanvasQuestion],
        error: Throttled | Unavailable,
    ) -> None:
        """A fault that cost nothing is passed over by asking once more."""
        provider = ScriptedProvider(errors=[error])
        profiler = self.ask(tmp_path, provider, photos, asked)
        assert provider.calls == len(asked) + 1
        assert all(profiler.store.get(question) is not None for question in asked)

    def test_the_border_is_drawn(
        self, tmp_path: Path, photos: dict[str, Photo], asked: list[CanvasQuestion]
    ) -> None:
        """Photos of a grid have the border that the profile was given; a photo alone has none."""
        plain, bordered = ScriptedProvider(), ScriptedProvider()
        for name, border, provider in (("plain", "none", plain), ("bordered", "black", bordered)):
            profiler = Collector(
                provider,
                Task.OBJECTS,
                photos,
                AnswerStore(tmp_path / name, MADE_WITH),
                Renderer(1),
                border,
            )
            asyncio.run(profiler.ask(asked, lambda: None))
        alone = sum(len(question.photos) == 1 for question in asked)
        both = {picture.data for picture in plain.pictures} & {
            picture.data for picture in bordered.pictures
        }
        assert 0 < alone == len(both) < len(asked)

    def test_what_is_under_way_is_kept(
        self, tmp_path: Path, photos: dict[str, Photo], asked: list[CanvasQuestion]
    ) -> None:
        """When it is interrupted, answers that are on their way are waited for: they will be
        billed."""
        provider = ScriptedProvider(about=about(concurrency=2))
        profiler = Collector(
            provider, Task.OBJECTS, photos, AnswerStore(tmp_path, MADE_WITH), Renderer(1)
        )

        async def interrupted():
            asking = asyncio.create_task(
                profiler.ask(asked, lambda: asking.cancelling() or asking.cancel())
            )
            await asyncio.gather(asking, return_exceptions=True)

        asyncio.run(interrupted())
        kept = len((tmp_path / "responses.jsonl").read_text().splitlines())
        assert 1 <= kept == provider.calls < len(asked)

    def test_a_refused_canvas_is_noted(
        self, tmp_path: Path, photos: dict[str, Photo], asked: list[CanvasQuestion]
    ) -> None:
        """A canvas that the provider refuses is left out, and the others are asked."""
        profiler = self.ask(
            tmp_path, ScriptedProvider(errors=[PictureRefused("no")]), photos, asked
        )
        assert len(profiler.refused) == 1
        assert len((tmp_path / "responses.jsonl").read_text().splitlines()) == len(asked) - 1

    def test_boxes_come_back_to_their_photos(
        self, tmp_path: Path, photos: dict[str, Photo], asked: list[CanvasQuestion]
    ) -> None:
        """What is collected of a 2x2 grid is where it was alone."""
        profiler = self.ask(tmp_path, ScriptedProvider(), photos, asked)
        sizes = {key: one.size for key, one in photos.items()}
        answers = answers_by_shape(
            stored_answers(asked, sizes, profiler.store, about(canvas_px=(320, 320)))
        )
        for key in photos:
            ((alone,),) = answers[Shape(1, 1)][key]
            for (gridded,) in answers[Shape(2, 2)][key]:
                assert gridded.box == pytest.approx(alone.box, abs=0.03)


@pytest.mark.slow
class TestCommand:
    """`imgrid profile`, without the typing."""

    def run(self, folder, provider=None, friend=None, truths=(), wanted=None, **route):
        both = {"here": {"kind": "shapes"}, "friend": {"kind": "shapes"}}
        config = {"providers": both, "routes": [{**ROUTE["routes"][0], **route}]}
        standing_in = {
            name: each for name, each in (("here", provider), ("friend", friend)) if each
        }
        routing = routing_of(folder.parent, config, standing_in)
        return profiled(routing, [folder], truths, wanted or options())

    def test_it_writes_a_cascade_that_loads(self, tmp_path: Path, folder: Path) -> None:
        """Its cascades can be loaded, and hold what the sample showed."""
        result = self.run(folder)
        result.write_cascade(parse_shapes("2x2,1x1"), factor=0.9, deviations=0.5)
        rule = load(tmp_path / "out/cascade-2x2-1x1.json").stages[0].rule
        assert (rule.kind, rule.factor, rule.deviations) == ("imgrid", 0.9, 0.5)
        assert "red" in rule.scores

    def test_what_may_have_been_billed_is_said(self, tmp_path: Path, folder: Path) -> None:
        """After a call without an answer the command stops, and says what may be paid twice and
        what is kept."""
        silent = ScriptedProvider(about=about(concurrency=1), errors=[None, NoAnswer("20 s")])
        with pytest.raises(
            ConfigError, match=r"20 s.*1 image may have been billed.*is kept.*that one once more"
        ):
            self.run(folder, silent)
        assert silent.calls == 2
        assert len((tmp_path / "out/responses.jsonl").read_text().splitlines()) == 1

    def test_its_cascades_keep_the_border(self, tmp_path: Path, folder: Path) -> None:
        """The route's border is noted with the answers, and is that of the cascades made of
        them."""
        result = self.run(folder, border="blurred")
        result.write_cascade(parse_shapes("2x2,1x1"), factor=1, deviations=0)
        assert load(tmp_path / "out/cascade-2x2-1x1.json").border == "blurred"
        assert json.loads((tmp_path / "out/made-with.json").read_text())["border"] == "blurred"

    def test_another_border_is_another_profile(self, tmp_path: Path, folder: Path) -> None:
        """Answers about photos with another border are refused."""
        self.run(folder)
        with pytest.raises(ConfigError, match="border"):
            self.run(folder, border="black")

    def test_truth_makes_the_area(self, tmp_path: Path, folder: Path) -> None:
        """With ground truth, the mean area is the true boxes', and only listed photos are asked
        about."""
        result = self.run(folder, truths=[truth_of(folder, ["03.png", "04.png"])])
        assert result.profile.photos == 2
        assert result.profile.area.mean == pytest.approx(85 * 80 / (200 * 150))

    @pytest.mark.parametrize("known", [False, True])
    def test_alone_is_always_asked(self, tmp_path: Path, folder: Path, known: bool) -> None:
        """The answer alone is asked for whatever shapes were named: all else is compared with
        it."""
        truths = [truth_of(folder)] if known else []
        result = self.run(folder, truths=truths, wanted=options(shapes="2x2"))
        assert {str(group.shape) for group in result.profile.groups} == {"1x1", "2x2"}

    def test_the_sample_is_kept(self, tmp_path: Path, folder: Path) -> None:
        """Beside the profile lies the sample: facts and answers of every photo that was opened, by
        shape, each grouping by itself."""
        self.run(folder, wanted=replace(options(), groupings=2)).save()
        kept = samples.Sample.load(tmp_path / "out" / samples.FILE)
        assert len(kept) == len(kept.complete) == 12
        assert {str(kind): len(looks) for kind, looks in kept.looks.items()} == {"1x1": 1, "2x2": 2}
        assert sorted({(fact.width_px, fact.height_px) for fact in kept.facts}) == [
            (150, 200),
            (200, 150),
        ]
        assert sorted(fact.bytes for fact in kept.facts) == sorted(
            len(f.read_bytes()) for f in folder.iterdir()
        )
        assert (kept.truth, kept.covered) == (None, None)

    def test_the_sample_knows_what_its_truth_speaks_of(self, tmp_path: Path, folder: Path) -> None:
        """Labels that are no category of a photo's own truth file are not covered, whatever other
        files speak of."""
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
        kept = profiled(routing, [folder, other], [truth_of(folder), second], options("1x1")).sample
        spoken_of = Counter(
            tuple(n for n, c in zip(kept.labels, row, strict=True) if c) for row in kept.covered
        )
        assert spoken_of == {("red",): 12, ("red", "blue"): 1}
        assert len(kept.truth.boxes) == 13

    def test_a_companion_is_asked_alone(self, tmp_path: Path, folder: Path) -> None:
        """A companion's answers about each photo alone are looks of their own, kept in a folder of
        their own; the same again asks nobody."""
        seen = ScriptedProvider(), ScriptedProvider()
        for provider in seen:
            result = self.run(folder, friend=provider, wanted=options(companion="friend"))
        assert [provider.calls for provider in seen] == [12, 0]
        assert {str(kind) for kind in result.sample.looks} == {"1x1", "2x2", "friend:1x1"}
        assert result.sample.has_answer[LookKind(Shape(1, 1), "friend")].all()
        assert (
            len((tmp_path / "out/companion-friend/responses.jsonl").read_text().splitlines()) == 12
        )

    def test_a_companion_must_be_there(self, tmp_path: Path, folder: Path) -> None:
        """One that is not configured is an error that names those that are."""
        with pytest.raises(ConfigError, match=r"no provider 'nobody'; there are friend, here"):
            self.run(folder, wanted=options(companion="nobody"))

    def test_photos_that_cannot_be_read_are_left_out(self, tmp_path: Path, folder: Path) -> None:
        """A file that is no picture costs only itself."""
        (folder / "broken.jpg").write_bytes(b"no picture")
        assert self.run(folder).profile.photos == 12

    def test_shapes_that_were_not_profiled_are_named(self, tmp_path: Path, folder: Path) -> None:
        """A cascade of a shape that was never asked is an error that names it."""
        result = self.run(folder)
        with pytest.raises(ConfigError, match="3x3"):
            result.write_cascade(parse_shapes("3x3,1x1"), factor=1, deviations=0)

    @pytest.mark.parametrize(
        ("truths", "message"), [(2, "one truth for each"), (1, "which is not there")]
    )
    def test_truth_that_does_not_fit_is_refused(
        self, folder: Path, truths: int, message: str
    ) -> None:
        """Too many truths, or one that lists a photo that is missing, is an error that says so."""
        file = truth_of(folder, ["03.png", "nowhere.png"])
        with pytest.raises(ValueError, match=message):
            find_photos([folder], [file] * truths)

    def test_the_same_photo_counts_once(self, folder: Path) -> None:
        """A photo that lies in two files is one photo."""
        (folder / "copy.png").write_bytes((folder / "03.png").read_bytes())
        assert len(find_photos([folder], [])) == 12

    def test_an_empty_folder_is_named(self, tmp_path: Path) -> None:
        """A folder without photos is an error that names it."""
        with pytest.raises(ValueError, match=r"no photos in .*empty"):
            find_photos([tmp_path / "empty"], [])


class TestFiles:
    """A model is known by what is in its files, which lie where the config file says."""

    @pytest.fixture
    def run(self, tmp_path: Path, folder: Path) -> Callable[..., Any]:
        (tmp_path / "det.onnx").write_bytes(b"weights")
        (tmp_path / "names.txt").write_text("red\nblue\n")
        detector = {"kind": "onnx", "model": "det.onnx", "labels": "names.txt"}
        config = {**ROUTE, "providers": {"here": detector}}

        def running(provider):
            routing = routing_of(tmp_path, config, {"here": provider})
            return profiled(routing, [folder], [], options())

        return running

    def test_the_same_files_go_on(self, tmp_path: Path, run: Callable[..., Any]) -> None:
        """Files that were written again with the same content are the same model; their digests are
        noted."""
        run(ScriptedProvider())
        (tmp_path / "det.onnx").write_bytes(b"weights")
        again = ScriptedProvider()
        run(again)
        assert again.calls == 0
        digests = json.loads((tmp_path / "out/made-with.json").read_text())["sha256"]
        assert digests["model"] == hashlib.sha256(b"weights").hexdigest()[:16]

    @pytest.mark.parametrize("name", ["det.onnx", "names.txt"])
    def test_a_file_replaced_in_place_is_refused(
        self, tmp_path: Path, run: Callable[..., Any], name: str
    ) -> None:
        """Another network, or other labels, under the same name is another provider."""
        run(ScriptedProvider())
        (tmp_path / name).write_text("another")
        with pytest.raises(ConfigError, match="another provider, model"):
            run(ScriptedProvider())

    def test_a_file_that_is_gone_is_named(self, tmp_path: Path, run: Callable[..., Any]) -> None:
        """A file that cannot be read is an error that names it, before anything is asked."""
        (tmp_path / "det.onnx").unlink()
        provider = ScriptedProvider()
        with pytest.raises(ConfigError, match=r"det\.onnx"):
            run(provider)
        assert provider.calls == 0


def test_groups_repeat_photos_only_to_fill() -> None:
    """Photos are repeated only in the last canvas of a grouping."""
    sizes = {str(number): Size(10, 10) for number in range(10)}
    *whole, last = questions(sizes, [Shape(2, 2)], 1)
    assert all(
        count == 1
        for count in Counter(key for question in whole for key in question.photos).values()
    )
    assert len(set(last.photos)) == 4
