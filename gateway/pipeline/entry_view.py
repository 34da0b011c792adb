"""An entry beside its route: what all steps of the pipeline need to know of one photo. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.core.model import Entry, Fallback, Lane, Photo, Route, Step, Way
from providers.base import About
from providers.detection import Task
from thresholds.cascade import Cascade
from thresholds.fusion.looks import Evidence, Look, PhotoFacts

Routes = Mapping[str, Route]
"""The routes of the configuration, by name."""


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry and the route that it names."""

    entry: Entry
    route: Route

    @property
    def cascade(self) -> Cascade:
        """The variant of the route's cascade that the photo goes by."""
        return self.route.variant(self.entry.variant)

    @property
    def way(self) -> Way:
        """How the photo is served."""
        entry = self.entry
        return Way(self.route, entry.variant, entry.extras, entry.only_labels)

    @property
    def stage_provider(self) -> str:
        """The provider that the photo's stage names."""
        return provider_of(self.route, self.cascade, self.entry.stage)

    @property
    def fell_back(self) -> bool:
        """Whether the photo waits for the fallback in place of its stage's provider. The fallback's
        answer is the last."""
        return self.entry.lane.provider == fallback_provider(self.route) != self.stage_provider

    @property
    def fallback(self) -> Fallback | None:
        """The fallback that the photo may still use; None where it waits for it already. A watched
        photo has none: its answer is compared with those of the route's own providers."""
        is_there = self.entry.lane.provider == fallback_provider(self.route)
        return None if is_there or self.entry.watched else self.route.fallback

    def has_time(self, now: float, answer_s: float) -> bool:
        """Whether an answer that takes `answer_s` seconds comes before the deadline."""
        return now + answer_s < self.entry.deadline_at


def view_of(entry: Entry, routes: Routes) -> EntryView:
    """The entry beside its route."""
    return EntryView(entry, routes[entry.route].at(entry.plan))


def provider_of(route: Route, cascade: Cascade, stage: int) -> str:
    """The provider of a stage: the route's where the stage names none."""
    return cascade.stages[stage].provider or route.provider


def fallback_provider(route: Route) -> str:
    """The provider of the route's fallback; empty where the route has none."""
    return route.fallback.provider if route.fallback is not None else ""


def is_free(lane: Lane, entries: Sequence[Entry], routes: Routes) -> bool:
    """Whether the lane's provider is the companion of all these photos, which sees each on a canvas
    of its own and costs nothing."""
    return all(routes[entry.route].companion == lane.provider for entry in entries)


def facts_of(photo: Photo) -> PhotoFacts:
    """What rules know of a photo."""
    return PhotoFacts(*photo.size, len(photo.data))


def evidence_of(photo: Photo, cascade: Cascade, steps: Sequence[Step]) -> Evidence:
    """What a rule judges a photo by: its answers at all steps so far."""
    looks: list[Look] = []
    for step in steps:
        stage = cascade.stages[step.stage]
        looks.append(Look(stage.shape, step.detections, stage.provider or ""))
    return Evidence(facts_of(photo), tuple(looks))


def about_canvas(about: About, task: Task, photo: Photo) -> About:
    """The provider's description for a canvas of that task that shows this photo.

    Extras are asked of one photo in its own size: the vendor's answer has places in pixels, which
    are handed on as they are.
    """
    about = about.for_task(task)
    return replace(about, canvas_px=photo.size) if task == Task.EXTRAS else about
