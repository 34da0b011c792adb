"""How many photos go on a canvas first where it can only clear them together: by how many were
flagged lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.core.events import Event, Events, GroupsChanged, Settled
from gateway.core.model import Route, concerning
from providers.detection import Detection
from thresholds.cascade import Cascade
from thresholds.group_testing import Choice, FlagRate, choose, expected

TELLING = 1.25
"""A rate that moved by so much is told anew."""


class GroupSizer:
    """Listens to what is settled. Holds, by route, the share of photos that were flagged, and what
    was last told of it."""

    def __init__(self, routes: Mapping[str, Route], events: Events) -> None:
        self._events = events
        self._routes = {name: route for name, route in routes.items() if route.cascade.groups}
        self._rates = {name: expected(route.cascade) for name, route in self._routes.items()}
        self._told: dict[str, GroupsChanged] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Settled) and (route := self._routes.get(event.entry.route)):
            entry, outcome = event.entry, event.outcome
            if outcome.error is None and not entry.watched and route.in_groups(entry.only_labels):
                flagged = _flagged(concerning(outcome.detections, entry.only_labels), route.cascade)
                self._rates[route.name] = self._rates[route.name].add(flagged=flagged)
                self._tell(route)

    def first(self, route: Route, variant: str, only_labels: Sequence[str] = ()) -> int:
        """The stage at which a photo is asked about first, by that variant of the route."""
        cascade = route.variant(variant)
        if not route.in_groups(only_labels):
            return len(cascade.stages) - 1
        return self._choose(route.name, cascade).stage

    def choice(self, route: str) -> tuple[FlagRate, Choice] | None:
        """A route's rate, and how its photos go by it; None where they never go in groups."""
        if route not in self._routes:
            return None
        return self._rates[route], self._choose(route, self._routes[route].cascade)

    def tell_all(self) -> None:
        """Of every route that has groups, how it begins."""
        for route in self._routes.values():
            self._tell(route)

    def _choose(self, route: str, cascade: Cascade) -> Choice:
        told = self._told.get(route)
        return choose(cascade, self._rates[route].share, told.shape if told else None)

    def _tell(self, route: Route) -> None:
        rate, choice = self._rates[route.name], self._choose(route.name, route.cascade)
        told = self._told.get(route.name)
        moved = told is None or not told.rate / TELLING <= rate.share <= told.rate * TELLING
        before = told.shape if told else None
        if moved or before != choice.shape:
            event = GroupsChanged(
                route.name, choice.shape, rate.share, choice.images, choice.reason, before
            )
            self._told[route.name] = event
            self._events.tell(event)


def coarsest(route: Route, variant: str, only_labels: Sequence[str] = ()) -> int:
    """The first stage for groups there is, whatever the rate."""
    cascade = route.variant(variant)
    return (
        cascade.groups[0]
        if cascade.groups and route.in_groups(only_labels)
        else len(cascade.stages) - 1
    )


def _flagged(found: Sequence[Detection], cascade: Cascade) -> bool:
    positive = cascade.positive or 0.0
    return any(each.score >= positive for each in found)
