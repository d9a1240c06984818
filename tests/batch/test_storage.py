"""Object stores: moto's server, and fsspec's own store in memory. Needs the extra `cloud`, and moto."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import noise, picture
from upres.batch.journal import NAME
from upres.batch.storage import Storage, home_of, is_url
from upres.errors import EngineError, InputError
from upres.images.io import encode_picture, read_header

PICTURES = {
    f"in/{name}": encode_picture(picture(noise(6, 7 + i)), "png") for i, name in enumerate(("a.png", "deep/b.png"))
}
Command = Callable[..., tuple[str, str]]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket on moto's server, with two pictures, a text and a broken picture."""
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    store = boto3.resource("s3").create_bucket(Bucket="pictures")
    for key, data in {**PICTURES, "in/notes.txt": b"text", "in/bad.png": b"no picture"}.items():
        store.put_object(Key=key, Body=data)
    yield store
    server.stop()


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # of botocore and its clients
def test_a_bucket_to_a_bucket(bucket: Any, model: Path, upres: Command) -> None:
    job = ("upscale", "s3://pictures/in", "-r", "-n", model, "-o", "s3://pictures/out", "--json")
    lines, words = upres(*job, code=3)
    assert "1 of 3 pictures failed" in words and "bad.png" in words
    made = {one.key: one.get()["Body"].read() for one in bucket.objects.filter(Prefix="out/")}
    assert {key: read_header(data).width for key, data in made.items()} == {"out/a.png": 14, "out/deep/b.png": 16}
    end = json.loads(lines.splitlines()[-1])
    assert (end["done"], end["failed"]) == (2, 1)

    bucket.Object("in/a.png").put(Body=encode_picture(picture(noise(6, 20)), "png"))
    bucket.Object("out/deep/b.png").delete()
    lines, _ = upres(*job, code=3)
    assert json.loads(lines.splitlines()[-1])["done"] == 2  # one changed, one is gone
    assert read_header(bucket.Object("out/a.png").get()["Body"].read()).width == 40
    assert bucket.Object("out/deep/b.png").get()["Body"].read() == made["out/deep/b.png"]
    assert "2 done, 1 failed" in upres("jobs", "s3://pictures/out")[0]
    assert (home_of("s3://pictures/out/") / NAME).exists()


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
def test_a_bucket_to_a_folder_is_the_same_as_from_a_folder(
    bucket: Any, model: Path, tmp_path: Path, upres: Command
) -> None:
    bucket.Object("in/bad.png").delete()
    for key, data in PICTURES.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    options = ("-r", "-n", model, "--threads", "1", "-o")
    upres("upscale", tmp_path / "in", *options, tmp_path / "one")
    upres("upscale", "s3://pictures/in", *options, tmp_path / "two")
    for path in (tmp_path / "one").rglob("*.png"):
        assert (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes() == path.read_bytes()


@pytest.fixture
def memory() -> Iterator[Any]:
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


@pytest.mark.extras
def test_a_server_that_is_busy_is_asked_again(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from upres.batch import storage

    monkeypatch.setattr(storage, "_WAITS_S", (0.0, 0.0, 0.0))
    memory.pipe_file("/in/a.png", PICTURES["in/a.png"])
    real, failures = type(memory).cat_file, iter(range(2))

    def busy(self: Any, *arguments: Any, **keywords: Any) -> bytes:
        for _ in failures:
            raise OSError("503 Slow Down")
        return real(self, *arguments, **keywords)

    monkeypatch.setattr(type(memory), "cat_file", busy)
    assert Storage("memory://in/a.png").read()[0] == PICTURES["in/a.png"]
    monkeypatch.setattr(type(memory), "cat_file", lambda *_, **__: (_ for _ in ()).throw(OSError("503 Slow Down")))
    with pytest.raises(InputError, match=r"cannot read memory://in/a.png: 503 Slow Down"):
        Storage("memory://in/a.png").read()


@pytest.mark.extras
def test_a_store_without_whole_objects_gets_them_under_another_name_first(memory: Any) -> None:
    store = Storage("memory://out")
    store.put("deep/a.png", b"whole")
    assert memory.find("/") == ["/out/deep/a.png"]
    assert (store.exists("deep/a.png"), store.exists("b.png"), store.get("deep/a.png")) == (True, False, b"whole")
    assert [one.folder for one in Storage("memory://out").stream(frozenset({".png"}), Counter(), recursive=True)] == [
        "deep"
    ]
    with pytest.raises(InputError, match="there is no such object"):
        Storage("memory://none").read()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.system.packages.has_module", lambda module: module == "fsspec")
    with pytest.raises(EngineError, match=r"needs s3fs, which is not installed; remedy: pip install 'upres\[cloud\]'"):
        Storage("s3://bucket/key")
    with pytest.raises(EngineError, match="pip install gcsfs"):
        Storage("gs://bucket/key")


def test_what_is_a_url() -> None:
    assert [is_url(text) for text in ("s3://b/k", "https://a/b.png", "C:/a", "a://", "a:b", "-", "/x")] == [
        *(True, True, False, False, False, False, False)
    ]
