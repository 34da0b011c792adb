"""Routes of the configuration: a route that cannot work is refused with an error that names it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.core.fault_names import FAULTS
from gateway.core.model import Fallback
from gateway.testing.provider import ScriptedProvider, about
from gateway.wiring.parts import Parts, build
from providers.call_limits import BreakerOptions, CallLimits
from providers.detection import Task
from tests.support.configs import PRESS, ROUTE, SHOP, refusal
from thresholds.cascade import Cascade, Stage, save
from thresholds.rules import imgrid

DOUBT = {"kind": "imgrid", "area": {"mean": 0.1}}


CLEAN = {"kind": "clean", "threshold": 0.2}


GROUPS = [{"shape": "2x2", "rule": CLEAN}, {"shape": "1x1"}]


AUTO = {"cascade": "auto", "max_drop": 0.02, "learn": {"shapes": ["2x2", "3x3"]}}


class Judge(ScriptedProvider):
    """Serves every task."""

    def __init__(self) -> None:
        super().__init__(about=replace(about("eye"), tasks=frozenset(Task)))


def built(file: Path) -> Parts:
    return build(settings.read(file, {}), file, providers={"eye": Judge()})


class TestRoutes:
    def test_a_route_for_all_that_can_match_nobody_is_refused(
        self, write: Callable[..., Path]
    ) -> None:
        """A route for all tenants is refused if earlier routes serve every tenant: nothing is left
        for it."""
        routes = [
            {**ROUTE, "tenants": ["shop"]},
            {**ROUTE, "tenants": ["press"], "name": "b"},
            {**ROUTE, "name": "c"},
        ]
        assert "routes[2]" in refusal(write(routes=routes, tenants=[SHOP, PRESS]))
        assert settings.read(write(routes=routes[::2], tenants=[SHOP, PRESS]), {})

    def test_a_grid_with_too_small_cells_is_refused(self, write: Callable[..., Path]) -> None:
        """A grid whose cells would be too small to see anything is refused, and the error names
        their size."""
        message = refusal(
            write(
                providers={"eye": {"kind": "shapes", "canvas": "160x80"}},
                routes=[{**ROUTE, "stages": [{"shape": "10x2"}]}],
            )
        )
        assert "80 x 8 pixels" in message

    def test_a_cascade_file_is_beside_the_config_and_the_route_overrides_it(
        self, write: Callable[..., Path], tmp_path: Path
    ) -> None:
        """A cascade file is looked for beside the config, and the route's own keys override it."""
        rule = imgrid.Rule(area=imgrid.Spread(mean=0.1))
        save(
            Cascade(stages=(Stage(shape="3x3", rule=rule), Stage(shape="1x1"))),
            tmp_path / "cascades" / "a.json",
        )
        route = {
            "task": "objects",
            "provider": "eye",
            "cascade": "cascades/a.json",
            "merge": "fuse",
        }
        file = write(routes=[route])
        parts = build(settings.read(file, {}), file)
        cascade = parts.routes["objects"].cascade
        assert (cascade.shapes, cascade.merge) == ("3x3, 1x1", "fuse")
        assert cascade.stages[0].rule == rule

    @pytest.mark.parametrize(
        "content", [None, "", "{", "[]", '{"stages": []}', '{"stages": [{"shape": "2x2"}], "x": 1}']
    )
    def test_an_unreadable_cascade_file_is_named(
        self, write: Callable[..., Path], tmp_path: Path, content: str | None
    ) -> None:
        """The error for a missing or broken cascade file names it."""
        if content is not None:
            (tmp_path / "a.json").write_text(content)
        message = refusal(
            write(routes=[{"task": "objects", "provider": "eye", "cascade": "a.json"}])
        )
        assert "routes[0].cascade" in message
        assert "a.json" in message

    @pytest.mark.parametrize(
        "given", [{"stages": None}, {"cascade": "a.json"}], ids=["neither", "both"]
    )
    def test_a_route_has_either_a_cascade_file_or_stages(
        self, write: Callable[..., Path], given: dict[str, Any]
    ) -> None:
        """A route has either a cascade file or stages."""
        route = {key: value for key, value in {**ROUTE, **given}.items() if value is not None}
        assert "either cascade (a file) or stages" in refusal(write(routes=[route]))

    def test_a_route_that_plans_itself_begins_alone(self, write: Callable[..., Path]) -> None:
        """With cascade: auto photos go alone until there is a plan; what is asked to learn is every
        grid, and the companion."""
        providers = {"eye": {"kind": "shapes"}, "own": {"kind": "shapes"}}
        route = {"task": "objects", "provider": "eye", "companion": "own", **AUTO}
        file = write(providers=providers, routes=[route])
        made = build(settings.read(file, {}), file).routes["objects"]
        assert made.cascade.shapes == "1x1"
        assert [name for name in made.variants if name.startswith("look")] == [
            "look 2x2",
            "look 3x3",
            "look own:1x1",
        ]

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({**AUTO, "max_drop": None}, "needs a goal: max_drop"),
            ({**AUTO, "save": 0.5}, "and not both"),
            ({**AUTO, "stages": [{"shape": "2x2"}]}, "routes[0].stages: cascade: auto finds"),
            ({**AUTO, "task": "moderation"}, "routes[0].cascade: auto is for tasks with boxes"),
            ({"stages": [{"shape": "1x1"}], "max_drop": 0.1}, "routes[0].max_drop: is for a route"),
            ({"stages": [{"shape": "1x1"}], "learn": {}}, "routes[0].learn: is for a route"),
            ({**AUTO, "learn": {"shapes": ["100x2"]}}, "cells of a 100x2 grid"),
        ],
    )
    def test_what_a_route_that_plans_itself_needs_is_named(
        self, write: Callable[..., Path], given: dict[str, Any], expected: str
    ) -> None:
        """It needs one goal and a task with boxes, and grids that fit the canvas; other routes have
        none of its keys. The error names the key and the way out."""
        route = {"task": "objects", "provider": "eye", **given}
        route = {key: value for key, value in route.items() if value is not None}
        file = write(routes=[route])
        with pytest.raises(ConfigError, match=re.escape(expected)):
            built(file)

    def test_the_error_for_an_unknown_provider_names_the_known_ones(
        self, write: Callable[..., Path]
    ) -> None:
        """The error for a route to an unknown provider names the known ones."""
        message = refusal(write(routes=[{**ROUTE, "provider": "nose"}]))
        assert "'nose'" in message
        assert "eye" in message

    def test_a_stage_with_an_unknown_provider_is_refused(self, write: Callable[..., Path]) -> None:
        """A stage with an unknown provider is an error that names it."""
        assert "'nose'" in refusal(
            write(routes=[{**ROUTE, "stages": [{"shape": "2x2", "provider": "nose"}]}])
        )

    def test_the_provider_must_serve_the_task(self, write: Callable[..., Path]) -> None:
        """A provider that does not serve the route's task is an error."""
        assert "does not serve faces" in refusal(write(routes=[{**ROUTE, "task": "faces"}]))

    @pytest.mark.parametrize(
        ("route", "says"),
        [
            (
                {"companion": "nose"},
                "routes[0].companion: there is no provider 'nose'; there are det, eye, ocr",
            ),
            ({"companion": "eye"}, "routes[0].companion: eye is the route's provider itself"),
            ({"companion": "ocr"}, "routes[0].companion: provider ocr does not serve objects"),
            (
                {"stages": [{"shape": "1x1", "provider": "det"}]},
                "the first, 1x1, with others after it",
            ),
            (
                {"stages": [{"shape": "2x2", "provider": "det", "rule": DOUBT}, {"shape": "1x1"}]},
                "imgrid plan",
            ),
            (
                {"stages": [{"shape": "2x2", "rule": DOUBT}, {"shape": "1x1", "provider": "det"}]},
                "imgrid plan",
            ),
        ],
    )
    def test_a_companion_is_another_provider_of_the_same_task(
        self, write: Callable[..., Path], route: dict[str, Any], says: str
    ) -> None:
        """A companion is another provider of the same task; cascades ask it first or not at all."""
        providers = {"eye": {"kind": "shapes"}, "det": {"kind": "shapes"}, "ocr": {"kind": "text"}}
        reader = ScriptedProvider(about=about("ocr", task=Task.TEXT))  # the real one is slow
        assert says in refusal(
            write(providers=providers, routes=[{**ROUTE, "companion": "det", **route}]),
            providers={"ocr": reader},
        )
        file = write(providers=providers, routes=[{**ROUTE, "companion": "det"}])
        parts = build(settings.read(file, {}), file, providers={"ocr": reader})
        assert parts.routes["objects"].companion == "det"

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"provider": "nose"}, "routes[0].fallback.provider: there is no provider 'nose'"),
            (
                {"provider": "eye"},
                "routes[0].fallback.provider: eye is the route's provider itself",
            ),
            (
                {"provider": "det"},
                "routes[0].fallback.provider: det is the route's companion itself",
            ),
            ({"provider": "low"}, "routes[0].fallback: cells of a 8x8 grid on low's canvas"),
            ({"on": []}, "routes[0].fallback.on"),
            ({"on": ["tired"]}, "routes[0].fallback.on[0]"),
            ({"when": ["throttled"]}, "routes[0].fallback.when: unknown key"),
        ],
    )
    def test_a_fallback_is_another_provider_that_takes_all_stages(
        self, write: Callable[..., Path], changes: dict[str, Any], says: str
    ) -> None:
        """A fallback is another provider that takes the route's task at the shapes of all its
        stages."""
        shapes = {name: {"kind": "shapes"} for name in ("eye", "det", "two")}
        providers = {**shapes, "low": {"kind": "shapes", "canvas": "100x100"}}
        route = {
            **ROUTE,
            "stages": [{"shape": "8x8"}],
            "companion": "det",
            "fallback": {"provider": "two"},
        }
        file = write(providers=providers, routes=[route])
        assert build(settings.read(file, {}), file).routes["objects"].fallback == Fallback(
            "two", FAULTS
        )
        file = write(
            providers=providers, routes=[{**route, "fallback": {"provider": "two", **changes}}]
        )
        assert says in refusal(file)

    def test_a_fallback_must_serve_the_task(self, write: Callable[..., Path]) -> None:
        """A fallback that does not serve the route's task is an error."""
        providers = {
            "eye": {"kind": "azure", "endpoint": "http://127.0.0.1:9", "key": "k"},
            "two": {"kind": "shapes"},
        }
        route = {**ROUTE, "task": "text", "fallback": {"provider": "two"}}
        message = refusal(write(providers=providers, routes=[route]))
        assert (
            "routes[0].fallback: nothing can match it: provider two does not serve text" in message
        )

    def test_extras_fall_back_to_the_same_vendor_only(self, write: Callable[..., Path]) -> None:
        """A route for extras takes a fallback of the same vendor only."""
        route = {"task": "extras", "provider": "eye", "fallback": {"provider": "two"}}
        file = write(
            providers={name: {"kind": "shapes"} for name in ("eye", "two")}, routes=[route]
        )
        extras = {
            name: about(name, kind=kind, task=Task.EXTRAS)
            for name, kind in (("eye", "azure"), ("two", "google"))
        }
        fakes = {name: ScriptedProvider(about=introduced) for name, introduced in extras.items()}
        with pytest.raises(
            ConfigError, match=r"routes\[0\].fallback.provider: .*another provider of kind azure"
        ):
            build(settings.read(file, {}), file, providers=fakes)
        fakes["two"] = ScriptedProvider(about=replace(extras["two"], kind="azure"))
        assert build(settings.read(file, {}), file, providers=fakes)

    def test_a_fallback_that_can_never_be_used_is_refused(self, write: Callable[..., Path]) -> None:
        """A fallback for calls without an answer is an error if the time-out leaves it no time, or
        if the operator forbids repeating calls that may be billed."""
        providers = {"eye": {"kind": "shapes"}, "two": {"kind": "shapes"}}
        hurried = {**ROUTE, "fallback": {"provider": "two"}, "deadline_ms": 20_000}
        message = refusal(write(providers=providers, routes=[hurried]))
        assert (
            "providers.eye.timeout_ms (20000) leaves no time within routes[0].deadline_ms (20000)"
            in message
        )
        route = {**ROUTE, "fallback": {"provider": "two", "on": ["no_answer"]}}
        assert "billed_unknown: fail forbids" in refusal(
            write(providers=providers, routes=[route], billed_unknown="fail")
        )
        file = write(
            providers=providers,
            routes=[{**route, "fallback": {"provider": "two"}}],
            billed_unknown="fail",
        )
        assert build(settings.read(file, {}), file)

    def test_more_cells_than_an_answer_holds_detections_is_refused(
        self, write: Callable[..., Path]
    ) -> None:
        """A shape with more cells than an answer holds detections is an error with the limit."""
        eye = {"kind": "rekognition", "access_key": "a", "secret_key": "b"}
        route = {**ROUTE, "task": "text", "stages": [{"shape": "11x10"}]}
        message = refusal(write(providers={"eye": eye}, routes=[route]))
        assert (
            "a 11x10 grid has 110 photos, and an answer of eye holds at most 100 detections of text"
            in message
        )
        file = write(providers={"eye": eye}, routes=[{**route, "stages": [{"shape": "10x10"}]}])
        assert build(settings.read(file, {}), file)

    @pytest.mark.parametrize(
        ("changes", "key"),
        [
            ({"rate_per_s": 0}, "rate_per_s"),
            ({"breaker": {"failures": 0}}, "breaker.failures"),
            ({"breaker": {"calls": 0}}, "breaker.calls"),
            ({"breaker": {"open_ms": 9000, "max_open_ms": 8000}}, "breaker"),
            ({"breaker": {"close_ms": 1}}, "breaker.close_ms"),
        ],
    )
    def test_the_error_for_a_bad_call_limit_names_its_key(
        self, write: Callable[..., Path], changes: dict[str, Any], key: str
    ) -> None:
        """The error for a rate or a breaker that makes no sense names its key."""
        message = refusal(write(providers={"eye": {"kind": "shapes", **changes}}))
        assert f"providers.eye.{key}: " in message

    def test_the_breaker_is_on_by_default_and_can_be_switched_off(
        self, write: Callable[..., Path]
    ) -> None:
        """A provider has a breaker and no rate by default, and the breaker can be switched off."""
        for given, breaker in (({"breaker": None}, None), ({}, BreakerOptions())):
            file = write(providers={"eye": {"kind": "shapes", **given}})
            assert build(settings.read(file, {}), file).providers["eye"].about.calls == CallLimits(
                None, breaker, timeout_s=20
            )

    @pytest.mark.parametrize(
        ("key", "value"), [("share", 1.5), ("delta", 0), ("agreement", -1), ("rate", 1)]
    )
    def test_the_error_for_a_bad_drift_option_names_its_key(
        self, write: Callable[..., Path], key: str, value: object
    ) -> None:
        """The error for an option of the drift monitor that makes no sense names its key."""
        assert f"routes[0].watch.{key}" in refusal(write(routes=[{**ROUTE, "watch": {key: value}}]))

    def test_near_duplicates_need_watching(self, write: Callable[..., Path]) -> None:
        """A route that takes near-duplicates' answers must be watched, and of a task whose answers
        can be compared; equal photos need neither."""
        near = {"near_distance": 2}
        route = {**ROUTE, "cache": near, "watch": {"share": 0}}
        assert "routes[0].cache.near_distance: nothing would show" in refusal(write(routes=[route]))
        assert built(write(routes=[{**route, "cache": {}}])).routes["objects"].cache is not None
        extras = {"task": "extras", "provider": "eye", "cache": near}
        with pytest.raises(ConfigError, match=r"near_distance: the answers of extras"):
            built(write(routes=[extras]))

    def test_a_cache_knows_what_its_answers_depend_on(self, write: Callable[..., Path]) -> None:
        """Another cascade or another option of the provider is another origin of answers; how long
        they are kept is not."""
        origins = []
        for canvas, shape, ttl_ms in (
            ("640x640", "1x1", 1000),
            ("640x640", "1x1", 2000),
            ("640x640", "2x2", 1000),
            ("320x320", "1x1", 1000),
        ):
            providers = {"eye": {"kind": "shapes", "canvas": canvas}}
            route = {**ROUTE, "stages": [{"shape": shape}], "cache": {"ttl_ms": ttl_ms}}
            cache = built(write(providers=providers, routes=[route])).routes["objects"].cache
            assert cache is not None
            origins.append(cache.origin.digest)
        assert origins[0] == origins[1]
        assert len(set(origins)) == 3

    def test_a_route_shadowed_by_an_earlier_one_is_refused(
        self, write: Callable[..., Path]
    ) -> None:
        """A route is an error if an earlier one takes all of its requests."""
        assert "routes[1]: nothing can match it" in refusal(
            write(routes=[ROUTE, {**ROUTE, "name": "again"}])
        )
        routes = [{**ROUTE, "tenants": ["shop"]}, {**ROUTE, "tenants": ["shop"], "name": "again"}]
        assert "routes[1]: nothing can match it" in refusal(
            write(routes=routes, tenants=[SHOP, PRESS])
        )

    def test_tenants_may_have_different_routes_of_one_task(
        self, write: Callable[..., Path]
    ) -> None:
        """Routes of one task for different tenants, and one for the rest, are allowed."""
        routes = [{**ROUTE, "tenants": ["shop"]}, {**ROUTE, "name": "rest"}]
        file = write(routes=routes, tenants=[SHOP, PRESS])
        assert list(build(settings.read(file, {}), file).routes) == ["objects", "rest"]

    def test_a_webhook_without_a_secret_is_refused(self, write: Callable[..., Path]) -> None:
        """The error for a tenant's webhook without a signing secret says how to make one."""
        shop = {**SHOP, "webhook": {"url": "https://shop.example/hook"}}
        message = refusal(write(tenants=[shop]))
        assert "tenants[0].webhook" in message
        assert "imgrid webhooks secret" in message
        assert "base64" in refusal(write(tenants=[shop], webhooks={"secrets": ["whsec_%"]}))

    def test_two_routes_of_the_same_name_are_refused(self, write: Callable[..., Path]) -> None:
        """Two routes of the same name are an error."""
        routes = [{**ROUTE, "tenants": ["shop"], "name": "a"}, {**ROUTE, "name": "a"}]
        assert "another route 'a'" in refusal(write(routes=routes, tenants=[SHOP, PRESS]))

    def test_a_route_for_an_unknown_tenant_is_refused(self, write: Callable[..., Path]) -> None:
        """A route for an unknown tenant is an error that names the tenant."""
        assert "no tenant press" in refusal(
            write(routes=[{**ROUTE, "tenants": ["press"]}], tenants=[SHOP])
        )


class TestGroups:
    @pytest.mark.parametrize(
        ("route", "says"),
        [
            ({"task": "moderation", "stages": [{"shape": "2x2"}]}, "give 2x2 a rule clean"),
            (
                {
                    "task": "moderation",
                    "stages": [{"shape": "2x2", "rule": DOUBT}, {"shape": "1x1"}],
                },
                "a rule clean",
            ),
            ({"task": "objects", "stages": GROUPS}, "objects has boxes"),
            ({"task": "extras", "stages": GROUPS}, "extras are always asked about one photo alone"),
            (
                {"task": "extras", "stages": [{"shape": "2x2"}]},
                "extras are always asked about one photo alone",
            ),
            ({"task": "labels", "stages": GROUPS}, "labels: listed"),
            ({"task": "labels", "labels": "boxes", "stages": GROUPS}, "labels: listed"),
            (
                {"task": "labels", "labels": "listed", "stages": [{"shape": "1x1"}]},
                "need a cascade of groups",
            ),
            (
                {"task": "objects", "labels": "boxes", "stages": [{"shape": "1x1"}]},
                "is for a route of task labels",
            ),
        ],
    )
    def test_groups_are_refused_where_they_cannot_work(
        self, write: Callable[..., Path], route: dict[str, Any], says: str
    ) -> None:
        """Groups are for tasks that judge a whole picture, with rules of kind clean; for labels
        only if clients list them."""
        file = write(routes=[{**route, "provider": "eye"}])
        with pytest.raises(ConfigError, match=says) as caught:
            built(file)
        assert f"{file}: routes[0]" in str(caught.value)

    @pytest.mark.parametrize(
        ("route", "mode", "groups"),
        [
            ({"task": "labels", "stages": [{"shape": "1x1"}]}, "alone", ()),
            ({"task": "labels", "labels": "boxes"}, "boxes", ()),
            ({"task": "labels", "labels": "listed", "stages": GROUPS}, "listed", (0,)),
            ({"task": "moderation", "stages": GROUPS}, "alone", (0,)),
        ],
    )
    def test_a_route_knows_its_label_mode_and_group_stages(
        self, write: Callable[..., Path], route: dict[str, Any], mode: str, groups: tuple[int, ...]
    ) -> None:
        """A route knows how it gets labels and at which stages it clears photos as a group."""
        (made,) = built(write(routes=[{**route, "provider": "eye"}])).routes.values()
        assert (made.labels, made.cascade.groups) == (mode, groups)
        assert made.positive == (0.5 if groups else None)

    def test_listed_labels_and_all_moderation_go_in_groups(
        self, write: Callable[..., Path]
    ) -> None:
        """Photos whose client lists labels go in groups, and all photos for moderation."""
        listed = {"task": "labels", "labels": "listed", "provider": "eye", "stages": GROUPS}
        routes = built(
            write(routes=[listed, {"task": "moderation", "provider": "eye", "stages": GROUPS}])
        ).routes
        assert [routes["labels"].in_groups(wanted) for wanted in ((), ("cat",))] == [False, True]
        assert routes["moderation"].in_groups(())
