"""The configuration: every key does something, and whatever cannot be meant is an error that names
it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import gateway
from gateway.config import settings
from gateway.config.errors import ConfigError
from gateway.core.fault_names import FAULTS
from gateway.core.model import Fallback
from gateway.security.keyring import digest, sha256_of
from gateway.testing.provider import ScriptedProvider, about
from gateway.wiring.parts import build
from providers.call_limits import BreakerOptions, CallLimits
from providers.detection import Task
from thresholds.cascade import Cascade, Stage, save
from thresholds.rules import imgrid

ROOT = Path(gateway.__file__).parent.parent
ROUTE = {"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]}
DOUBT = {"kind": "imgrid", "area": {"mean": 0.1}}
SHOP = {"name": "shop", "keys": [{"dialect": "native", "key": "key-shop"}]}
PRESS = {
    "name": "press",
    "keys": [{"dialect": "rekognition", "access_key": "AK", "secret_key": "sk-press"}],
}


@pytest.fixture
def write(tmp_path):
    """`write(**changes)`: a config file that works, but for the changes; None takes a key away."""

    def make(**changes):
        content = {
            "threads": 2,
            "providers": {"eye": {"kind": "shapes"}},
            "routes": [ROUTE],
            **changes,
        }
        file = tmp_path / "imgrid.yaml"
        file.write_text(
            yaml.safe_dump({key: value for key, value in content.items() if value is not None})
        )
        return file

    return make


def refused(file, environment=None, providers=None):
    """The message with which a configuration is refused; it names the file."""
    with pytest.raises(ConfigError) as caught:
        build(settings.read(file, environment or {}), file, providers=providers)
    return str(caught.value)


class TestFile:
    def test_least(self, write):
        """A provider and a route are enough; the rest has defaults, and it listens on loopback."""
        read = settings.read(write(), {})
        assert (read.host, read.port) == ("127.0.0.1", 8080)
        assert read.routes[0].max_wait_ms == 150

    def test_missing(self, tmp_path):
        """A file that is not there is an error that says how to write one."""
        message = refused(tmp_path / "imgrid.yaml")
        assert str(tmp_path / "imgrid.yaml") in message
        assert "imgrid config example > imgrid.yaml" in message

    @pytest.mark.parametrize("text", ["- a\n- b", "a: [", "just words", "\x00", "a: \udcff"])
    def test_unreadable(self, tmp_path, text):
        """So is one that is no mapping."""
        file = tmp_path / "imgrid.yaml"
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert "imgrid.yaml" in refused(file)

    def test_key_twice(self, tmp_path):
        """A key that stands twice is an error that names it; the last one does not win without a
        word."""
        file = tmp_path / "imgrid.yaml"
        file.write_text("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n")
        assert "'listen' stands twice" in refused(file)

    def test_empty_section(self, write):
        """A section that is begun and left empty says nothing."""
        file = write()
        file.write_text(file.read_text() + "tenants:\n")
        assert settings.read(file, {}).tenants == []

    @pytest.mark.parametrize("section", ["providers", "routes"])
    def test_nothing_to_do(self, write, section):
        """Without a provider or a route there is nothing to serve."""
        assert section in refused(write(**{section: None}))

    @pytest.mark.parametrize(
        ("changes", "where", "meant"),
        [
            ({"listn": "x"}, "listn", "listen"),
            ({"routes": [{**ROUTE, "max_wait": 5}]}, "routes[0].max_wait", "max_wait_ms"),
            ({"buffer": {"max_photo": 5}}, "buffer.max_photo", "max_photos"),
            ({"tenants": [{**SHOP, "shared": True}]}, "tenants[0].shared", "share"),
        ],
    )
    def test_unknown_key(self, write, changes, where, meant):
        """An unknown key is named with its file and place, and with the key that is probably
        meant."""
        file = write(**changes)
        message = refused(file)
        assert f"{file}: {where}: unknown key" in message
        assert f"did you mean {meant}" in message

    def test_unknown_key_of_provider(self, write):
        """So is an unknown key of a provider."""
        file = write(providers={"eye": {"kind": "shapes", "latency": 5}})
        assert f"{file}: providers.eye.latency: unknown key" in refused(file)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"listen": "8080"}, "address:port"),
            ({"listen": "127.0.0.1:99999"}, "address:port"),
            ({"grpc": {"listen": "8081"}}, "grpc.listen: write address:port"),
            ({"grpc": {"cert": "cert.pem"}}, "grpc: cert and key go together"),
            ({"grpc": {"cert": "none.pem", "key": "none.key"}}, "none.pem and"),
            ({"grpc": {"certificate": "cert.pem"}}, "grpc.certificate: unknown key"),
            ({"threads": 0}, "threads"),
            ({"routes": [{**ROUTE, "max_wait_ms": -1}]}, "routes[0].max_wait_ms"),
            ({"routes": [{**ROUTE, "deadline_ms": 0}]}, "routes[0].deadline_ms"),
            ({"routes": [{**ROUTE, "task": "cats"}]}, "routes[0].task"),
            ({"routes": [{**ROUTE, "stages": [{"shape": "2"}]}]}, "rows x columns"),
            ({"routes": [{**ROUTE, "stages": []}]}, "stages"),
            (
                {"routes": [{**ROUTE, "stages": [{"shape": "2x2"}, {"shape": "1x1"}]}]},
                "stages[0] accepts every answer",
            ),
            ({"providers": {"eye": {"kind": "eye"}}}, "providers.eye.kind"),
            ({"providers": {"eye": {}}}, "providers.eye.kind"),
            ({"providers": {"eye": {"kind": "shapes", "canvas": "big"}}}, "providers.eye.canvas"),
            ({"providers": {"eye": {"kind": "shapes", "canvas": "40x40"}}}, "between 80 and 8192"),
            *(
                (
                    {"providers": {"eye": {"kind": "shapes", "usd_per_image": price}}},
                    f"eye.usd_per_image: {message}",
                )
                for price, message in [
                    ("dear", "'dear' is no price; write US dollars an image, such as 0.001, or"),
                    ({}, "{} is no price"),
                    ({0.5: 0.1}, "{0.5: 0.1} is no price"),
                    ({1000: 0.0008}, "the first price must be from 0 images on, not from 1000"),
                    (-1, "a price must be 0 or more"),
                ]
            ),
            (
                {"providers": {"eye": {"kind": "shapes", "concurrency": 0}}},
                "providers.eye.concurrency",
            ),
            (
                {"providers": {"eye": {"kind": "onnx", "model": "no.onnx", "labels": "no.txt"}}},
                "providers.eye",
            ),
        ],
    )
    def test_bad_value(self, write, changes, says):
        """A value that makes no sense is an error that names its key or says what is expected."""
        file = write(**changes)
        message = refused(file)
        assert str(file) in message
        assert says in message

    def test_example(self):
        """The config at the repository's root is the packaged example, and can be read."""
        text = (ROOT / "gateway" / "cli" / "example.yaml").read_text()
        assert (ROOT / "imgrid.yaml").read_text() == text
        assert settings.read(ROOT / "imgrid.yaml", {}).routes

    def test_example_comments(self, tmp_path):
        """What the example shows as comments can be read once it is uncommented."""
        kept = []
        for line in (ROOT / "gateway" / "cli" / "example.yaml").read_text().splitlines():
            bare = line.replace("# ", "", 1)
            looks_like_yaml = bare.strip().startswith(
                ("aws:", "det:", "tenants:", "- name", "keys:", "- {")
            )
            kept.append(bare if line.strip().startswith("#") and looks_like_yaml else line)
        file = tmp_path / "imgrid.yaml"
        file.write_text("\n".join(kept))
        read = settings.read(file, {})
        assert (len(read.providers), len(read.routes), len(read.tenants)) == (3, 2, 1)


class TestEnvironment:
    def test_overrides(self, write):
        """A variable overrides the file, within lists and mappings too."""
        environment = {
            "IMGRID_LISTEN": "127.0.0.1:9",
            "IMGRID_ROUTES__0__MAX_WAIT_MS": "7",
            "IMGRID_BUFFER__MAX_PHOTOS": "8",
            "IMGRID_PROVIDERS__EYE__CANVAS": "100x200",
            "IMGRID_ROUTES__0__STAGES": "[{shape: 3x3}]",
            "PATH": "/bin",
        }
        file = write()
        read = settings.read(file, environment)
        assert read.port == 9
        assert read.routes[0].max_wait_ms == 7
        assert str(read.routes[0].stages[0].shape) == "3x3"
        assert read.buffer.max_photos == 8
        assert tuple(settings.options_of(read, "eye", file).canvas) == (100, 200)

    def test_adds(self, write):
        """It can add what the file has not, such as a tenant."""
        environment = {
            "IMGRID_TENANTS__0__NAME": "shop",
            "IMGRID_TENANTS__0__KEYS__0__DIALECT": "native",
            "IMGRID_TENANTS__0__KEYS__0__KEY": "key-shop",
        }
        (tenant,) = settings.read(write(), environment).tenants
        assert tenant.name == "shop"
        assert tenant.keys[0].key.get_secret_value() == "key-shop"

    @pytest.mark.parametrize(
        ("text", "value"), [("a #b", "a #b"), ("'5'", "5"), ("a: b", None), ("s3cret", "s3cret")]
    )
    def test_plain_text(self, write, text, value):
        """Plain text stands as it is, comments and all; quotes make text of what YAML would read
        otherwise."""
        environment = {
            "IMGRID_TENANTS__0__NAME": "shop",
            "IMGRID_TENANTS__0__KEYS__0__DIALECT": "native",
            "IMGRID_TENANTS__0__KEYS__0__KEY": text,
        }
        if value is None:
            assert "IMGRID_TENANTS__0__KEYS__0" in refused(write(), environment)
        else:
            assert (
                settings.read(write(), environment).tenants[0].keys[0].key.get_secret_value()
                == value
            )

    @pytest.mark.parametrize(
        ("name", "key"),
        [
            ("IMGRID_LISTN", "listn"),
            ("IMGRID_ROUTES__0__MAX_WAIT", "max_wait"),
            ("IMGRID_PROVIDERS__EYE__LATENCY", "latency"),
        ],
    )
    def test_unknown(self, write, name, key):
        """A variable that sets nothing there is, is an error."""
        message = refused(write(), {name: "5"})
        assert f"{key}: unknown key" in message
        assert (
            name in message or "eye" in message
        )  # a provider's own keys are read by the provider's kind

    def test_wrong_value(self, write):
        """A value that does not fit is said to come from the variable, not from the file."""
        message = refused(write(), {"IMGRID_ROUTES__0__MAX_WAIT_MS": "soon"})
        assert message.startswith(
            "IMGRID_ROUTES__0__MAX_WAIT_MS in the environment: routes[0].max_wait_ms: "
        )

    @pytest.mark.parametrize(
        "name", ["IMGRID_ROUTES__7__MAX_WAIT_MS", "IMGRID_ROUTES__A", "IMGRID_THREADS__0"]
    )
    def test_nowhere(self, write, name):
        """So is one whose place does not exist; the message names it."""
        assert name in refused(write(), {name: "5"})

    def test_no_yaml(self, write):
        """So is one that is no YAML."""
        assert "IMGRID_LISTEN" in refused(write(), {"IMGRID_LISTEN": "["})


class TestRoutes:
    def test_every_tenant_is_served_already(self, write):
        """A route for all is refused where earlier ones serve each tenant there is: nothing is left
        for it."""
        routes = [
            {**ROUTE, "tenants": ["shop"]},
            {**ROUTE, "tenants": ["press"], "name": "b"},
            {**ROUTE, "name": "c"},
        ]
        assert "routes[2]" in refused(write(routes=routes, tenants=[SHOP, PRESS]))
        assert settings.read(write(routes=routes[::2], tenants=[SHOP, PRESS]), {})

    def test_cells_too_small(self, write):
        """A grid whose cells would be too small to see anything is refused, with their size."""
        message = refused(
            write(
                providers={"eye": {"kind": "shapes", "canvas": "160x80"}},
                routes=[{**ROUTE, "stages": [{"shape": "10x2"}]}],
            )
        )
        assert "80 x 8 pixels" in message

    def test_cascade_file(self, write, tmp_path):
        """A cascade file is found beside the config; the route's own words override its."""
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
    def test_unreadable_cascade(self, write, tmp_path, content):
        """A cascade file that is missing or broken is named, with what is wrong."""
        if content is not None:
            (tmp_path / "a.json").write_text(content)
        message = refused(
            write(routes=[{"task": "objects", "provider": "eye", "cascade": "a.json"}])
        )
        assert "routes[0].cascade" in message
        assert "a.json" in message

    @pytest.mark.parametrize(
        "given", [{"stages": None}, {"cascade": "a.json"}], ids=["neither", "both"]
    )
    def test_one_of_both(self, write, given):
        """A route has either a cascade file or stages."""
        route = {key: value for key, value in {**ROUTE, **given}.items() if value is not None}
        assert "either cascade (a file) or stages" in refused(write(routes=[route]))

    def test_unknown_provider(self, write):
        """A route to a provider that there is not, is an error that names those there are."""
        message = refused(write(routes=[{**ROUTE, "provider": "nose"}]))
        assert "'nose'" in message
        assert "eye" in message

    def test_unknown_provider_of_stage(self, write):
        """So is a stage's."""
        assert "'nose'" in refused(
            write(routes=[{**ROUTE, "stages": [{"shape": "2x2", "provider": "nose"}]}])
        )

    def test_wrong_task(self, write):
        """A provider that does not serve the route's task is an error."""
        assert "does not serve faces" in refused(write(routes=[{**ROUTE, "task": "faces"}]))

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
    def test_companion(self, write, route, says):
        """A companion is another provider, of the same task, which a cascade asks first, or not at
        all."""
        providers = {"eye": {"kind": "shapes"}, "det": {"kind": "shapes"}, "ocr": {"kind": "text"}}
        reader = ScriptedProvider(about=about("ocr", task=Task.TEXT))  # the real one is slow
        assert says in refused(
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
    def test_fallback(self, write, changes, says):
        """A fallback is another provider, which takes the route's task at the shapes of all its
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
        assert says in refused(file)

    def test_fallback_for_another_task(self, write):
        """A fallback that does not serve the route's task is an error."""
        providers = {
            "eye": {"kind": "azure", "endpoint": "http://127.0.0.1:9", "key": "k"},
            "two": {"kind": "shapes"},
        }
        route = {**ROUTE, "task": "text", "fallback": {"provider": "two"}}
        message = refused(write(providers=providers, routes=[route]))
        assert (
            "routes[0].fallback: nothing can match it: provider two does not serve text" in message
        )

    def test_fallback_of_another_vendor(self, write):
        """What a vendor alone can say has a fallback of that vendor only."""
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

    def test_fallback_without_time(self, write):
        """A fallback for calls without an answer is an error where the time-out leaves it no time,
        or where the operator forbids asking again what may be billed."""
        providers = {"eye": {"kind": "shapes"}, "two": {"kind": "shapes"}}
        hurried = {**ROUTE, "fallback": {"provider": "two"}, "deadline_ms": 20_000}
        message = refused(write(providers=providers, routes=[hurried]))
        assert (
            "providers.eye.timeout_ms (20000) leaves no time within routes[0].deadline_ms (20000)"
            in message
        )
        route = {**ROUTE, "fallback": {"provider": "two", "on": ["no_answer"]}}
        assert "billed_unknown: fail forbids" in refused(
            write(providers=providers, routes=[route], billed_unknown="fail")
        )
        file = write(
            providers=providers,
            routes=[{**route, "fallback": {"provider": "two"}}],
            billed_unknown="fail",
        )
        assert build(settings.read(file, {}), file)

    def test_more_cells_than_detections(self, write):
        """A shape with more cells than an answer holds detections is an error that names the
        limit."""
        eye = {"kind": "rekognition", "access_key": "a", "secret_key": "b"}
        route = {**ROUTE, "task": "text", "stages": [{"shape": "11x10"}]}
        message = refused(write(providers={"eye": eye}, routes=[route]))
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
    def test_calls(self, write, changes, key):
        """How often a provider is called, and when it is left alone, is named where it cannot
        be."""
        message = refused(write(providers={"eye": {"kind": "shapes", **changes}}))
        assert f"providers.eye.{key}: " in message

    def test_no_breaker(self, write):
        """A breaker can be switched off; without a word there is one, and no rate."""
        for given, breaker in (({"breaker": None}, None), ({}, BreakerOptions())):
            file = write(providers={"eye": {"kind": "shapes", **given}})
            assert build(settings.read(file, {}), file).providers["eye"].about.calls == CallLimits(
                None, breaker
            )

    @pytest.mark.parametrize(
        ("key", "value"), [("share", 1.5), ("delta", 0), ("agreement", -1), ("rate", 1)]
    )
    def test_watch(self, write, key, value):
        """What a route is watched by is named where it cannot be."""
        assert f"routes[0].watch.{key}" in refused(write(routes=[{**ROUTE, "watch": {key: value}}]))

    def test_shadowed(self, write):
        """A route that nothing can match, as an earlier one takes all of its requests, is an
        error."""
        assert "routes[1]: nothing can match it" in refused(
            write(routes=[ROUTE, {**ROUTE, "name": "again"}])
        )
        routes = [{**ROUTE, "tenants": ["shop"]}, {**ROUTE, "tenants": ["shop"], "name": "again"}]
        assert "routes[1]: nothing can match it" in refused(
            write(routes=routes, tenants=[SHOP, PRESS])
        )

    def test_several(self, write):
        """Routes of one task for different tenants, and one for the rest, are fine."""
        routes = [{**ROUTE, "tenants": ["shop"]}, {**ROUTE, "name": "rest"}]
        file = write(routes=routes, tenants=[SHOP, PRESS])
        assert list(build(settings.read(file, {}), file).routes) == ["objects", "rest"]

    def test_unsigned_webhook(self, write):
        """A tenant's webhook that nothing could sign is an error that says how to make a secret."""
        shop = {**SHOP, "webhook": {"url": "https://shop.example/hook"}}
        message = refused(write(tenants=[shop]))
        assert "tenants[0].webhook" in message
        assert "imgrid webhooks secret" in message
        assert "base64" in refused(write(tenants=[shop], webhooks={"secrets": ["whsec_%"]}))

    def test_same_name(self, write):
        """Two routes of the same name are an error."""
        routes = [{**ROUTE, "tenants": ["shop"], "name": "a"}, {**ROUTE, "name": "a"}]
        assert "another route 'a'" in refused(write(routes=routes, tenants=[SHOP, PRESS]))

    def test_unknown_tenant(self, write):
        """A route for a tenant that there is not, is an error."""
        assert "no tenant press" in refused(
            write(routes=[{**ROUTE, "tenants": ["press"]}], tenants=[SHOP])
        )


class TestTenants:
    @pytest.mark.parametrize(
        "listen", ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080", "example.org:80"]
    )
    def test_open_to_all(self, write, listen):
        """Without tenants it listens on loopback only, or it would spend money for anybody."""
        assert "tenants" in refused(write(listen=listen))
        assert settings.read(write(listen=listen, tenants=[SHOP]), {}).listen == listen
        assert "grpc.listen" in refused(write(grpc={"listen": listen}))
        assert (
            settings.read(write(grpc={"listen": listen}, tenants=[SHOP]), {}).grpc.listen == listen
        )

    @pytest.mark.parametrize("listen", ["127.0.0.1:1", "localhost:1", "[::1]:1"])
    def test_loopback(self, write, listen):
        """Loopback goes by several names."""
        assert settings.read(write(listen=listen), {}).port == 1

    def test_same_name(self, write):
        """Two tenants of the same name are an error."""
        assert "same name" in refused(write(tenants=[SHOP, SHOP]))

    @pytest.mark.parametrize(
        "second",
        [
            {"name": "twin", "keys": SHOP["keys"]},
            {
                "name": "twin",
                "keys": [{"dialect": "rekognition", "access_key": "AK", "secret_key": "other"}],
            },
        ],
        ids=["native", "rekognition"],
    )
    def test_same_key(self, write, second):
        """Two tenants with the same key are an error: one of them would never be recognised."""
        message = refused(write(tenants=[SHOP, PRESS, second]))
        assert "tenants[2].keys[0]" in message
        assert "key-shop" not in message

    @pytest.mark.parametrize(
        "key", [{}, {"dialect": "gopher", "key": "x"}, {"dialect": "native", "key": ""}]
    )
    def test_bad_key(self, write, key):
        """A key is of a dialect that is known here, and not empty."""
        assert "tenants[0].keys[0]" in refused(write(tenants=[{"name": "shop", "keys": [key]}]))

    def test_key_of_each_dialect(self, write):
        """A key opens its own dialect only: tenants may have the same word for different
        dialects."""
        keys = {"shop": "native", "press": "azure", "post": "google"}
        tenants = [
            {"name": name, "keys": [{"dialect": dialect, "key": "k"}]}
            for name, dialect in keys.items()
        ]
        file = write(tenants=tenants)
        bearer = build(settings.read(file, {}), file).keyring.bearer
        assert {name: bearer[digest(dialect, "k")].name for name, dialect in keys.items()} == {
            n: n for n in keys
        }

    def test_digest(self, write):
        """In a key's place may stand its digest, in hex of either case; one of both, and of the
        right length."""
        known = sha256_of("key-shop")
        for given in (known, known.upper()):
            file = write(
                tenants=[{"name": "shop", "keys": [{"dialect": "native", "sha256": given}]}]
            )
            ring = build(settings.read(file, {}), file).keyring
            assert (ring.holder("native", "key-shop").name, ring.holder("native", known)) == (
                "shop",
                None,
            )
        for key in (
            {},
            {"key": "k", "sha256": known},
            {"sha256": known[1:]},
            {"sha256": "key-shop"},
        ):
            message = refused(
                write(tenants=[{"name": "shop", "keys": [{"dialect": "native", **key}]}])
            )
            assert "tenants[0].keys[0]" in message
        twins = [SHOP, {"name": "twin", "keys": [{"dialect": "native", "sha256": known}]}]
        assert "tenants[1].keys[0]: the same native key" in refused(write(tenants=twins))

    def test_regions(self, write):
        """A key pair may be for some regions."""
        keys = [{**PRESS["keys"][0], "regions": ["eu-west-1"]}]
        file = write(tenants=[{"name": "press", "keys": keys}])
        assert build(settings.read(file, {}), file).keyring.pair("AK").regions == ("eu-west-1",)

    def test_no_keys(self, write):
        """A tenant without keys is an error, unless there is a key store, whose keys are the
        tenant's as well."""
        message = refused(write(tenants=[{"name": "shop"}]))
        assert "tenants[0].keys" in message
        assert "imgrid keys create" in message
        file = write(tenants=[{"name": "shop"}], key_store="keys.json", listen="0.0.0.0:80")
        ring = build(settings.read(file, {}), file).keyring
        assert (ring.open, ring.holder("native", "")) == (False, None)

    def test_store_without_tenants(self, write):
        """A key store without tenants is an error: the gateway would be open, whatever the file
        holds."""
        assert "key_store: there are no tenants" in refused(write(key_store="keys.json"))

    def test_broken_store(self, write, tmp_path):
        """A key store that is none, or holds a stranger's keys, stops the start with what to do."""
        file = write(tenants=[SHOP], key_store="keys.json")
        (tmp_path / "keys.json").write_text("{")
        assert f"{tmp_path / 'keys.json'} is no key store" in refused(file)
        stranger = {
            "id": "key_1",
            "tenant": "gone",
            "created": "2026-11-28T09:00:00Z",
            "dialect": "native",
            "sha256": sha256_of("k"),
        }
        (tmp_path / "keys.json").write_text(json.dumps({"bearer": [stranger]}))
        message = refused(file)
        assert "tenant 'gone'" in message
        assert "imgrid keys revoke key_1" in message

    def test_pools(self, write):
        """Only tenants who both agreed to share are in one pool."""
        file = write(tenants=[{**SHOP, "share": True}, PRESS])
        keyring = build(settings.read(file, {}), file).keyring
        (shop,), press = keyring.bearer.values(), keyring.pairs["AK"].tenant
        assert shop.pool == "shared"
        assert press.pool != shop.pool
        assert "sk-press" not in repr(keyring)


class TestNames:
    def test_own_files(self, write, tmp_path):
        """Files of names are looked for beside the config file, and go before the shipped ones."""
        (tmp_path / "own.yaml").write_text(
            "between: [coco, rekognition]\nnames:\n  - [couch, Settee]\n"
        )
        file = write(names=["own.yaml"])
        names = build(settings.read(file, {}), file).service.translator
        assert names.name_in("couch", "coco", "rekognition") == "Settee"
        assert names.name_in("tv", "coco", "google") == "Television"

    def test_bad_file(self, write, tmp_path):
        """What is wrong with one is told with the key, the file and the line."""
        (tmp_path / "own.yaml").write_text("between: [coco, imagenet]\nnames: []\n")
        message = refused(write(names=["own.yaml"]))
        assert "imgrid.yaml: names: " in message
        assert "own.yaml, line 1: between: there is no vocabulary 'imagenet'" in message


CLEAN = {"kind": "clean", "threshold": 0.2}
GROUPS = [{"shape": "2x2", "rule": CLEAN}, {"shape": "1x1"}]


class Judge(ScriptedProvider):
    """Serves every task."""

    def __init__(self):
        super().__init__(about=replace(about("eye"), tasks=frozenset(Task)))


def built(file):
    return build(settings.read(file, {}), file, providers={"eye": Judge()})


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
    def test_that_cannot_be(self, write, route, says):
        """Groups are for tasks that judge a whole picture, under rules clean; labels only where
        clients name them."""
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
    def test_modes(self, write, route, mode, groups):
        """A route knows how labels are come by, and at which stages its photos are cleared
        together."""
        (made,) = built(write(routes=[{**route, "provider": "eye"}])).routes.values()
        assert (made.labels, made.cascade.groups) == (mode, groups)
        assert made.positive == (0.5 if groups else None)

    def test_who_goes_in_groups(self, write):
        """Photos of which labels are wanted that are named; for moderation all."""
        listed = {"task": "labels", "labels": "listed", "provider": "eye", "stages": GROUPS}
        routes = built(
            write(routes=[listed, {"task": "moderation", "provider": "eye", "stages": GROUPS}])
        ).routes
        assert [routes["labels"].in_groups(wanted) for wanted in ((), ("cat",))] == [False, True]
        assert routes["moderation"].in_groups(())
