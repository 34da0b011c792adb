"""Every kind of source lists the same photos and reads them; what it cannot do is said by name."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import boto3
import pyarrow
import pyarrow.parquet
import pytest
from moto.server import ThreadedMotoServer

from gateway.batch.photo_sources import RunSource, open_source
from gateway.config.errors import ConfigError

PHOTOS: Mapping[str, bytes] = {f"{name}.jpg": name.encode() * 10 for name in ("a", "b", "c")}
BUCKET = "photos"
Make = Callable[[Path], str]


def in_folder(folder: Path) -> str:
    """The photos in a folder, one of them in a folder below, beside something else."""
    for name, data in PHOTOS.items():
        file = folder / ("deep" if name == "c.jpg" else "") / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
    (folder / "notes.md").write_text("no photo")
    return str(folder)


def beside(folder: Path) -> None:
    """The photos as files beside a manifest."""
    for name, data in PHOTOS.items():
        (folder / name).write_bytes(data)


def in_list(folder: Path) -> str:
    beside(folder)
    (folder / "list.txt").write_text("# photos\n" + "\n\n".join(PHOTOS) + "\n")
    return str(folder / "list.txt")


def in_csv(folder: Path) -> str:
    beside(folder)
    with (folder / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "path"])
        rows.writerows(enumerate(PHOTOS))
    return str(folder / "list.csv")


def in_json(folder: Path) -> str:
    beside(folder)
    rows = [json.dumps({"id": 1, "file": name}) for name in PHOTOS]
    (folder / "list.jsonl").write_text("\n".join([*rows, ""]))
    return str(folder / "list.jsonl")


def in_rekognitions_manifest(folder: Path) -> str:
    beside(folder)
    rows = [json.dumps({"source-ref": name, "label": 0}) for name in PHOTOS]
    (folder / "input.manifest").write_text("\n".join(rows))
    return str(folder / "input.manifest")


def in_tar(folder: Path) -> str:
    with tarfile.open(folder / "shard-000.tar", "w") as archive:
        for name, data in (*PHOTOS.items(), ("a.json", b"{}")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return str(folder / "shard-000.tar")


def in_parquet(folder: Path) -> str:
    table = pyarrow.table({"id": list(range(3)), "image": list(PHOTOS.values())})
    pyarrow.parquet.write_table(table, folder / "photos.parquet", row_group_size=2)
    return str(folder / "photos.parquet")


def in_parquet_structs(folder: Path) -> str:
    """As Hugging Face's datasets write images."""
    images = [{"bytes": data, "path": name} for name, data in PHOTOS.items()]
    pyarrow.parquet.write_table(pyarrow.table({"image": images}), folder / "photos.parquet")
    return str(folder / "photos.parquet")


def in_shards(folder: Path) -> str:
    """One photo a shard, as large sets of photos come."""
    (folder / "shards").mkdir()
    for number, (name, data) in enumerate(PHOTOS.items()):
        with tarfile.open(folder / f"shards/{number:03d}.tar", "w") as archive:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return str(folder / "shards")


def in_bucket(folder: Path) -> str:
    return f"s3://{BUCKET}/2026/"


def in_manifest_of_bucket(folder: Path) -> str:
    rows = [f"s3://{BUCKET}/2026/{name}" for name in PHOTOS]
    (folder / "list.txt").write_text("\n".join(rows))
    return str(folder / "list.txt")


KINDS: tuple[Make, ...] = (
    in_folder,
    in_list,
    in_csv,
    in_json,
    in_rekognitions_manifest,
    in_tar,
    in_parquet,
    in_parquet_structs,
    in_shards,
    in_bucket,
    in_manifest_of_bucket,
)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a store with the photos, and a text, in a bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=endpoint, **keys)
    client.create_bucket(Bucket=BUCKET)
    for name, data in (*PHOTOS.items(), ("notes.md", b"")):
        client.put_object(Bucket=BUCKET, Key=f"2026/{name}", Body=data)
    client.close()
    yield endpoint
    server.stop()


@pytest.fixture
def environment(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which the store's address and keys are known."""
    for name, value in {
        "AWS_ENDPOINT": bucket,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=KINDS, ids=lambda make: make.__name__)
def source(request: pytest.FixtureRequest, tmp_path: Path, environment: None) -> RunSource:
    """A source of every kind."""
    make: Make = request.param
    return open_source(make(tmp_path))


def test_all_photos_are_listed_and_read(source: RunSource) -> None:
    """Every photo is listed once, in order, and read as it is; nothing else is."""
    entries = list(source.entries())
    assert [source.read(entry.place, 1000) for entry in entries] == list(PHOTOS.values())
    assert len({entry.key for entry in entries}) == len(PHOTOS)


def test_places_survive_json(source: RunSource) -> None:
    """A place is read as well after it was written as JSON: the inventory holds it so."""
    for entry in source.entries():
        place = json.loads(json.dumps(entry.place))
        assert source.read(place, 1000) == source.read(entry.place, 1000)


def test_no_more_is_read_than_is_taken(source: RunSource) -> None:
    """Of a photo that is larger than what is taken only one byte more than that is read, or, of
    sources that hold photos whole, all."""
    for entry in source.entries():
        assert len(source.read(entry.place, 4)) > 4


@pytest.mark.skipif(os.name == "nt", reason="names are no bytes there")
def test_names_may_be_any_bytes(tmp_path: Path) -> None:
    """A file whose name is no UTF-8 has a key that is, and is read."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"photo")
    source = open_source(str(tmp_path))
    (entry,) = source.entries()
    assert entry.key == "caf\\xe9.jpg"
    assert source.read(json.loads(json.dumps(entry.place)), 1000) == b"photo"


def test_a_folder_that_leads_back_up_is_not_entered(tmp_path: Path) -> None:
    """A link to a folder above does not make its photos come again and again."""
    (tmp_path / "a.jpg").write_bytes(b"photo")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert [entry.key for entry in open_source(str(tmp_path)).entries()] == ["a.jpg"]


@pytest.mark.parametrize("make", [in_folder, in_list, in_bucket], ids=lambda make: make.__name__)
def test_a_photo_that_is_gone_is_an_error_of_its_own(
    make: Make, tmp_path: Path, environment: None
) -> None:
    """A photo that cannot be read raises OSError, and the others are read."""
    source = open_source(make(tmp_path))
    first, *_ = source.entries()
    gone = [str(first.place[0]).replace("a.jpg", "gone.jpg")]
    with pytest.raises(OSError, match=r"gone\.jpg|No such file"):
        source.read(gone, 1000)
    assert source.read(first.place, 1000) == PHOTOS["a.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, "there is no such folder or file"),
        ("photos.zip", b"", r"may be named in a \.txt, \.csv, \.jsonl"),
        ("list.csv", b"id,name\n1,a\n", "has none of the columns source-ref, place, file"),
        ("list.jsonl", b'{"id": 1}\n', "line 1 names no photo"),
        ("list.jsonl", b"{oops\n", "list.jsonl: "),
        ("shard.tar", b"no tar", "is no plain tar file"),
        ("photos.parquet", b"no parquet", "is no Parquet file"),
    ],
)
def test_what_is_no_source_is_named(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    """A file that is missing, of an unknown kind or of another form is an error that says so."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        list(open_source(str(file)).entries())


def test_a_table_without_photos_is_named(tmp_path: Path) -> None:
    """A Parquet file without a column of photos is an error that names the columns."""
    file = tmp_path / "numbers.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": [1]}), file)
    with pytest.raises(ConfigError, match="has none of the columns image, bytes, content, data"):
        list(open_source(str(file)).entries())


def test_another_scheme_is_refused() -> None:
    """Photos may lie in the three clouds' buckets, and nowhere else behind a scheme."""
    with pytest.raises(
        ConfigError, match="ftp://host/a: photos may lie in s3, gs, az, and not ftp"
    ):
        open_source("ftp://host/a")
