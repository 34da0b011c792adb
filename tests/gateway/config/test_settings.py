"""The config file and the environment: every key has an effect, and errors name the bad one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gateway
from gateway.config import settings
from tests.support.configs import ROUTE, SHOP, refusal

ROOT = Path(gateway.__file__).parent.parent


class TestFile:
    def test_a_provider_and_a_route_are_enough(self, write: Callable[..., Path]) -> None:
        """A provider and a route are enough: the rest has defaults, and the gateway listens on
        loopback."""
        read = settings.read(write(), {})
        assert (read.host, read.port) == ("127.0.0.1", 8080)
        assert read.routes[0].max_wait_ms == 150

    def test_the_error_for_a_missing_file_says_how_to_write_one(self, tmp_path: Path) -> None:
        """The error for a missing file says how to write one."""
        message = refusal(tmp_path / "imgrid.yaml")
        assert str(tmp_path / "imgrid.yaml") in message
        assert "imgrid config example > imgrid.yaml" in message

    @pytest.mark.parametrize("text", ["- a\n- b", "a: [", "just words", "\x00", "a: \udcff"])
    def test_a_file_that_is_no_mapping_is_refused(self, tmp_path: Path, text: str) -> None:
        """A file that does not hold a mapping is refused, and the error names it."""
        file = tmp_path / "imgrid.yaml"
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert "imgrid.yaml" in refusal(file)

    def test_a_key_given_twice_is_refused(self, tmp_path: Path) -> None:
        """A key that stands twice in the file is an error that names it; the last one does not win
        silently."""
        file = tmp_path / "imgrid.yaml"
        file.write_text("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n")
        assert "'listen' stands twice" in refusal(file)

    def test_an_empty_section_keeps_its_defaults(self, write: Callable[..., Path]) -> None:
        """A section without content keeps its defaults."""
        file = write()
        file.write_text(file.read_text() + "tenants:\n")
        assert settings.read(file, {}).tenants == []

    @pytest.mark.parametrize("section", ["providers", "routes"])
    def test_a_provider_and_a_route_are_required(
        self, write: Callable[..., Path], section: str
    ) -> None:
        """A configuration without a provider or without a route is refused."""
        assert section in refusal(write(**{section: None}))

    @pytest.mark.parametrize(
        ("changes", "where", "meant"),
        [
            ({"listn": "x"}, "listn", "listen"),
            ({"routes": [{**ROUTE, "max_wait": 5}]}, "routes[0].max_wait", "max_wait_ms"),
            ({"buffer": {"max_photo": 5}}, "buffer.max_photo", "max_photos"),
            ({"tenants": [{**SHOP, "shared": True}]}, "tenants[0].shared", "share"),
        ],
    )
    def test_an_unknown_key_is_named_with_the_likely_one(
        self, write: Callable[..., Path], changes: dict[str, Any], where: str, meant: str
    ) -> None:
        """The error for an unknown key names its file and place, and the key that is probably
        meant."""
        file = write(**changes)
        message = refusal(file)
        assert f"{file}: {where}: unknown key" in message
        assert f"did you mean {meant}" in message

    def test_an_unknown_key_of_a_provider_is_named(self, write: Callable[..., Path]) -> None:
        """The error for an unknown key of a provider names its file and place."""
        file = write(providers={"eye": {"kind": "shapes", "latency": 5}})
        assert f"{file}: providers.eye.latency: unknown key" in refusal(file)

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
    def test_the_error_for_a_bad_value_names_its_key(
        self, write: Callable[..., Path], changes: dict[str, Any], says: str
    ) -> None:
        """The error for a value that makes no sense names its key or says what is expected."""
        file = write(**changes)
        message = refusal(file)
        assert str(file) in message
        assert says in message

    def test_the_root_config_is_the_packaged_example(self) -> None:
        """The config at the repository's root is the packaged example, and can be read."""
        text = (ROOT / "gateway" / "cli" / "examples" / "ocr.yaml").read_text()
        assert (ROOT / "imgrid.yaml").read_text() == text
        assert settings.read(ROOT / "imgrid.yaml", {}).routes

    def test_the_example_can_be_read_with_its_comments_uncommented(self, tmp_path: Path) -> None:
        """The YAML in the example's comments can be read once it is uncommented."""
        kept = []
        for line in (ROOT / "gateway" / "cli" / "examples" / "ocr.yaml").read_text().splitlines():
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
    def test_a_variable_overrides_the_file(self, write: Callable[..., Path]) -> None:
        """A variable overrides the file, also within lists and mappings."""
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

    def test_variables_add_a_tenant(self, write: Callable[..., Path]) -> None:
        """Variables can add what the file does not have, such as a tenant."""
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
    def test_plain_text_is_kept_and_quotes_make_text(
        self, write: Callable[..., Path], text: str, value: str | None
    ) -> None:
        """Plain text is kept as it is, with its comments; quotes make text of a value that YAML
        would read otherwise."""
        environment = {
            "IMGRID_TENANTS__0__NAME": "shop",
            "IMGRID_TENANTS__0__KEYS__0__DIALECT": "native",
            "IMGRID_TENANTS__0__KEYS__0__KEY": text,
        }
        if value is None:
            assert "IMGRID_TENANTS__0__KEYS__0" in refusal(write(), environment)
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
    def test_a_variable_for_an_unknown_key_is_refused(
        self, write: Callable[..., Path], name: str, key: str
    ) -> None:
        """A variable for an unknown key is an error that names it."""
        message = refusal(write(), {name: "5"})
        assert f"{key}: unknown key" in message
        assert (
            name in message or "eye" in message
        )  # a provider's own keys are read by the provider's kind

    def test_the_error_for_a_wrong_value_names_the_variable(
        self, write: Callable[..., Path]
    ) -> None:
        """The error for a value that does not fit names the variable, not the file."""
        message = refusal(write(), {"IMGRID_ROUTES__0__MAX_WAIT_MS": "soon"})
        assert message.startswith(
            "IMGRID_ROUTES__0__MAX_WAIT_MS in the environment: routes[0].max_wait_ms: "
        )

    @pytest.mark.parametrize(
        "name", ["IMGRID_ROUTES__7__MAX_WAIT_MS", "IMGRID_ROUTES__A", "IMGRID_THREADS__0"]
    )
    def test_a_variable_for_a_missing_place_is_named(
        self, write: Callable[..., Path], name: str
    ) -> None:
        """The error for a variable whose place does not exist names the variable."""
        assert name in refusal(write(), {name: "5"})

    def test_a_variable_that_is_no_yaml_is_named(self, write: Callable[..., Path]) -> None:
        """The error for a variable that is no YAML names the variable."""
        assert "IMGRID_LISTEN" in refusal(write(), {"IMGRID_LISTEN": "["})
