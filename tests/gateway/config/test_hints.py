"""A misspelt key, word or region is named with the likely one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import settings
from gateway.config.errors import ConfigError

ROUTE = {"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]}
CONFIG = {"providers": {"eye": {"kind": "shapes"}}, "routes": [ROUTE]}
SHOP_KEY = {"dialect": "rekognition", "access_key": "AK", "secret_key": "SK"}


def refusal(folder: Path, changes: dict[str, Any]) -> str:
    """The error for such a configuration, its providers' options included."""
    file = folder / "imgrid.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, **changes}))
    with pytest.raises(ConfigError) as error:
        settings.options_of(settings.read(file, {}), "eye", file)
    return str(error.value).removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"listn": "127.0.0.1:1"}, "listn: unknown key (did you mean listen?)"),
        (
            {"routes": [{**ROUTE, "max_wait": 5}]},
            "routes[0].max_wait: unknown key (did you mean max_wait_ms?)",
        ),
        (
            {"routes": [{**ROUTE, "stages": [{"shpae": "1x1"}]}]},
            "routes[0].stages[0].shpae: unknown key (did you mean shape?)",
        ),
        (
            {"providers": {"eye": {"kind": "rekognition", "regoin": "eu-west-1"}}},
            "providers.eye.regoin: unknown key (did you mean region?)",
        ),
    ],
)
def test_a_misspelt_key(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """An unknown key, of a provider's options too, is named with the one that is most like it."""
    assert message in refusal(tmp_path, changes)


@pytest.mark.parametrize(
    ("changes", "key", "meant"),
    [
        ({"routes": [{**ROUTE, "task": "object"}]}, "routes[0].task", "objects"),
        ({"routes": [{**ROUTE, "task": "Texts"}]}, "routes[0].task", "text"),
        ({"routes": [{**ROUTE, "merge": "fused"}]}, "routes[0].merge", "fuse"),
        ({"log_level": "warn"}, "log_level", "WARNING"),
        (
            {"tenants": [{"name": "shop", "keys": [{**SHOP_KEY, "dialect": "rekogniton"}]}]},
            "tenants[0].keys[0]",
            "rekognition",
        ),
        ({"providers": {"eye": {"kind": "rekogition"}}}, "providers.eye.kind", "rekognition"),
        ({"providers": {"eye": {"kind": "google", "transport": "grcp"}}}, "providers.eye", "grpc"),
    ],
)
def test_a_misspelt_word(tmp_path: Path, changes: dict[str, Any], key: str, meant: str) -> None:
    """A word that is none of those allowed is named with the one that is most like it."""
    message = refusal(tmp_path, changes)
    assert message.startswith(key)
    assert f"(did you mean {meant}?)" in message


def test_a_provider_without_a_kind(tmp_path: Path) -> None:
    """A provider without a kind is told which kinds there are."""
    message = refusal(tmp_path, {"providers": {"eye": {}}})
    assert "providers.eye.kind: write the kind" in message
    assert "rekognition" in message


@pytest.mark.parametrize("region", ["us-esat-1", "us-east1", "EU-WEST-1", "eu_west_1"])
def test_a_misspelt_region(tmp_path: Path, region: str) -> None:
    """A region that is none but resembles one is refused with that one: of a provider, of a store
    of photos, and of a tenant's keys."""
    provider = {"eye": {"kind": "rekognition", "region": region}}
    tenants = [{"name": "shop", "keys": [{**SHOP_KEY, "regions": [region]}]}]
    for changes in ({"providers": provider}, {"fetch": {"s3": {"region": region}}}):
        message = refusal(tmp_path, changes)
        assert f"there is no region '{region}' (did you mean " in message
    assert "tenants[0].keys[0].regions[0]" in refusal(tmp_path, {"tenants": tenants})


@pytest.mark.parametrize("region", ["eu-west-9", "us-gov-east-1", "eusc-de-east-1", "here"])
def test_other_regions_are_taken(tmp_path: Path, region: str) -> None:
    """A region that was opened later is taken, and so is the made-up one of a service with the same
    API."""
    file = tmp_path / "imgrid.yaml"
    provider = {"eye": {"kind": "rekognition", "region": region}}
    file.write_text(yaml.safe_dump({**CONFIG, "providers": provider}))
    assert settings.options_of(settings.read(file, {}), "eye", file)
