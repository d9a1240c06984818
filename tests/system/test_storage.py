"""Object stores: moto's server, and fsspec's own store in memory. Needs the extra `cloud`, and moto."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request, urlopen

import pytest

from tests.tiny import compact_file, noise, picture
from upres.batch.journal import NAME
from upres.errors import EngineError, InputError
from upres.images.io import encode_picture, read_header
from upres.system.storage import Storage, home_of, is_url

PICTURES = {
    f"in/{name}": encode_picture(picture(noise(6, 7 + i)), "png") for i, name in enumerate(("a.png", "deep/b.png"))
}
Command = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of scale 2."""
    return compact_file(tmp_path_factory.mktemp("model") / "tiny-x2.safetensors", 2)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket on moto's server, with two pictures, a text and a broken picture."""
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()  # its buckets are the process's
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

    moved = bucket.Object("in/deep/b.png").get()["Body"].read()
    bucket.Object("in/c.png").put(Body=moved)
    bucket.Object("in/deep/b.png").delete()
    bucket.Object("in/bad.png").delete()
    lines, _ = upres(*job)
    assert json.loads(lines.splitlines()[-1])["done"] == 1  # what was moved is upscaled again, to the same bytes
    assert bucket.Object("out/c.png").get()["Body"].read() == made["out/deep/b.png"]


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
def test_results_in_a_bucket_are_verified(bucket: Any, model: Path, upres: Command) -> None:
    bucket.Object("in/bad.png").delete()
    upres("upscale", "s3://pictures/in", "-r", "-n", model, "-o", "s3://pictures/checked")
    assert "2 results are as they were written" in upres("verify", "s3://pictures/checked")[1]
    one = ("verify", "s3://pictures/checked/deep/b.png", "s3://pictures/in/deep/b.png", "-n", model)
    assert upres(*one)[0] == "s3://pictures/checked/deep/b.png: the same bytes\n"
    bucket.Object("checked/a.png").put(Body=b"torn")
    bucket.Object("checked/deep/b.png").delete()
    words, told = upres("verify", "s3://pictures/checked", code=3)
    assert sorted(words.splitlines()) == ["a.png: damaged", "deep/b.png: missing"]
    assert "2 of 2 results are not as they were written" in told
    assert "there is no such object" in upres(*one, code=3)[1]
    assert "has no journal of a job" in upres("verify", "s3://pictures/elsewhere", code=3)[1]


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
def test_a_bucket_that_is_busy_works_in_the_end(
    bucket: Any, model: Path, upres: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.server import DomainDispatcherApplication

    from upres.system import storage

    monkeypatch.setattr(storage, "_WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # so that it is upres that asks again
    real, asked, ever = DomainDispatcherApplication.__call__, Counter[str](), set[str]()

    def busy(self: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        asked[request] += 1
        is_picture = request.endswith(".png") and request.startswith(("GET", "PUT"))
        if is_picture and (asked[request] == 1 or environ["PATH_INFO"] in ever):
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
        return real(self, environ, start_response)

    monkeypatch.setattr(DomainDispatcherApplication, "__call__", busy)
    bucket.Object("in/bad.png").delete()
    ever.add("/pictures/in/deep/b.png")
    job = ("upscale", "s3://pictures/in", "-r", "-n", model, "-o", "s3://pictures/patient")
    _, told = upres(*job, code=3)
    assert "1 of 2 pictures failed" in told and "s3://pictures/in/deep/b.png" in told
    assert asked["GET /pictures/in/a.png"] >= 2 and asked["PUT /pictures/patient/a.png"] >= 2
    ever.clear()
    upres(*job, "--retry-failed")
    assert {one.key for one in bucket.objects.filter(Prefix="patient/")} == {"patient/a.png", "patient/deep/b.png"}


class _Site(BaseHTTPRequestHandler):
    """Serves `files`; the first `busy` requests for each get 503."""

    files: ClassVar[dict[str, bytes]] = {}
    busy: ClassVar[int] = 0
    asked: ClassVar[Counter[str]] = Counter()

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        name = self.path.partition("?")[0]
        type(self).asked[name] += 1
        found = self.files.get(name)
        data = b"" if found is None else found
        code = 503 if type(self).asked[name] <= self.busy else 404 if found is None else 200
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a web server."""
    pytest.importorskip("aiohttp")
    _Site.files, _Site.busy, _Site.asked = {}, 0, Counter()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
def test_pictures_on_a_web_server(
    site: str, model: Path, tmp_path: Path, upres: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upres.system import storage

    monkeypatch.setattr(storage, "_WAITS_S", (0.0, 0.0, 0.0))
    _Site.files, _Site.busy = {"/a.png": PICTURES["in/a.png"], "/deep/b.png": PICTURES["in/deep/b.png"]}, 2
    job = ("upscale", f"{site}/a.png?token=1", f"{site}/deep/b.png", "-n", model, "-o", tmp_path / "out")
    upres(*job)  # busy at first
    assert {path.name: read_header(path).width for path in (tmp_path / "out").glob("*.png")} == {
        "a.png": 14,
        "b.png": 16,
    }
    assert "kept: 2 results exist" in upres(*job)[1]
    _Site.files["/a.png"] = encode_picture(picture(noise(6, 30)), "png")
    upres(*job)
    assert read_header(tmp_path / "out" / "a.png").width == 60  # told by its size: this server has no dates
    with pytest.raises(InputError, match=rf"cannot read {site}/none\.png: there is no such object"):
        Storage(f"{site}/none.png").read()
    _Site.files["/c.png"], _Site.busy = b"", 100
    with pytest.raises(InputError, match=rf"cannot read {site}/c\.png: 503"):
        Storage(f"{site}/c.png").read()
    _Site.busy = 0
    assert upres("verify", tmp_path / "out" / "b.png", f"{site}/deep/b.png", "-n", model)[0].endswith(
        "the same bytes\n"
    )
    _, told = upres("upscale", f"{site}/book.cbz", "-n", model, "-o", tmp_path / "out", code=2)
    assert "archives and books at URLs are not read; download it first" in told


@pytest.mark.extras
def test_a_store_of_any_other_kind_goes_on_too(memory: Any, model: Path, tmp_path: Path, upres: Command) -> None:
    """What gs:// and others have in common is fsspec's interface, which its store in memory has too."""
    for key, data in PICTURES.items():
        memory.pipe_file(f"/{key}", data)
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    memory.pipe_file("/in/book.cbz", b"PK")
    options = ("-r", "-n", model, "--threads", "1", "-o")
    _, told = upres("upscale", "memory://in", *options, tmp_path / "two", code=3)
    assert "1 x archive or book" in told
    # Workers are processes of their own, which have another memory: each picture is missing there, and named.
    assert "2 of 2 pictures failed" in told and "there is no such object" in told


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
    from upres.system import storage

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
