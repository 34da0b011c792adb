"""Tenants, keys and name files of the configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config import settings
from gateway.security.keyring import digest, sha256_of
from gateway.wiring.parts import build
from tests.support.configs import PRESS, SHOP, refusal


class TestTenants:
    @pytest.mark.parametrize(
        "listen", ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080", "example.org:80"]
    )
    def test_other_addresses_than_loopback_need_tenants(
        self, write: Callable[..., Path], listen: str
    ) -> None:
        """Without tenants the gateway listens on loopback only, as it would spend money for
        anybody."""
        assert "tenants" in refusal(write(listen=listen))
        assert settings.read(write(listen=listen, tenants=[SHOP]), {}).listen == listen
        assert "grpc.listen" in refusal(write(grpc={"listen": listen}))
        assert (
            settings.read(write(grpc={"listen": listen}, tenants=[SHOP]), {}).grpc.listen == listen
        )

    @pytest.mark.parametrize("listen", ["127.0.0.1:1", "localhost:1", "[::1]:1"])
    def test_loopback_has_several_names(self, write: Callable[..., Path], listen: str) -> None:
        """Loopback has several names."""
        assert settings.read(write(listen=listen), {}).port == 1

    def test_two_tenants_of_the_same_name_are_refused(self, write: Callable[..., Path]) -> None:
        """Two tenants of the same name are an error."""
        assert "same name" in refusal(write(tenants=[SHOP, SHOP]))

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
    def test_two_tenants_with_the_same_key_are_refused(
        self, write: Callable[..., Path], second: dict[str, Any]
    ) -> None:
        """Two tenants with the same key are an error: the gateway would never recognise one of
        them."""
        message = refusal(write(tenants=[SHOP, PRESS, second]))
        assert "tenants[2].keys[0]" in message
        assert "key-shop" not in message

    @pytest.mark.parametrize(
        "key", [{}, {"dialect": "gopher", "key": "x"}, {"dialect": "native", "key": ""}]
    )
    def test_a_key_has_a_known_dialect_and_is_not_empty(
        self, write: Callable[..., Path], key: dict[str, str]
    ) -> None:
        """A key has a known dialect and is not empty."""
        assert "tenants[0].keys[0]" in refusal(write(tenants=[{"name": "shop", "keys": [key]}]))

    def test_tenants_may_have_the_same_key_in_different_dialects(
        self, write: Callable[..., Path]
    ) -> None:
        """A key is valid in its own dialect only, so tenants may have the same key in different
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

    def test_a_digest_may_replace_a_key(self, write: Callable[..., Path]) -> None:
        """A SHA-256 digest of the right length, in hex of either case, may replace a key; a key has
        one of the two."""
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
            message = refusal(
                write(tenants=[{"name": "shop", "keys": [{"dialect": "native", **key}]}])
            )
            assert "tenants[0].keys[0]" in message
        twins = [SHOP, {"name": "twin", "keys": [{"dialect": "native", "sha256": known}]}]
        assert "tenants[1].keys[0]: the same native key" in refusal(write(tenants=twins))

    def test_a_key_pair_may_be_limited_to_regions(self, write: Callable[..., Path]) -> None:
        """A key pair may be limited to some regions."""
        keys = [{**PRESS["keys"][0], "regions": ["eu-west-1"]}]
        file = write(tenants=[{"name": "press", "keys": keys}])
        assert build(settings.read(file, {}), file).keyring.pair("AK").regions == ("eu-west-1",)

    def test_a_tenant_without_keys_needs_a_key_store(self, write: Callable[..., Path]) -> None:
        """A tenant without keys is an error unless there is a key store, which holds the tenant's
        keys as well."""
        message = refusal(write(tenants=[{"name": "shop"}]))
        assert "tenants[0].keys" in message
        assert "imgrid keys create" in message
        file = write(tenants=[{"name": "shop"}], key_store="keys.json", listen="0.0.0.0:80")
        ring = build(settings.read(file, {}), file).keyring
        assert (ring.open, ring.holder("native", "")) == (False, None)

    def test_a_key_store_without_tenants_is_refused(self, write: Callable[..., Path]) -> None:
        """A key store without tenants is an error: the gateway would be open, whatever the file
        holds."""
        assert "key_store: there are no tenants" in refusal(write(key_store="keys.json"))

    def test_a_bad_key_store_stops_the_start(
        self, write: Callable[..., Path], tmp_path: Path
    ) -> None:
        """A file that is no key store, or holds a key of an unknown tenant, stops the start with an
        error that says what to do."""
        file = write(tenants=[SHOP], key_store="keys.json")
        (tmp_path / "keys.json").write_text("{")
        assert f"{tmp_path / 'keys.json'} is no key store" in refusal(file)
        stranger = {
            "id": "key_1",
            "tenant": "gone",
            "created": "2026-11-28T09:00:00Z",
            "dialect": "native",
            "sha256": sha256_of("k"),
        }
        (tmp_path / "keys.json").write_text(json.dumps({"bearer": [stranger]}))
        message = refusal(file)
        assert "tenant 'gone'" in message
        assert "imgrid keys revoke key_1" in message

    def test_only_tenants_that_agree_share_a_pool(self, write: Callable[..., Path]) -> None:
        """Only tenants that agree to share are in one pool."""
        file = write(tenants=[{**SHOP, "share": True}, PRESS])
        keyring = build(settings.read(file, {}), file).keyring
        (shop,), press = keyring.bearer.values(), keyring.pairs["AK"].tenant
        assert shop.pool == "shared"
        assert press.pool != shop.pool
        assert "sk-press" not in repr(keyring)


class TestNames:
    def test_name_files_beside_the_config_override_the_shipped_ones(
        self, write: Callable[..., Path], tmp_path: Path
    ) -> None:
        """Files of names are looked for beside the config file, and override the shipped ones."""
        (tmp_path / "own.yaml").write_text(
            "between: [coco, rekognition]\nnames:\n  - [couch, Settee]\n"
        )
        file = write(names=["own.yaml"])
        names = build(settings.read(file, {}), file).service.translator
        assert names.name_in("couch", "coco", "rekognition") == "Settee"
        assert names.name_in("tv", "coco", "google") == "Television"

    def test_the_error_for_a_bad_file_names_key_file_and_line(
        self, write: Callable[..., Path], tmp_path: Path
    ) -> None:
        """The error for a bad file of names says the key, the file and the line."""
        (tmp_path / "own.yaml").write_text("between: [coco, imagenet]\nnames: []\n")
        message = refusal(write(names=["own.yaml"]))
        assert "imgrid.yaml: names: " in message
        assert "own.yaml, line 1: between: there is no vocabulary 'imagenet'" in message
