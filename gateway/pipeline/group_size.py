"""The size of the groups in which a route's photos are first asked about, chosen by the share of
photos that were flagged lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.core.events import Event, Events, GroupsChanged, Settled
from gateway.core.model import BufferEntry, Route
from providers.detection import Detection, concerning
from thresholds.cascade import Cascade
from thresholds.group_testing import Choice, FlagRate, group_choice, prior_flag_rate

RATE_CHANGE = 1.25
"""The factor by which a rate must change to be told again."""


class GroupSizer:
    """Listens to settled photos. Holds, by route, the share of photos that were flagged, and the
    last event that was told."""

    def __init__(self, routes: Mapping[str, Route], events: Events) -> None:
        self._events = events
        self._routes = {name: route for name, route in routes.items() if route.cascade.groups}
        self._rates = {name: prior_flag_rate(route.cascade) for name, route in self._routes.items()}
        self._last_events: dict[str, GroupsChanged] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Settled) and (route := self._routes.get(event.entry.route)):
            entry, outcome = event.entry, event.outcome
            counts = outcome.error is None and not entry.watched and not outcome.is_cached
            if counts and route.in_groups(entry.only_labels) and _is_for_groups(entry, route):
                detections = concerning(outcome.detections, entry.only_labels)
                flagged = _is_flagged(detections, route.cascade)
                self._rates[route.name] = self._rates[route.name].add(flagged=flagged)
                self._tell_change(route)

    def first_stage(self, route: Route, variant: str, only_labels: Sequence[str] = ()) -> int:
        """The first stage of a photo that goes by that variant of the route's cascade."""
        cascade = route.variant(variant)
        if not route.in_groups(only_labels):
            return len(cascade.stages) - 1
        return self._choose(route.name, cascade).stage

    def choice(self, route: str) -> tuple[FlagRate, Choice] | None:
        """A route's rate of flagged photos, and the size that it leads to; None for a route that
        tests no groups."""
        if route not in self._routes:
            return None
        return self._rates[route], self._choose(route, self._routes[route].cascade)

    def tell_initial(self) -> None:
        """Tells the initial size for each route that tests groups."""
        for route in self._routes.values():
            self._tell_change(route)

    def _choose(self, route: str, cascade: Cascade) -> Choice:
        last = self._last_events.get(route)
        return group_choice(cascade, self._rates[route].share, last.shape if last else None)

    def _tell_change(self, route: Route) -> None:
        """Tells the size and the rate, if they changed since they were told last."""
        rate, choice = self._rates[route.name], self._choose(route.name, route.cascade)
        last = self._last_events.get(route.name)
        if last is not None and last.shape == choice.shape and _is_near(rate.share, last.rate):
            return
        event = GroupsChanged(
            route=route.name,
            shape=choice.shape,
            rate=rate.share,
            images=choice.images,
            reason=choice.reason,
            before=last.shape if last else None,
        )
        self._last_events[route.name] = event
        self._events.tell(event)


def coarsest_stage(route: Route, variant: str, only_labels: Sequence[str] = ()) -> int:
    """The first stage of a photo where nothing is known of the rate: the coarsest for groups."""
    cascade = route.variant(variant)
    if cascade.groups and route.in_groups(only_labels):
        return cascade.groups[0]
    return len(cascade.stages) - 1


def _is_for_groups(entry: BufferEntry, route: Route) -> bool:
    """Whether no companion sent the photo past the groups: those have a rate of their own."""
    groups = route.variant(entry.variant).groups
    return not groups or entry.stage in groups


def _is_near(rate: float, last_rate: float) -> bool:
    return last_rate / RATE_CHANGE <= rate <= last_rate * RATE_CHANGE


def _is_flagged(detections: Sequence[Detection], cascade: Cascade) -> bool:
    positive = cascade.positive or 0.0
    return any(detection.score >= positive for detection in detections)
