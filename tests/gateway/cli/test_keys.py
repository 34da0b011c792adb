"""`imgrid keys` creates keys that work with the real SDKs as shown, lists them, and revokes them
while a gateway runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from azure.ai.vision.imageanalysis.models import VisualFeatures
from google.cloud import vision
from typer.testing import CliRunner

from gateway.cli import main
from gateway.config.errors import ConfigError
from gateway.security import key_file
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from tests.support.configs import SHAPES
from tests.support.waiting import block_until

CONFIG = {
    **SHAPES,
    "tenants": [
        {"name": "shop"},
        {"name": "press", "keys": [{"dialect": "native", "key": "key-press"}]},
    ],
    "key_store": "keys.json",
}
PHOTO = encoded(drawn((200, 200), Block("red", 40, 40, 160, 160)), "JPEG")
DIALECTS = ("native", "azure", "google", "rekognition")


RunKeys = Callable[..., str]


@pytest.fixture
def keys(tmp_path: Path) -> RunKeys:
    """`keys(*words)`: the output of `imgrid keys` with a config of two tenants, or its error."""
    file = tmp_path / "imgrid.yaml"
    file.write_text(yaml.safe_dump(CONFIG))

    def run(*words: str, **changes: Any) -> str:
        if changes:
            file.write_text(yaml.safe_dump({**CONFIG, **changes}))
        result = CliRunner().invoke(
            main.app, ["keys", *words, "--config", str(file)], env={"COLUMNS": "200"}
        )
        if isinstance(result.exception, ConfigError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return run


class CreatedKey(NamedTuple):
    """The id and the key of a new key, and the output of the command."""

    id: str
    key: str
    output: str


def create(
    keys: RunKeys, dialect: str = "native", *options: str, tenant: str = "shop"
) -> CreatedKey:
    """A new key."""
    output = keys("create", "--tenant", tenant, "--dialect", dialect, *options)
    first, _, key, *_ = output.splitlines()
    return CreatedKey(first.split()[0], key, output)


class TestCreate:
    @pytest.mark.parametrize("dialect", DIALECTS)
    def test_a_new_key_is_shown_once_and_not_kept(
        self, keys: RunKeys, tmp_path: Path, dialect: str
    ) -> None:
        """A new key is shown once, and the store keeps nothing of a bearer key that could be
        sent."""
        key_id, key, output = create(keys, dialect)
        content = (tmp_path / "keys.json").read_text()
        (stored,) = key_file.read(tmp_path / "keys.json").all
        assert (stored.id, stored.tenant, stored.dialect, stored.expires) == (
            key_id,
            "shop",
            dialect,
            None,
        )
        assert (key in content, "kept in the clear in keys.json" in output) == (
            False,
            dialect == "rekognition",
        )
        for part in key.split():
            assert output.count(part) >= 2  # by itself, and in the lines to use
            assert part not in keys("list") or dialect == "rekognition"

    def test_no_two_keys_are_alike(self, keys: RunKeys) -> None:
        """No two keys are alike."""
        assert len({create(keys, tenant=tenant).key for tenant in ("shop", "shop", "press")}) == 3

    def test_two_keys_are_valid_and_a_third_is_refused(self, keys: RunKeys) -> None:
        """Two keys are valid at once, and the second names the command that revokes the first; a
        third is refused until one is revoked."""
        (first, *_), (_, _, output) = create(keys), create(keys)
        assert f"imgrid keys revoke {first}" in output
        with pytest.raises(
            ConfigError,
            match=f"shop has 2 valid keys of dialect native .* imgrid keys revoke {first}",
        ):
            create(keys)
        create(keys, "azure")
        create(keys, tenant="press")
        keys("revoke", first)
        create(keys)

    def test_a_key_in_the_config_counts_too(self, keys: RunKeys) -> None:
        """A key in the config counts as one of the two, and is removed there."""
        assert "remove tenants[1].keys[0] from the config" in create(keys, tenant="press").output
        with pytest.raises(ConfigError, match=r"remove tenants\[1\]\.keys\[0\] from the config"):
            create(keys, tenant="press")

    def test_an_expired_key_does_not_count(self, keys: RunKeys, tmp_path: Path) -> None:
        """An expired key does not count as one of the two."""
        create(keys)
        create(keys, "native", "--expires", "30d")
        text = (tmp_path / "keys.json").read_text()
        (tmp_path / "keys.json").write_text(re.sub(r'"expires": "\d+', '"expires": "2001', text))
        create(keys)
        assert keys("list").count("expired 2001-") == 1

    @pytest.mark.parametrize(
        ("expiry", "seconds"), [("30d", 30 * 86400), ("12h", 12 * 3600), ("45m", 45 * 60)]
    )
    def test_a_key_expires_after_days_hours_or_minutes(
        self, keys: RunKeys, tmp_path: Path, expiry: str, seconds: int
    ) -> None:
        """A key expires after a number of days, hours or minutes."""
        create(keys, "azure", "--expires", expiry)
        (stored,) = key_file.read(tmp_path / "keys.json").all
        assert (stored.expires - stored.created).total_seconds() == seconds

    @pytest.mark.parametrize("expiry", ["30", "d", "0d", "-1d", "1.5h", "1y", "999999d"])
    def test_the_error_for_a_bad_expiry_says_the_form(self, keys: RunKeys, expiry: str) -> None:
        """The error for a bad expiry says the right form."""
        with pytest.raises(ConfigError, match="30d, 12h or 45m"):
            create(keys, "native", f"--expires={expiry}")

    def test_only_key_pairs_have_regions(self, keys: RunKeys, tmp_path: Path) -> None:
        """A key pair may be limited to regions, the first of which is in the lines to use; other
        keys have none."""
        output = create(
            keys, "rekognition", "--region", "eu-west-1", "--region", "eu-central-1"
        ).output
        assert 'region_name="eu-west-1"' in output
        (stored,) = key_file.read(tmp_path / "keys.json").pairs
        assert stored.regions == ("eu-west-1", "eu-central-1")
        assert {"eu-west-1", "eu-central-1"} <= set(keys("list").split())
        with pytest.raises(ConfigError, match="azure has none"):
            create(keys, "azure", "--region", "eu-west-1")

    @pytest.mark.parametrize(
        ("listen", "url"),
        [
            ("127.0.0.1:9", "http://127.0.0.1:9"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::1]:8", "http://[::1]:8"),
        ],
    )
    def test_the_lines_to_use_name_the_gateways_address(
        self, keys: RunKeys, listen: str, url: str
    ) -> None:
        """The lines to use name the gateway's address as seen from its machine, or the given
        one."""
        assert f"'{url}/v1/detect" in keys(
            "create", "--tenant", "shop", "--dialect", "native", listen=listen
        )
        assert (
            "'https://vision.shop.example/v1/"
            in create(keys, "native", "--url", "https://vision.shop.example/").output
        )

    def test_the_error_for_an_unknown_tenant_names_the_known_ones(self, keys: RunKeys) -> None:
        """The error for an unknown tenant names the known ones."""
        with pytest.raises(
            ConfigError, match="no tenant 'shpo'; there are shop, press; add it to tenants"
        ):
            create(keys, tenant="shpo")

    @pytest.mark.parametrize(
        "words", [("list",), ("revoke", "key_1"), ("create", "--tenant=press", "--dialect=azure")]
    )
    def test_the_error_without_a_key_store_says_what_to_write(
        self, keys: RunKeys, words: tuple[str, ...]
    ) -> None:
        """The error without a key store in the config says what to write there."""
        with pytest.raises(ConfigError, match=r"`key_store: imgrid-keys\.json`"):
            keys(*words, key_store=None, tenants=CONFIG["tenants"][1:])

    @pytest.mark.parametrize(
        "words", [("list",), ("revoke", "key_1"), ("create", "--tenant=press", "--dialect=azure")]
    )
    def test_a_broken_key_store_is_named_and_left_alone(
        self, keys: RunKeys, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        """The error for a broken key store names it, and the file stays as it is."""
        (tmp_path / "keys.json").write_text("{")
        with pytest.raises(ConfigError, match=r"keys\.json is no key store"):
            keys(*words)
        assert (tmp_path / "keys.json").read_text() == "{"


class TestListAndRevoke:
    def test_all_keys_are_listed_without_secrets(self, keys: RunKeys) -> None:
        """All keys are listed, those of the config by their place there, with access keys but
        without secrets."""
        (first, *_), (second, pair, _) = (
            create(keys, "google", "--expires", "1d"),
            create(keys, "rekognition"),
        )
        listed = keys("list")
        rows = {
            line.split()[0]: line
            for line in listed.splitlines()
            if "shop" in line or "press" in line
        }
        assert list(rows) == ["tenants[1].keys[0]", first, second]
        assert "until 20" in rows[first]
        access_key, secret = pair.split()
        assert (access_key in rows[second], secret in listed, "key-press" in listed) == (
            True,
            False,
            False,
        )

    def test_a_revoked_key_is_gone(self, keys: RunKeys) -> None:
        """A revoked key is gone; the error for an unknown one says where to look."""
        key_id, *_ = create(keys)
        assert keys("revoke", key_id) == f"{key_id} is revoked.\n"
        assert key_id not in keys("list")
        with pytest.raises(ConfigError, match="imgrid keys list"):
            keys("revoke", key_id)
        with pytest.raises(ConfigError, match="remove it there"):
            keys("revoke", "tenants[1].keys[0]")


def client_of(output: str) -> Any:
    """The client that the Python lines in an output make."""
    scope: dict[str, Any] = {}
    lines = re.search(r"^(?:from|import) .*?^client = .*?\)$", output, re.MULTILINE | re.DOTALL)
    assert lines
    exec(lines[0], scope)
    return scope["client"]


class TestLive:
    def test_the_lines_shown_work_with_each_sdk_until_revoked(
        self, keys: RunKeys, tmp_path: Path
    ) -> None:
        """The lines shown work with each vendor's SDK at a gateway that is already running, until
        the key is revoked."""
        with serving(parts_of(tmp_path, CONFIG)) as url:
            created = {dialect: create(keys, dialect, "--url", url) for dialect in DIALECTS}

            def usage_status() -> int:
                return httpx.get(
                    f"{url}/v1/usage", headers={"X-Api-Key": created["native"].key}
                ).status_code

            block_until(lambda: usage_status() == 200)
            (curl,) = [
                shlex.split(line)
                for line in created["native"].output.splitlines()
                if line.startswith("curl ")
            ]
            assert curl[:4] == ["curl", "--data-binary", "@photo.jpg", "-H"]
            reply = httpx.post(curl[5], headers=[curl[4].split(": ")], content=PHOTO)
            assert [each["label"] for each in reply.json()["photos"][0]["detections"]] == ["red"]
            with closing(client_of(created["azure"].output)) as azure:
                assert (
                    azure.analyze(PHOTO, [VisualFeatures.OBJECTS]).objects.list[0].tags[0].name
                    == "red"
                )
            with client_of(created["google"].output) as google:
                annotations = google.object_localization(
                    image=vision.Image(content=PHOTO)
                ).localized_object_annotations
                assert [each.name for each in annotations] == ["red"]
            with closing(client_of(created["rekognition"].output)) as rekognition:
                assert (
                    rekognition.detect_labels(Image={"Bytes": PHOTO})["Labels"][0]["Name"] == "red"
                )
                for key_id, *_ in created.values():
                    keys("revoke", key_id)
                block_until(lambda: usage_status() == 401)
                with pytest.raises(
                    rekognition.exceptions.ClientError, match="UnrecognizedClientException"
                ):
                    rekognition.detect_labels(Image={"Bytes": PHOTO})

    def test_a_broken_store_is_reported_and_keys_stay_valid(
        self, keys: RunKeys, tmp_path: Path
    ) -> None:
        """Readiness reports a key store that breaks, and valid keys stay valid."""
        _, key, _ = create(keys)
        with serving(parts_of(tmp_path, CONFIG)) as url:
            assert httpx.get(f"{url}/readyz").json() == {"ready": True, "problems": {}}
            (tmp_path / "keys.json").write_text("{")
            shown = {"X-Api-Key": key}

            def problem(headers: dict[str, str]) -> str:
                problems = httpx.get(f"{url}/readyz", headers=headers).json()["problems"]
                return problems.get("keys", "")

            block_until(lambda: "no key store" in problem(shown))
            assert str(tmp_path) not in problem({})
            assert httpx.get(f"{url}/readyz").status_code == 200
            assert httpx.get(f"{url}/v1/usage", headers=shown).status_code == 200

    def test_an_expired_pair_is_refused_as_aws_does(self, keys: RunKeys, tmp_path: Path) -> None:
        """An expired key pair is refused as AWS refuses expired credentials, as boto3 reports
        it."""
        _, _, output = create(keys, "rekognition", "--expires", "1m")
        file = tmp_path / "keys.json"
        file.write_text(re.sub(r'"expires": "\d+', '"expires": "2001', file.read_text()))
        with serving(parts_of(tmp_path, CONFIG)) as url:
            client = client_of(re.sub(r"http://127.0.0.1:\d+", url, output))
            with closing(client), pytest.raises(client.exceptions.ClientError) as caught:
                client.detect_labels(Image={"Bytes": PHOTO})
        assert caught.value.response["Error"]["Code"] == "ExpiredTokenException"
