"""Profiles a route of a task with boxes: buys answers at several shapes and measures them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from gateway.config.errors import ConfigError
from gateway.core.model import Photo, Route, Size
from gateway.quality import canvas_probe, reference
from gateway.quality.collect.answer_store import (
    AnswerStore,
    StoredAnswer,
    answers_by_shape,
    detections_alone,
)
from gateway.quality.collect.other_provider import purchase_alone
from gateway.quality.collect.photo_list import PhotoList
from gateway.quality.collect.photos import LabelledPhotos
from gateway.quality.collect.purchase import Purchase, buy
from gateway.quality.collect.questions import questions_by_batch
from gateway.quality.progress import Progress
from gateway.quality.quote import Confirm, Quote
from gateway.wiring.provenance import provenance
from gateway.wiring.routes import Routing
from providers.detection import Detection
from thresholds import cascade as cascades
from thresholds.cascade import Border
from thresholds.fusion.arrays import LabelIndex
from thresholds.fusion.looks import LookKind, PhotoFacts
from thresholds.profile import profile as profiles
from thresholds.profile.profile import Answers, Profile
from thresholds.profile.profile import profile_of_answers as make_profile
from thresholds.profile.seams import Cells
from thresholds.profile.shape_stats import shape_stats
from thresholds.samples import sample as samples
from thresholds.samples.from_answers import sample_from_answers as make_sample
from thresholds.shape import ALONE, Shape


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """Shapes and groupings to ask at. Detections below `floor` do not count.

    `companion` names a provider that is asked about each photo alone as well; `probe` asks about
    canvases of several sizes. `reference` asks about each photo mirrored as well; None where there
    is no ground truth. `words` are the options of the command, to name it later.
    """

    shapes: Sequence[Shape]
    groupings: int
    floor: float
    companion: str = ""
    probe: bool = False
    reference: bool | None = None
    words: tuple[str, ...] = ()

    @property
    def images_per_photo(self) -> float:
        """What a photo costs in images, as it is asked about at every shape, and alone."""
        grids = {shape for shape in self.shapes if shape != ALONE}
        return 1 + sum(self.groupings / shape.cells for shape in grids)


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """A profile with the sample it was made from.

    `border` is that of the photos as they were asked, which cascades need as well; `images` counts
    the canvases of the route's provider by shape; `canvas_px` is the configured canvas.
    """

    profile: Profile
    sample: samples.Sample
    folder: Path
    border: Border
    images: Mapping[Shape, int]
    canvas_px: tuple[int, int]

    def save(self) -> None:
        """Writes profile and sample into the folder."""
        self.profile.save(self.folder / profiles.FILE)
        self.sample.save(self.folder / samples.FILE)

    def write_cascade(self, shapes: Sequence[Shape], *, factor: float, deviations: float) -> Path:
        """Writes the cascade of these shapes and returns its file. Raises ConfigError where a shape
        was not profiled."""
        path = self.folder / f"cascade-{'-'.join(map(str, shapes))}.json"
        try:
            cascade = self.profile.cascade(shapes, factor=factor, deviations=deviations)
        except ValueError as error:
            raise ConfigError(f"--cascade {','.join(map(str, shapes))}: {error}") from None
        update = {"border": self.border}
        cascades.save(cascade.model_copy(update=update).of_profile(self.folder), path)
        return path


def parse_shapes(text: str) -> list[Shape]:
    """The shapes of a list with commas, such as `"5x5,1x1"`. Raises ConfigError."""
    try:
        return [Shape.parse(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(str(error)) from None


def run(
    routing: Routing,
    route: Route,
    photos: LabelledPhotos,
    options: ProfileOptions,
    *,
    folder: Path,
    confirm: Confirm,
    progress: Progress,
) -> ProfileResult:
    """The profile of a route, with its answers in `folder`. Answers that are there are not bought
    again.

    Raises QuoteDeclined where the price is not agreed to, ConfigError for anything else.
    """
    companion = options.companion or route.companion
    sizes = photos.sizes
    try:
        photo_list = _photo_list(photos, options, folder)
        batches = photo_list.split(sizes)
        main = _main_purchase(routing, route, options, batches, folder=folder)
        companions = {}
        if companion:
            alone = questions_by_batch(batches, [ALONE], 1)
            companions[companion] = purchase_alone(
                routing, route, companion, alone, role="companion", folder=folder
            )
        buy_reference = not photos.known if options.reference is None else options.reference
        references = reference.purchases(routing, route, sizes, folder, wanted=buy_reference)
        probes = canvas_probe.purchases(routing, route, batches, folder, probe=options.probe)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None

    def agreed(quote: Quote) -> bool:
        if not confirm(quote):
            return False
        photo_list.save(folder)  # before the first answer: it must stay of use
        return True

    buy(
        [main, *references, *companions.values(), *probes],
        photos.photos,
        threads=routing.settings.threads,
        confirm=agreed,
        progress=progress,
    )
    asked = _Purchases(main, companions, references)
    result = _result(asked, photos, options.floor, folder=folder)
    probe = canvas_probe.result(probes, _facts(photos.photos), sizes, photos.known)
    return replace(result, profile=result.profile.model_copy(update={"probe": probe}))


def _photo_list(photos: LabelledPhotos, options: ProfileOptions, folder: Path) -> PhotoList:
    """The photos of the folder's profile and these, which come as another batch if they are new."""
    files = {key: str(photos.files[key].resolve()) for key in photos.photos}
    joined = PhotoList.load(folder).joined(files)
    return joined.model_copy(update={"words": options.words or joined.words})


def _main_purchase(
    routing: Routing,
    route: Route,
    options: ProfileOptions,
    batches: Sequence[Mapping[str, Size]],
    *,
    folder: Path,
) -> Purchase:
    """Every photo at every shape. Alone is always included, because the others are compared with
    it."""
    border = route.cascade.border
    shapes = list(dict.fromkeys([*options.shapes, ALONE]))
    origin = provenance(routing.settings, routing.file, route.provider, route.task, border=border)
    return Purchase(
        routing.providers[route.provider],
        questions_by_batch(batches, shapes, options.groupings),
        AnswerStore(folder, origin),
        border,
        task=route.task,
    )


class _Purchases(NamedTuple):
    """The answers that a sample consists of: of the route's provider, of companions by name, and
    of the route's provider about the photos mirrored, one purchase or none."""

    main: Purchase
    companions: Mapping[str, Purchase]
    references: Sequence[Purchase]


def _result(
    asked: _Purchases, photos: LabelledPhotos, floor: float, *, folder: Path
) -> ProfileResult:
    """The profile of the stored answers, without the probe."""
    main = asked.main
    about = main.provider.about
    task_about = about.for_task(main.task)
    canvases = main.answers(photos.sizes)
    answers = answers_by_shape(canvases)
    sample = _sample(asked, photos, answers)
    truth = {key: known.objects for key, known in photos.known.items()}
    objects = truth or detections_alone(answers, floor)
    profile = make_profile(
        {key: objects.get(key, []) for key in photos.photos}, answers, floor=floor
    )
    stats = {
        "provider": task_about.name,
        "canvas": "x".join(map(str, task_about.canvas_px)),
        "shapes": shape_stats(sample, cells(sample, canvases), task_about.canvas_px, floor),
    }
    images = Counter(question.shape for question in set(main.questions))
    return ProfileResult(
        profile.model_copy(update=stats), sample, folder, main.border, images, about.canvas_px
    )


def _sample(asked: _Purchases, photos: LabelledPhotos, answers: Answers) -> samples.Sample:
    """All stored answers as arrays. Companions without an answer are left out."""
    main = asked.main
    looks = {LookKind(shape): by_photo for shape, by_photo in answers.items()}
    companion_names = []
    for name, purchase in asked.companions.items():
        if alone := purchase.answers(photos.sizes):
            looks[LookKind(ALONE, name)] = answers_by_shape(alone)[ALONE]
            companion_names.append(name)
    return make_sample(
        _facts(photos.photos),
        looks,
        photos.known or None,
        reference=_reference_looks(asked.references, photos),
        prices={"": main.provider.about.price_of(main.task)},
        provider=main.provider.about.name,
        companions=tuple(companion_names),
        border=main.border,
    )


def _reference_looks(
    references: Sequence[Purchase], photos: LabelledPhotos
) -> Mapping[str, Sequence[Sequence[Detection]]]:
    """The reference look at each photo that has one."""
    return {
        photo: looks
        for purchase in references
        for photo, looks in answers_by_shape(purchase.answers(photos.sizes))[ALONE].items()
    }


def _facts(photos: Mapping[str, Photo]) -> dict[str, PhotoFacts]:
    return {key: PhotoFacts(*photo.size, len(photo.data)) for key, photo in photos.items()}


def cells(sample: samples.Sample, canvases: Sequence[StoredAnswer]) -> list[Cells]:
    """Each canvas as arrays; its photos are given by their indices in the sample."""
    labels = LabelIndex(sample.labels)
    index_of = {key: index for index, key in enumerate(sample.photos)}
    rows = []
    for question, layout_shape, detections in canvases:
        indices = tuple(index_of[key] for key in question.photos)
        arrays = tuple(labels.box_array(photo_detections) for photo_detections in detections)
        rows.append(Cells(question.shape, layout_shape, indices, arrays))
    return rows
