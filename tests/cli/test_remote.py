"""upres remote: pictures on another machine, as upres upscale does them here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from tests.serve.running import Running, running

Command = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("data"), queue=50) as one:
        yield one


def write(folder: Path, **pictures: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, wish in pictures.items():
        (folder / f"{name}.png").write_text(json.dumps(wish))
    return folder


def test_results_lie_beside_their_pictures(server: Running, upres: Command, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", a={"n": 1}, b={"n": 2})
    _, err = upres("remote", server.url, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "a_x4.png", "b.png", "b_x4.png"]
    assert (folder / "b_x4.png").read_text() == '{"n": 2}' and "40 x 40, compact-x4" in err
    _, err = upres("remote", server.url, folder / "a.png")
    assert "kept: " in err
    upres("remote", server.url, folder / "a.png", "-o", tmp_path / "out" / "x.webp")
    assert (tmp_path / "out" / "x.webp").read_text() == '{"n": 1}'


def test_the_same_command_is_the_same_job(server: Running, upres: Command, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", same={"n": 3})
    first, _ = upres("remote", server.url, folder, "-s", 2, "--detach")
    again, _ = upres("remote", server.url, folder, "-s", 2, "--detach")
    other, _ = upres("remote", server.url, folder, "-s", 3, "--detach")
    assert first == again != other and first.split()[1].endswith("same.png")
    assert server.wait(first.split()[0])["state"] == "done"
    before = len(server.client.get("/v1/jobs?limit=200").json()["jobs"])
    upres("remote", server.url, folder, "-s", 2)
    assert len(server.client.get("/v1/jobs?limit=200").json()["jobs"]) == before


def test_a_bad_picture_does_not_stop_the_others(server: Running, upres: Command, tmp_path: Path) -> None:
    bad = {"problem": {"code": "picture", "detail": "the picture is a damaged PNG"}}
    folder = write(tmp_path / "in", bad=bad, good={"n": 4})
    _, err = upres("remote", server.url, folder, code=3)
    assert "bad.png: the picture is a damaged PNG" in err and (folder / "good_x4.png").exists()
    (folder / "bad.png").unlink()
    _, err = upres("remote", server.url, folder / "none.png", code=3)
    assert "cannot be read" in err


def test_options_are_checked_by_the_server(server: Running, upres: Command, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", a={})
    _, err = upres("remote", server.url, folder, "-s", 100, code=2)
    assert "--scale must be in (0, 64]" in err
    _, err = upres("remote", server.url, folder, "-n", "none", code=4)
    assert "not one of this server" in err
    _, err = upres("remote", "gpu-box", folder, code=2)
    assert "must begin with http" in err
    _, err = upres("remote", server.url, tmp_path / "in" / "sub", code=3)
    assert "cannot be read" in err


def test_a_token_is_sent(upres: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "in", a={})
    with running(tmp_path / "data", tokens=("anna:0123456789abcdef",)) as server:
        _, err = upres("remote", server.url, folder, code=2)
        assert "a token is needed" in err
        monkeypatch.setenv("UPRES_REMOTE_TOKEN", "0123456789abcdef")
        upres("remote", server.url, folder)
    assert (folder / "a_x4.png").exists()
