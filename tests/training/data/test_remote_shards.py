"""Shards at a URL are those of a folder: fetched once, checked by the index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

from tests.system.server import Server, own_cache, ranged, status, whole
from upres.errors import DataError, InputError, OutputError
from upres.system import remote_file
from upres.training.config import TrainConfig
from upres.training.data.remote_shards import open_remote
from upres.training.data.roots import Root, parse_root
from upres.training.data.shard_writer import ShardWriter
from upres.training.data.shards import open_shards
from upres.training.data.training_set import load_training_set


def made(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    writer = ShardWriter(folder, 3, 8, 40_000)
    entries = [writer.add(f"{i}.png", rng.integers(0, 256, (96, 96, 3), np.uint8)) for i in range(4)]
    writer.finish(entries[:3], entries[3:], {})
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    own_cache(tmp_path, monkeypatch)
    monkeypatch.setattr(remote_file, "_WAITS_S", (0.0,))
    one = Server()
    yield one
    one.close()


def serve(server: Server, folder: Path, at: str = "/set") -> str:
    for path in folder.iterdir():
        server.answers[f"{at}/{path.name}"] = ranged(path.read_bytes())
    return server.url(at)


def test_shards_at_a_url_train_as_those_of_the_folder_do(server: Server, tmp_path: Path) -> None:
    url = serve(server, made(tmp_path / "set"))
    here = open_shards(tmp_path / "set")
    there = open_remote(url + "/", lambda _: None)
    assert there.fingerprint == here.fingerprint
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(there.crops, here.crops, strict=True))
    config = TrainConfig("", 2, hr_scales=(1.0,), patch_px=16)
    sets = [load_training_set(config, [Root(place)], None) for place in (url, tmp_path / "set")]
    assert sets[0].fingerprint == sets[1].fingerprint and len(sets[0].pairs) == 3 and len(sets[0].validation) == 1
    shards = [path for path, _ in server.requests if path.endswith(".bin")]
    assert len(shards) == len(set(shards)) == 4  # fetched once; the index each time


def test_what_is_wrong_at_a_url_is_named(server: Server, tmp_path: Path) -> None:
    url = serve(server, made(tmp_path / "set"))
    with pytest.raises(InputError, match=r"cannot read http://.*/none/index.json: there is no such object"):
        open_remote(server.url("/none"), lambda _: None)
    first = (tmp_path / "set" / "shard_0000.bin").read_bytes()
    server.answers["/set/shard_0000.bin"] = whole(first[::-1])
    with pytest.raises(InputError, match=r"shard_0000.bin has the SHA-256"):
        open_remote(url, lambda _: None)
    server.answers["/set/shard_0000.bin"] = status(404)
    with pytest.raises(InputError, match=r"shard_0000.bin: there is no such object"):
        open_remote(url, lambda _: None)
    index = json.loads((tmp_path / "set" / "index.json").read_bytes())
    server.answers["/set/index.json"] = whole(json.dumps(index | {"depth": 16}).encode())
    with pytest.raises(DataError, match=r"/set/index.json is damaged"):
        open_remote(url, lambda _: None)
    server.answers["/set/index.json"] = whole(b"<html>")
    with pytest.raises(DataError, match=r"/set/index.json cannot be read"):
        open_remote(url, lambda _: None)


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(server, made(tmp_path / "set"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 9, 9))  # type: ignore[attr-defined]
    with pytest.raises(OutputError, match=r"need 0.0 GB more in .*shards, where 0.0 GB are free"):
        open_remote(url, lambda _: None)
    assert [path for path, _ in server.requests] == ["/set/index.json"]


def test_a_url_has_a_weight_too() -> None:
    assert parse_root("s3://b/k=2") == Root("s3://b/k", None, 2.0)
    assert parse_root("https://a/b?key=x/=") == Root("https://a/b?key=x/=")


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # of botocore and its clients
def test_shards_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache(tmp_path, monkeypatch)
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
            monkeypatch.setenv(f"AWS_{name}", value)
        bucket: Any = boto3.resource("s3").create_bucket(Bucket="shards")
        for path in made(tmp_path / "set").iterdir():
            bucket.put_object(Key=f"set/{path.name}", Body=path.read_bytes())
        begun = open_shards(tmp_path / "set")
        assert open_remote("s3://shards/set", lambda _: None).fingerprint == begun.fingerprint
        shutil.rmtree(tmp_path / "cache")
        bucket.Object("set/shard_0001.bin").delete()
        with pytest.raises(InputError, match=r"s3://shards/set/shard_0001.bin: there is no such object"):
            open_remote("s3://shards/set", lambda _: None)
        bucket.Object("set/shard_0001.bin").put(Body=b"torn")
        with pytest.raises(InputError, match=r"shard_0001.bin has 4 bytes, expected"):
            open_remote("s3://shards/set", lambda _: None)
    finally:
        server.stop()
