"""Keys: whose they are, the file that they are kept in, and a gateway that goes by the file as it
is now."""

from __future__ import annotations

import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
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
        dialect=dialect,
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


class Hand:
    """A clock that a test turns by hand."""

    def __init__(self):
        self.now = START.timestamp()

    def __call__(self):
        return self.now

    def turn(self, seconds: float = LOOK_EVERY_S) -> None:
        self.now += seconds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "imgrid-keys.json"


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def watch(file: Path, clock: Hand) -> KeyWatch:
    """The keys of the file, as a gateway with two tenants sees them."""
    return KeyWatch(file, TENANTS, clock)


def put(file: Path, *keys: BearerKey | PairKey) -> None:
    """The file holds these keys, and no others."""

    def work(_: Keys) -> Keys:
        store = Keys()
        for key in keys:
            store = store.with_key(key)
        return store

    key_file.change(file, work)


def opens(watch: KeyWatch, key: str, dialect: str = "native") -> Tenant | None:
    return watch.holder(digest(dialect, key))


class Counting(dict):
    """A mapping that counts its look-ups and refuses to be iterated."""

    asked = 0

    def get(self, key: Any, default: Any = None) -> Any:
        self.asked += 1
        return super().get(key, default)

    def __iter__(self) -> Any:
        raise AssertionError("looked through")

    items = values = keys = __iter__


class TestKeyring:
    def test_a_key_is_its_tenants_in_its_own_dialect(self) -> None:
        """A key belongs to its tenant in its own dialect, and to no tenant in another."""
        ring = Keyring({digest("native", "k"): SHOP, digest("azure", "k"): PRESS})
        assert [ring.holder(dialect, "k") for dialect in ("native", "azure", "google")] == [
            SHOP,
            PRESS,
            None,
        ]

    def test_a_digest_is_as_good_as_the_key(self) -> None:
        """A digest of the key, in hex as in `sha256sum`, is as good as the key."""
        known = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
        assert sha256_of("key") == known
        assert digest_of("google", known) == digest("google", "key")

    def test_every_key_costs_the_same_lookups(self, watch: KeyWatch, file: Path) -> None:
        """Every key costs one look-up in the config's keys and one in the store's, valid or not, so
        that the time reveals nothing."""
        put(file, bearer("stored"))
        config = Counting({digest("native", "first"): SHOP, digest("native", "last"): PRESS})
        watch.start()
        stored = Counting(watch._keys.bearer)
        watch._keys = watch._keys._replace(bearer=stored)
        ring = Keyring(config, store=watch)
        for count, (key, whose) in enumerate(
            {"first": SHOP, "last": PRESS, "stored": SHOP, "no": None}.items(), 1
        ):
            assert ring.holder("native", key) == whose
            assert (config.asked, stored.asked) == (count, count)

    def test_no_secret_is_printed(self) -> None:
        """The representations of keys contain no secret."""
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
    def test_a_key_has_its_clouds_length_and_letters(self, dialect: KeyDialect, form: str) -> None:
        """A key has the length and the letters of that cloud's own, without passing for one."""
        new_key = key_generate.generate(dialect, lambda alphabet, count: alphabet[-1] * count)
        assert re.fullmatch(form, new_key.key)
        assert len(new_key.secret) == (40 if dialect == KeyDialect.REKOGNITION else 0)

    @pytest.mark.parametrize("dialect", list(KeyDialect))
    def test_only_the_digest_of_a_bearer_key_is_stored(self, dialect: KeyDialect) -> None:
        """Of a bearer key only the digest is stored; of a pair both halves."""
        new_key = key_generate.generate(dialect, lambda alphabet, count: alphabet[:1] * count)
        stored = key_generate.stored_key(
            new_key, KeyTerms("key_1", "shop", START, None, ("eu-west-1",))
        )
        text = json.dumps(
            [stored.id, getattr(stored, "sha256", ""), getattr(stored, "secret_key", "")]
        )
        assert (new_key.key in text, bool(new_key.secret) and new_key.secret in text) == (
            False,
            dialect == "rekognition",
        )
        assert stored.dialect == dialect


class TestFile:
    def test_stored_keys_are_read_unchanged(self, file: Path) -> None:
        """Stored keys are read again unchanged."""
        keys = (
            bearer("k", "azure", expires=START + timedelta(days=30)),
            pair(regions=("eu-west-1",)),
        )
        put(file, *keys)
        assert key_file.read(file).all == keys

    def test_the_file_is_private_to_its_owner(self, file: Path) -> None:
        """The file is readable by its owner alone, whatever its mode was before, and so is the lock
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

    def test_changes_at_the_same_time_lose_nothing(self, file: Path) -> None:
        """Concurrent changes lose none of each other's keys, and every read finds the file
        whole."""
        put(file)
        with ThreadPoolExecutor(8) as pool:
            changing = [
                pool.submit(key_file.change, file, lambda keys, n=n: keys.with_key(bearer(f"k{n}")))
                for n in range(24)
            ]
            while not all(each.done() for each in changing):
                key_file.read(file)
        assert {key.id for key in key_file.read(file).all} == {f"key_k{n}" for n in range(24)}

    def test_a_failed_change_leaves_the_file_as_it_was(self, file: Path) -> None:
        """After a failed change the file is unchanged, and no other file is left beside it."""
        put(file, bearer())
        before = file.read_bytes()
        with pytest.raises(LookupError):
            key_file.change(file, lambda keys: keys.without("key_none"))
        with pytest.raises(TypeError):
            key_file.change(file, lambda _: object())
        assert file.read_bytes() == before
        assert len(list(file.parent.iterdir())) == 2

    def test_a_missing_folder_is_an_error_that_names_the_file(self, tmp_path: Path) -> None:
        """A missing folder is an error that names the file."""
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
    def test_a_broken_file_is_not_written_over(self, file: Path, content: bytes) -> None:
        """A file that is no key store is an error that names it, and is not written over."""
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
    def test_any_bytes_give_keys_or_a_store_error(
        self, tmp_path_factory: pytest.TempPathFactory, content: bytes
    ) -> None:
        """Reading a file of any bytes gives keys or a StoreError that names the file."""
        file = tmp_path_factory.mktemp("keys") / "keys.json"
        file.write_bytes(content)
        try:
            outcome = key_file.read(file).version
        except StoreError as error:
            outcome = str(file) in str(error)
        assert outcome

    @pytest.mark.parametrize(
        "twin", [{"id": "key_other"}, {"tenant": "press", "sha256": sha256_of("other")}]
    )
    def test_a_key_that_is_there_twice_is_an_error(self, file: Path, twin: dict[str, str]) -> None:
        """Two keys of one id, or the same key twice, are an error, because either could be
        meant."""
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
        """The file keeps its owner, also if another user changes it, because the gateway has to
        read it."""
        put(file, bearer())
        os.chown(file, 12345, 12345)
        put(file, bearer("k2"))
        assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12345)


class TestLive:
    def test_a_new_key_counts_and_a_revoked_one_does_not(
        self, watch: KeyWatch, file: Path, clock: Hand
    ) -> None:
        """A running gateway accepts a new key, and refuses a revoked one, a second later."""
        put(file, bearer("k1"))
        watch.start()
        assert (opens(watch, "k1"), opens(watch, "k2")) == (SHOP, None)
        put(file, bearer("k2", tenant="press"))
        clock.turn()
        assert (opens(watch, "k1"), opens(watch, "k2")) == (None, PRESS)

    def test_the_file_is_checked_once_a_second(
        self, watch: KeyWatch, file: Path, clock: Hand
    ) -> None:
        """The file is checked at most once a second, however many look-ups there are."""
        watch.start()
        assert watch.problem
        put(file, bearer())
        clock.turn(LOOK_EVERY_S * 0.9)
        assert opens(watch, "k1") is None
        clock.turn(LOOK_EVERY_S * 0.1)
        assert opens(watch, "k1") == SHOP

    def test_a_bearer_key_expires_on_time(self, watch: KeyWatch, file: Path, clock: Hand) -> None:
        """A bearer key opens nothing from the moment at which it expires."""
        put(file, bearer(expires=START + timedelta(seconds=30)))
        clock.turn(29)
        assert opens(watch, "k1") == SHOP
        clock.turn(1)
        assert opens(watch, "k1") is None

    def test_a_pair_comes_with_its_regions_and_expiry(self, watch: KeyWatch, file: Path) -> None:
        """A pair comes with its regions and its expiry, which the check of the signature
        applies."""
        put(file, pair(regions=("eu-west-1",), expires=START))
        assert watch.pair("AK") == KeyPair("SK", SHOP, ("eu-west-1",), START)
        assert watch.pair("other") is None

    @pytest.mark.parametrize("broken", ["{", "", None], ids=["broken", "empty", "gone"])
    def test_the_last_good_keys_outlive_a_broken_file(
        self,
        watch: KeyWatch,
        file: Path,
        clock: Hand,
        caplog: pytest.LogCaptureFixture,
        broken: str | None,
    ) -> None:
        """While the file is broken, empty or gone the last good keys stay, with one log line and a
        problem; a repaired file counts again."""
        put(file, bearer())
        watch.start()
        assert watch.problem == ""
        file.unlink() if broken is None else file.write_text(broken)
        for _ in range(3):
            clock.turn()
            assert opens(watch, "k1") == SHOP
        assert "imgrid-keys.json" in watch.problem
        assert "the last good keys stay valid" in watch.problem
        assert len(caplog.records) == 1
        put(file) if broken is None else file.write_text('{"version": 1}')
        clock.turn()
        assert (opens(watch, "k1"), watch.problem) == (None, "")

    def test_a_broken_file_stops_the_start(self, watch: KeyWatch, file: Path) -> None:
        """A gateway does not start with a broken file, because it has no last good keys."""
        file.write_text("{")
        with pytest.raises(StoreError, match="no key store"):
            watch.start()

    def test_a_missing_file_does_not_stop_the_start(self, watch: KeyWatch) -> None:
        """A gateway starts without a file, as the first key may come later, and reports the
        problem."""
        watch.start()
        assert opens(watch, "k1") is None
        assert "imgrid keys create" in watch.problem

    def test_a_key_of_an_unknown_tenant_opens_nothing(
        self, watch: KeyWatch, file: Path, clock: Hand
    ) -> None:
        """A key of an unknown tenant opens nothing, stops a start, and disturbs no other key of a
        running gateway; the message names the remedy."""
        put(file, bearer("k1"))
        watch.start()
        put(file, bearer("k2"), bearer("k3", tenant="gone"), pair(tenant="gone"))
        clock.turn()
        assert (opens(watch, "k1"), opens(watch, "k2"), opens(watch, "k3"), watch.pair("AK")) == (
            None,
            SHOP,
            None,
            None,
        )
        assert "imgrid keys revoke key_k3" in watch.problem
        with pytest.raises(StoreError, match="key_k3 is a key of tenant 'gone'"):
            KeyWatch(file, TENANTS, clock).start()

    def test_pairs_open_nothing_without_a_signer(self, file: Path, clock: Hand) -> None:
        """Without the package that verifies signatures, pairs open nothing; the message names the
        package."""
        put(file, pair(), bearer())
        watch = KeyWatch(file, TENANTS, clock, signing=False)
        assert (watch.pair("AK"), opens(watch, "k1")) == (None, SHOP)
        assert "imgrid-gateway[rekognition]" in watch.problem
