"""Keys have holders, are kept in a file, and a running gateway follows the file."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Tenant
from gateway.security import key_file, key_generate
from gateway.security.key_dialects import KeyDialect
from gateway.security.key_file import BearerKey, Keys, PairKey, StoreError
from gateway.security.key_generate import KeyTerms
from gateway.security.key_watch import LOOK_EVERY_S, KeyWatch
from gateway.security.keyring import KeyPair, Keyring, digest, digest_of, sha256_of
from tests.support.clocks import HandClock

SHOP, PRESS = Tenant("shop", "tenant:shop"), Tenant("press", "tenant:press")
TENANTS = {"shop": SHOP, "press": PRESS}
START = datetime(2026, 11, 28, 9, tzinfo=UTC)


def bearer(
    key: str = "k1", dialect: str = "native", tenant: str = "shop", **more: Any
) -> BearerKey:
    return BearerKey(
        id=f"key_{key}",
        tenant=tenant,
        created=START,
        dialect=KeyDialect(dialect),
        sha256=sha256_of(key),
        **more,
    )


def pair(access_key: str = "AK", tenant: str = "shop", **more: Any) -> PairKey:
    return PairKey(
        id=f"key_{access_key}",
        tenant=tenant,
        created=START,
        access_key=access_key,
        secret_key="SK",
        **more,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "imgrid-keys.json"


@pytest.fixture
def clock() -> HandClock:
    return HandClock(START.timestamp())


@pytest.fixture
def key_watch(file: Path, clock: HandClock) -> KeyWatch:
    """The keys of the file, as a gateway with two tenants sees them."""
    return KeyWatch(file, TENANTS, clock)


def put(file: Path, *stored: BearerKey | PairKey) -> None:
    """Makes these keys the file's only ones."""

    def only_these(_: Keys) -> Keys:
        keys = Keys()
        for key in stored:
            keys = keys.with_key(key)
        return keys

    key_file.change(file, only_these)


def holder(keys: KeyWatch, key: str) -> Tenant | None:
    """The tenant for which a native key is valid, without the key's name."""
    tenant = keys.holder(digest("native", key))
    return tenant and replace(tenant, key="")


class LookupCounter(dict[Any, Any]):
    """A mapping that counts its lookups, and must not be iterated over."""

    lookups = 0

    def get(self, key: Any, default: Any = None) -> Any:
        self.lookups += 1
        return super().get(key, default)

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("iterated over")

    items = values = keys = __iter__


class TestKeyring:
    def test_a_key_is_valid_in_its_own_dialect(self) -> None:
        """A key belongs to its tenant in its own dialect, and to nobody in another."""
        ring = Keyring({digest("native", "k"): SHOP, digest("azure", "k"): PRESS})
        assert [ring.holder(dialect, "k") for dialect in ("native", "azure", "google")] == [
            SHOP,
            PRESS,
            None,
        ]

    def test_a_digest_is_as_good_as_its_key(self) -> None:
        """A digest of the key, in hex as from `sha256sum`, is as good as the key."""
        known = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
        assert sha256_of("key") == known
        assert digest_of("google", known) == digest("google", "key")

    def test_every_key_costs_the_same_lookups(self, key_watch: KeyWatch, file: Path) -> None:
        """Every key, valid or not, costs one lookup in the config's keys and one in the store's, so
        that the time reveals nothing."""
        put(file, bearer("stored"))
        config = LookupCounter({digest("native", "first"): SHOP, digest("native", "last"): PRESS})
        key_watch.start()
        stored = LookupCounter(key_watch._keys.bearer)
        in_store = replace(SHOP, key="key_stored")
        key_watch._keys = key_watch._keys._replace(bearer=stored)
        ring = Keyring(config, store=key_watch)
        for count, (key, tenant) in enumerate(
            {"first": SHOP, "last": PRESS, "stored": in_store, "no": None}.items(), 1
        ):
            assert ring.holder("native", key) == tenant
            assert (config.lookups, stored.lookups) == (count, count)

    def test_nothing_printed_shows_a_secret(self) -> None:
        """Nothing that is printed shows a secret."""
        ring = Keyring({}, {"AK": KeyPair("sk-secret", SHOP)})
        assert "sk-secret" not in repr(ring)
        assert "SK" not in f"{pair()!r} {pair().__rich_repr__()}"


class TestNewKeys:
    @pytest.mark.parametrize(
        ("dialect", "form"),
        [
            (KeyDialect.NATIVE, r"imgrid_[A-Za-z0-9]{40}"),
            (KeyDialect.AZURE, r"[0-9a-f]{32}"),
            (KeyDialect.GOOGLE, r"ImGr[A-Za-z0-9]{35}"),
            (KeyDialect.REKOGNITION, r"IMGR[A-Z2-7]{16}"),
        ],
    )
    def test_a_new_key_has_its_clouds_length_and_letters(
        self, dialect: KeyDialect, form: str
    ) -> None:
        """A new key has the length and the letters of that cloud's own keys, without passing for
        one."""
        new = key_generate.generate(dialect, lambda alphabet, count: alphabet[-1] * count)
        assert re.fullmatch(form, new.key)
        assert len(new.secret) == (40 if dialect == KeyDialect.REKOGNITION else 0)

    @pytest.mark.parametrize("dialect", list(KeyDialect))
    def test_only_the_digest_of_a_bearer_key_is_kept(self, dialect: KeyDialect) -> None:
        """Only the digest is kept of a key that is sent as it is; of a pair, which is not, the
        secret is kept too."""
        new = key_generate.generate(dialect, lambda alphabet, count: alphabet[:1] * count)
        stored = key_generate.stored_key(
            new, KeyTerms("key_1", "shop", START, None, ("eu-west-1",))
        )
        text = json.dumps(
            [stored.id, getattr(stored, "sha256", ""), getattr(stored, "secret_key", "")]
        )
        assert (new.key in text, bool(new.secret) and new.secret in text) == (
            False,
            dialect == "rekognition",
        )
        assert stored.dialect == dialect


class TestFile:
    def test_keys_are_read_as_they_were_written(self, file: Path) -> None:
        """Keys are read as they were written."""
        keys = (
            bearer("k", "azure", expires=START + timedelta(days=30)),
            pair(regions=("eu-west-1",)),
        )
        put(file, *keys)
        assert key_file.read(file).all == keys

    def test_the_file_is_private_to_its_owner(self, file: Path) -> None:
        """The file is readable by its owner alone, whatever it was before, and so is the lock
        beside it."""
        file.write_text('{"version": 1}')
        file.chmod(0o666)
        put(file, bearer())
        assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}
        assert len(list(file.parent.iterdir())) == 2

    def test_a_link_to_the_file_stays_a_link(self, file: Path, tmp_path: Path) -> None:
        """A link to the file stays a link, and its target is changed."""
        (tmp_path / "real").mkdir()
        file.symlink_to(tmp_path / "real" / "keys.json")
        put(file, bearer())
        assert file.is_symlink()
        assert key_file.read(tmp_path / "real" / "keys.json").all == (bearer(),)

    def test_simultaneous_changes_are_all_kept(self, file: Path) -> None:
        """Simultaneous changes are all kept, and every read meanwhile finds a whole file."""
        put(file)
        with ThreadPoolExecutor(8) as pool:
            changes = [
                pool.submit(key_file.change, file, lambda keys, n=n: keys.with_key(bearer(f"k{n}")))
                for n in range(24)
            ]
            while not all(each.done() for each in changes):
                key_file.read(file)
        assert {key.id for key in key_file.read(file).all} == {f"key_k{n}" for n in range(24)}

    def test_a_failed_change_leaves_the_file_as_it_was(self, file: Path) -> None:
        """A failed change leaves the file as it was, and nothing beside it but the lock."""
        put(file, bearer())
        before = file.read_bytes()
        with pytest.raises(LookupError):
            key_file.change(file, lambda keys: keys.without("key_none"))
        with pytest.raises(TypeError):
            key_file.change(file, lambda _: object())
        assert file.read_bytes() == before
        assert len(list(file.parent.iterdir())) == 2

    def test_the_error_for_a_missing_folder_names_the_file(self, tmp_path: Path) -> None:
        """The error for a missing folder names the file."""
        with pytest.raises(StoreError, match=r"none/keys.json cannot be changed: No such file"):
            put(tmp_path / "none" / "keys.json")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"\xff",
            b'{"version": 2}',
            b'{"keys": []}',
            b"[" * 100_000,
            b'{"bearer": [{"id": "a", "tenant": "shop", "created": "2026-11-28T09:00:00", '
            b'"dialect": "native"}]}',
            b'{"pairs": [{"id": "a", "tenant": "shop", "created": "2026-11-28T09:00:00Z", '
            b'"access_key": "A"}]}',
        ],
    )
    def test_a_file_that_is_no_key_store_is_left_alone(self, file: Path, content: bytes) -> None:
        """The error for a file that is no key store names it, and the file is not overwritten."""
        file.write_bytes(content)
        with pytest.raises(StoreError, match=r"imgrid-keys.json is no key store"):
            put(file, bearer())
        assert file.read_bytes() == content

    @given(
        st.binary(max_size=60)
        | st.recursive(st.none() | st.text(max_size=5), st.lists).map(
            lambda v: json.dumps(v).encode()
        )
    )
    def test_any_bytes_are_keys_or_an_error(
        self, tmp_path_factory: pytest.TempPathFactory, content: bytes
    ) -> None:
        """Reading a file of any bytes gives keys, or an error that names the file."""
        file = tmp_path_factory.mktemp("keys") / "keys.json"
        file.write_bytes(content)
        try:
            is_expected = bool(key_file.read(file).version)
        except StoreError as error:
            is_expected = str(file) in str(error)
        assert is_expected

    @pytest.mark.parametrize(
        "twin", [{"id": "key_other"}, {"tenant": "press", "sha256": sha256_of("other")}]
    )
    def test_a_double_id_or_key_is_an_error(self, file: Path, twin: dict[str, str]) -> None:
        """Two keys of one id, or one key twice, are an error, because chance would decide between
        them."""
        plain = {
            "id": "key_k1",
            "tenant": "shop",
            "created": "2026-11-28T09:00:00Z",
            "dialect": "native",
            "sha256": sha256_of("k1"),
        }
        file.write_text(json.dumps({"version": 1, "bearer": [plain, {**plain, **twin}]}))
        with pytest.raises(StoreError, match="twice"):
            key_file.read(file)

    @pytest.mark.skipif(
        os.name != "posix" or os.geteuid() != 0, reason="only root can hand files over"
    )
    def test_the_file_keeps_its_owner(self, file: Path) -> None:
        """The file keeps its owner when another user changes it, because the gateway has to read
        it."""
        put(file, bearer())
        os.chown(file, 12345, 12345)
        put(file, bearer("k2"))
        assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12345)


class TestLive:
    def test_a_running_gateway_follows_new_and_revoked_keys(
        self, key_watch: KeyWatch, file: Path, clock: HandClock
    ) -> None:
        """After a second a running gateway accepts a new key, and refuses a revoked one."""
        put(file, bearer("k1"))
        key_watch.start()
        assert (holder(key_watch, "k1"), holder(key_watch, "k2")) == (SHOP, None)
        put(file, bearer("k2", tenant="press"))
        clock.now += LOOK_EVERY_S
        assert (holder(key_watch, "k1"), holder(key_watch, "k2")) == (None, PRESS)

    def test_a_tenant_comes_with_the_name_of_its_key(self, key_watch: KeyWatch, file: Path) -> None:
        """What is asked by a key is charged under its id."""
        put(file, bearer("k1"), pair())
        key_watch.start()
        tenant, key_pair = key_watch.holder(digest("native", "k1")), key_watch.pair("AK")
        assert tenant == replace(SHOP, key="key_k1")
        assert key_pair is not None
        assert key_pair.tenant == replace(SHOP, key="key_AK")

    def test_the_file_is_looked_at_once_a_second(
        self, key_watch: KeyWatch, file: Path, clock: HandClock
    ) -> None:
        """The file is looked at once a second at most, however many keys are checked."""
        key_watch.start()
        assert key_watch.problem
        put(file, bearer())
        clock.now += LOOK_EVERY_S * 0.9
        assert holder(key_watch, "k1") is None
        clock.now += LOOK_EVERY_S * 0.1
        assert holder(key_watch, "k1") == SHOP

    def test_a_bearer_key_is_invalid_from_its_expiry_on(
        self, key_watch: KeyWatch, file: Path, clock: HandClock
    ) -> None:
        """A key that is sent as it is opens nothing from the moment of its expiry."""
        put(file, bearer(expires=START + timedelta(seconds=30)))
        clock.now += 29
        assert holder(key_watch, "k1") == SHOP
        clock.now += 1
        assert holder(key_watch, "k1") is None

    def test_a_pair_comes_with_regions_and_expiry(self, key_watch: KeyWatch, file: Path) -> None:
        """A pair comes with its regions and its expiry, which the check of the signature judges."""
        put(file, pair(regions=("eu-west-1",), expires=START))
        tenant = replace(SHOP, key="key_AK")
        assert key_watch.pair("AK") == KeyPair("SK", tenant, ("eu-west-1",), START)
        assert key_watch.pair("other") is None

    @pytest.mark.parametrize("broken", ["{", "", None], ids=["broken", "empty", "gone"])
    def test_the_last_good_keys_outlive_a_broken_file(
        self,
        key_watch: KeyWatch,
        file: Path,
        clock: HandClock,
        caplog: pytest.LogCaptureFixture,
        broken: str | None,
    ) -> None:
        """When the file is broken, empty or gone the last good keys stay valid, which is logged
        once and shown as a problem; a repaired file counts again."""
        put(file, bearer())
        key_watch.start()
        assert key_watch.problem == ""
        file.unlink() if broken is None else file.write_text(broken)
        for _ in range(3):
            clock.now += LOOK_EVERY_S
            assert holder(key_watch, "k1") == SHOP
        assert "imgrid-keys.json" in key_watch.problem
        assert "the last good keys stay valid" in key_watch.problem
        assert len(caplog.records) == 1
        put(file) if broken is None else file.write_text('{"version": 1}')
        clock.now += LOOK_EVERY_S
        assert (holder(key_watch, "k1"), key_watch.problem) == (None, "")

    def test_a_broken_file_stops_the_start(self, key_watch: KeyWatch, file: Path) -> None:
        """A gateway does not start with a broken file, because there are no last good keys."""
        file.write_text("{")
        with pytest.raises(StoreError, match="no key store"):
            key_watch.start()

    def test_a_gateway_starts_without_a_file(self, key_watch: KeyWatch) -> None:
        """A gateway starts without a file, because the first key may come later, and its problem
        says how to create one."""
        key_watch.start()
        assert holder(key_watch, "k1") is None
        assert "imgrid keys create" in key_watch.problem

    def test_a_key_of_an_unknown_tenant_opens_nothing(
        self, key_watch: KeyWatch, file: Path, clock: HandClock
    ) -> None:
        """A key of a tenant that the config does not name opens nothing, stops a start, and leaves
        a running gateway its other keys; the message says how to revoke it."""
        put(file, bearer("k1"))
        key_watch.start()
        put(file, bearer("k2"), bearer("k3", tenant="gone"), pair(tenant="gone"))
        clock.now += LOOK_EVERY_S
        assert (
            holder(key_watch, "k1"),
            holder(key_watch, "k2"),
            holder(key_watch, "k3"),
            key_watch.pair("AK"),
        ) == (
            None,
            SHOP,
            None,
            None,
        )
        assert "imgrid keys revoke key_k3" in key_watch.problem
        with pytest.raises(StoreError, match="key_k3 is a key of tenant 'gone'"):
            KeyWatch(file, TENANTS, clock).start()

    def test_pairs_open_nothing_without_signature_checks(
        self, file: Path, clock: HandClock
    ) -> None:
        """Without the package that verifies signatures, pairs open nothing; the message says what
        to install."""
        put(file, pair(), bearer())
        key_watch = KeyWatch(file, TENANTS, clock, "install botocore")
        assert (key_watch.pair("AK"), holder(key_watch, "k1")) == (None, SHOP)
        assert key_watch.problem == "install botocore"
