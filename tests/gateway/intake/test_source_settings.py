"""The config file says which folders are open, to which tenants, and how their stores are
reached."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.config.errors import ConfigError
from gateway.core.errors import SourceNotAllowed
from gateway.testing.gateway import parts_of
from tests.support.sources import (
    GS_PATH,
    MAX_BYTES,
    PHOTO,
    PRESS,
    S3_KEY,
    SHOP,
    StandInServer,
    http_reply,
)

CONFIG = {
    "providers": {"eye": {"kind": "shapes"}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "2x2"}]}],
}
TENANTS = [
    {"name": "shop", "keys": [{"dialect": "native", "key": "k1"}], "sources": ["s3://shop/"]},
    {"name": "press", "keys": [{"dialect": "native", "key": "k2"}], "sources": ["gs://shop/"]},
]


async def test_folders_and_stores_follow_the_config_file(
    tmp_path: Path, s3: Any, s3_endpoint: str, http_server: StandInServer
) -> None:
    """Each tenant reads from its own folders and the shared ones in S3, Cloud Storage and on the
    web, and from no other tenant's."""
    http_server.replies = {"/a.jpg": http_reply(b"web"), GS_PATH: http_reply(b"gs")}
    fetch = {
        "allow": ["127.0.0.0/8"],
        "sources": ["s3://shop2/"],
        "gs": {"endpoint": http_server.url},
        "s3": {"endpoint": s3_endpoint, **S3_KEY},
    }
    parts = parts_of(tmp_path, {**CONFIG, "tenants": TENANTS, "fetch": fetch})
    read = parts.network.sources.fetch
    assert await read("s3://shop/a.jpg", SHOP, MAX_BYTES) == PHOTO
    assert await read("s3://shop2/a.jpg", PRESS, MAX_BYTES) == b"secret"
    assert await read("gs://shop/a.jpg", PRESS, MAX_BYTES) == b"gs"
    assert await read(f"{http_server.url}/a.jpg", PRESS, MAX_BYTES) == b"web"
    for url, tenant in [
        ("s3://shop/a.jpg", PRESS),
        ("gs://shop/a.jpg", SHOP),
        ("s3://press/a.jpg", PRESS),
    ]:
        with pytest.raises(SourceNotAllowed):
            await read(url, tenant, MAX_BYTES)
    await parts.network.sources.close()
    await parts.network.guard.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"fetch": {"sources": ["s3://shop"]}},
            r"fetch\.sources\[0\]: 's3://shop' is no folder",
        ),
        (
            {"tenants": [{**TENANTS[0], "sources": ["shop/"]}]},
            r"tenants\[0\]\.sources\[0\]: 'shop/' is no folder",
        ),
        (
            {"fetch": {"s3": {"access_key": "AK"}}},
            r"fetch\.s3: access_key and secret_key go together",
        ),
        ({"fetch": {"s3": {"regoin": "x"}}}, "did you mean region"),
        ({"fetch": {"gs": {"endpoint": "here"}}}, r"fetch\.gs\.endpoint"),
    ],
)
def test_an_invalid_setting_is_named(
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    """The error for an invalid setting names its key."""
    with pytest.raises(ConfigError, match=message):
        parts_of(tmp_path, {**CONFIG, **changes})


@pytest.mark.parametrize(("scheme", "package"), [("s3", "boto3"), ("gs", "google.auth")])
def test_a_stores_package_is_needed_for_its_folders_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, package: str
) -> None:
    """The library of a store is needed only if a folder of that store is open."""
    monkeypatch.setitem(sys.modules, package, None)
    parts_of(tmp_path, CONFIG)
    with pytest.raises(ConfigError, match=rf"fetch\.{scheme}: .*; install the extra"):
        parts_of(tmp_path, {**CONFIG, "fetch": {"sources": [f"{scheme}://shop/"]}})
