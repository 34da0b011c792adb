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


def bearer(key="k1", dialect="native", tenant="shop", **more):
    return BearerKey(
        id=f"key_{key}",
        tenant=tenant,
        created=START,
        dialect=dialect,
        sha256=sha256_of(key),
        **more,
    )


def pair(access_key="AK", tenant="shop", **more):
    return PairKey(
        id=f"key_{access_key}",
        tenant=tenant,
        created=START,
        access_key=access_key,
        secret_key="SK",
        **more,
    )


class Hand:
    """A clock that is turned by hand."""

    def __init__(self):
        self.now = START.timestamp()

    def __call__(self):
        return self.now

    def turn(self, seconds=LOOK_EVERY_S):
        self.now += seconds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "imgrid-keys.json"


@pytest.fixture
def clock() -> Any:
    return Hand()


@pytest.fixture
def live(file: Path, clock: Any) -> KeyWatch:
    """The keys of the file, as a gateway with two tenants sees them."""
    return KeyWatch(file, TENANTS, clock)


def put(file, *keys):
    """The file holds these keys, and no others."""

    def work(_):
        made = Keys()
        for key in keys:
            made = made.with_key(key)
        return made

    key_file.change(file, work)


def opens(live, key, dialect="native"):
    return live.holder(digest(dialect, key))


class Counting(dict):
    """A mapping that counts how often it is asked, and that nobody may look through."""

    asked = 0

    def get(self, key, default=None):
        self.asked += 1
        return super().get(key, default)

    def __iter__(self):
        raise AssertionError("looked through")

    items = values = keys = __iter__


class TestKeyring:
    def test_holder(self) -> None:
        """A key is its tenant's in its own dialect, and nobody's in another."""
        ring = Keyring({digest("native", "k"): SHOP, digest("azure", "k"): PRESS})
        assert [ring.holder(dialect, "k") for dialect in ("native", "azure", "google")] == [
            SHOP,
            PRESS,
            None,
        ]

    def test_digest(self) -> None:
        """A digest of the key, in hex as in `sha256sum`, is as good as the key."""
        known = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
        assert sha256_of("key") == known
        assert digest_of("google", known) == digest("google", "key")

    def test_one_lookup(self, live: KeyWatch, file: Path) -> None:
        """A key costs as many lookups, one in the config's keys and one in the store's, whosever it
        is and if it is nobody's: how long that takes tells nothing."""
        put(file, bearer("stored"))
        config = Counting({digest("native", "first"): SHOP, digest("native", "last"): PRESS})
        live.start()
        stored = Counting(live._keys.bearer)
        live._keys = live._keys._replace(bearer=stored)
        ring = Keyring(config, store=live)
        for count, (key, whose) in enumerate(
            {"first": SHOP, "last": PRESS, "stored": SHOP, "no": None}.items(), 1
        ):
            assert ring.holder("native", key) == whose
            assert (config.asked, stored.asked) == (count, count)

    def test_secret(self) -> None:
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
    def test_form(self, dialect: KeyDialect, form: str) -> None:
        """A key has the length and the letters of that cloud's own, without passing for one."""
        made = key_generate.generate(dialect, lambda alphabet, count: alphabet[-1] * count)
        assert re.fullmatch(form, made.key)
        assert len(made.secret) == (40 if dialect == KeyDialect.REKOGNITION else 0)

    @pytest.mark.parametrize("dialect", list(KeyDialect))
    def test_stored(self, dialect: KeyDialect) -> None:
        """Of what is sent as it is only the digest is kept; of a pair both halves."""
        made = key_generate.generate(dialect, lambda alphabet, count: alphabet[:1] * count)
        stored = key_generate.stored_key(
            made, KeyTerms("key_1", "shop", START, None, ("eu-west-1",))
        )
        text = json.dumps(
            [stored.id, getattr(stored, "sha256", ""), getattr(stored, "secret_key", "")]
        )
        assert (made.key in text, bool(made.secret) and made.secret in text) == (
            False,
            dialect == "rekognition",
        )
        assert stored.dialect == dialect


class TestFile:
    def test_round_trip(self, file: Path) -> None:
        """What is kept is read again as it was."""
        keys = (
            bearer("k", "azure", expires=START + timedelta(days=30)),
            pair(regions=("eu-west-1",)),
        )
        put(file, *keys)
        assert key_file.read(file).all == keys

    def test_private(self, file: Path) -> None:
        """The file is its owner's alone, whatever it was before, and so is the lock beside it."""
        file.write_text('{"version": 1}')
        file.chmod(0o666)
        put(file, bearer())
        assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}
        assert len(list(file.parent.iterdir())) == 2

    def test_link(self, file: Path, tmp_path: Path) -> None:
        """A link to the file stays one: what it leads to is changed."""
        (tmp_path / "real").mkdir()
        file.symlink_to(tmp_path / "real" / "keys.json")
        put(file, bearer())
        assert file.is_symlink()
        assert key_file.read(tmp_path / "real" / "keys.json").all == (bearer(),)

    def test_at_the_same_time(self, file: Path) -> None:
        """Many who change it at once lose nothing of each other's, and who reads it finds it whole
        each time."""
        put(file)
        with ThreadPoolExecutor(8) as pool:
            changing = [
                pool.submit(key_file.change, file, lambda keys, n=n: keys.with_key(bearer(f"k{n}")))
                for n in range(24)
            ]
            while not all(each.done() for each in changing):
                key_file.read(file)
        assert {key.id for key in key_file.read(file).all} == {f"key_k{n}" for n in range(24)}

    def test_nothing_half(self, file: Path) -> None:
        """Where the change fails the file is what it was, and nothing is left beside it."""
        put(file, bearer())
        before = file.read_bytes()
        with pytest.raises(LookupError):
            key_file.change(file, lambda keys: keys.without("key_none"))
        with pytest.raises(TypeError):
            key_file.change(file, lambda _: object())
        assert file.read_bytes() == before
        assert len(list(file.parent.iterdir())) == 2

    def test_no_folder(self, tmp_path: Path) -> None:
        """A folder that is not there is an error that names the file."""
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
    def test_broken(self, file: Path, content: bytes) -> None:
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
    def test_any_bytes(self, tmp_path_factory, content) -> None:
        """Whatever the file holds, reading it gives keys or that error."""
        file = tmp_path_factory.mktemp("keys") / "keys.json"
        file.write_bytes(content)
        try:
            told = key_file.read(file).version
        except StoreError as error:
            told = str(file) in str(error)
        assert told

    @pytest.mark.parametrize(
        "twin", [{"id": "key_other"}, {"tenant": "press", "sha256": sha256_of("other")}]
    )
    def test_twice(self, file: Path, twin: dict[str, str]) -> None:
        """Two keys of one id, or the same key twice, are an error: of which would be a matter of
        luck."""
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
    def test_owner(self, file: Path) -> None:
        """The file stays its owner's, also where somebody else may change it: the gateway has to
        read it."""
        put(file, bearer())
        os.chown(file, 12345, 12345)
        put(file, bearer("k2"))
        assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12345)


class TestLive:
    def test_made_and_revoked(self, live: KeyWatch, file: Path, clock: Any) -> None:
        """A running gateway takes a key that is made, and no more one that is revoked, a second
        later."""
        put(file, bearer("k1"))
        live.start()
        assert (opens(live, "k1"), opens(live, "k2")) == (SHOP, None)
        put(file, bearer("k2", tenant="press"))
        clock.turn()
        assert (opens(live, "k1"), opens(live, "k2")) == (None, PRESS)

    def test_looks_once_a_second(self, live: KeyWatch, file: Path, clock: Any) -> None:
        """However often it is asked, it looks at the file at most once a second."""
        live.start()
        assert live.problem
        put(file, bearer())
        clock.turn(LOOK_EVERY_S * 0.9)
        assert opens(live, "k1") is None
        clock.turn(LOOK_EVERY_S * 0.1)
        assert opens(live, "k1") == SHOP

    def test_expires(self, live: KeyWatch, file: Path, clock: Any) -> None:
        """A key that is sent as it is opens nothing from the moment on at which it expires."""
        put(file, bearer(expires=START + timedelta(seconds=30)))
        clock.turn(29)
        assert opens(live, "k1") == SHOP
        clock.turn(1)
        assert opens(live, "k1") is None

    def test_pairs(self, live: KeyWatch, file: Path) -> None:
        """A pair comes with where and until when it is good, which is for the signature's check to
        say."""
        put(file, pair(regions=("eu-west-1",), expires=START))
        assert live.pair("AK") == KeyPair("SK", SHOP, ("eu-west-1",), START)
        assert live.pair("other") is None

    @pytest.mark.parametrize("broken", ["{", "", None], ids=["broken", "empty", "gone"])
    def test_broken(
        self,
        live: KeyWatch,
        file: Path,
        clock: Any,
        caplog: pytest.LogCaptureFixture,
        broken: str | None,
    ) -> None:
        """Where the file is broken, empty or gone the last good keys stay, which is logged once and
        told; when it is well again it counts again."""
        put(file, bearer())
        live.start()
        assert live.problem == ""
        file.unlink() if broken is None else file.write_text(broken)
        for _ in range(3):
            clock.turn()
            assert opens(live, "k1") == SHOP
        assert "imgrid-keys.json" in live.problem
        assert "the last good keys stay valid" in live.problem
        assert len(caplog.records) == 1
        put(file) if broken is None else file.write_text('{"version": 1}')
        clock.turn()
        assert (opens(live, "k1"), live.problem) == (None, "")

    def test_broken_start(self, live: KeyWatch, file: Path) -> None:
        """A gateway does not start with a broken file, of which there are no last good keys."""
        file.write_text("{")
        with pytest.raises(StoreError, match="no key store"):
            live.start()

    def test_none_yet(self, live: KeyWatch) -> None:
        """It starts without a file, as the first key may come later, and tells of it."""
        live.start()
        assert opens(live, "k1") is None
        assert "imgrid keys create" in live.problem

    def test_strangers(self, live: KeyWatch, file: Path, clock: Any) -> None:
        """A key of a tenant that the config does not name opens nothing, stops a start, and keeps a
        running gateway from no other key; the message says how to be rid of it."""
        put(file, bearer("k1"))
        live.start()
        put(file, bearer("k2"), bearer("k3", tenant="gone"), pair(tenant="gone"))
        clock.turn()
        assert (opens(live, "k1"), opens(live, "k2"), opens(live, "k3"), live.pair("AK")) == (
            None,
            SHOP,
            None,
            None,
        )
        assert "imgrid keys revoke key_k3" in live.problem
        with pytest.raises(StoreError, match="key_k3 is a key of tenant 'gone'"):
            KeyWatch(file, TENANTS, clock).start()

    def test_no_signer(self, file: Path, clock: Any) -> None:
        """Without what verifies signatures, pairs open nothing; the message says what to
        install."""
        put(file, pair(), bearer())
        live = KeyWatch(file, TENANTS, clock, signing=False)
        assert (live.pair("AK"), opens(live, "k1")) == (None, SHOP)
        assert "imgrid-gateway[rekognition]" in live.problem
