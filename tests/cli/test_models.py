"""`upres models ...` as its users run it: what goes to stdout and what to stderr, and the exit codes."""

# ruff: noqa: F811  # an argument has the name of the fixture that it asks for

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models.test_store import Table, data, server, store, table  # noqa: F401  # fixtures, which pytest finds by name
from tests.system.server import Server, whole
from tests.tiny import compact_file
from upres.cli.download import have_models
from upres.cli.main import app
from upres.errors import ModelError
from upres.models.catalog import MODELS

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def inside(*arguments: object, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as end:
            app(["models", *map(str, arguments)])
        words = capsys.readouterr()
        assert end.value.code == code, words.err
        assert "Traceback" not in words.err
        return words.out, words.err

    return inside


def test_the_list_is_a_table_or_json(run: Run) -> None:
    out, err = run("list")
    lines = out.splitlines()
    assert lines[0].split() == ["NAME", "FAMILY", "SCALE", "LICENSE", "SIZE", "FOR"] and err == ""
    assert any(line.startswith("* compact-x4 ") for line in lines)
    (row,) = [line for line in lines if line.startswith("  4x-Remacri ")]
    assert row.split()[1:6] == ["rrdb", "4x", "CC-BY-NC-SA-4.0", "67", "MB"]
    found = json.loads(run("list", "--family", "span", "--scale", 2, "--json")[0])
    assert found and {(row["family"], row["scale"]) for row in found} == {("span", 2)}
    # for scripts
    assert all(
        list(row) == ["name", "aliases", "family", "scale", "license", "bytes", "state", "purpose"] for row in found
    )
    assert [line.split()[1] for line in run("list", "--present")[0].splitlines()[1:]] == list(MODELS)
    assert "no models match these filters" in run("list", "--scale", 9)[1]
    assert "expected one of compact, residual, rrdb, span" in run("list", "--family", "nonsense", code=2)[1]


def test_show_needs_no_download(run: Run) -> None:
    out, err = run("show", "realesrgan-x4plus-anime")
    assert "RealESRGAN_x4plus_anime_6B" in out and "BSD-3-Clause" in out and "not downloaded" in out and err == ""
    assert "unknown: pinned at the first download" in run("show", "RealESRNet_x4plus")[0]
    assert "Did you mean" in run("show", "RealESRGAN_x4pls", code=4)[1]


def test_show_tells_the_facts_of_a_file(run: Run, tmp_path: Path) -> None:
    path = compact_file(tmp_path / "a.safetensors", 2)
    out, _ = run("show", path)
    for words in (
        "family     compact",
        "scale      2",
        "channels   3 in, 3 out",
        "multiply-adds per input pixel",
        "(receptive field)",
    ):
        assert words in out
    assert json.loads(run("show", path, "--json")[0])["parameters"] == 4 * 28 + 3 * 4 + 2 * 4 * 37 + 12 * 37
    (tmp_path / "b.pth").write_bytes(b"\x89PNG")
    out, err = run("show", tmp_path / "b.pth", code=4)
    assert "sha256     " in out and "it is a PNG picture" in err


def test_pull_says_the_license_first_and_prints_the_path(
    run: Run, server: Server, table: Table, store: Path, data: bytes
) -> None:
    server.answers["/Tiny.pth"] = whole(data)
    table(server.url("/Tiny.pth"))
    out, err = run("pull", "TINY_x2")
    assert out == f"{store / 'Tiny.pth'}\n" and err.startswith("Tiny_x2: MIT, 4 kB, from 127.0.0.1\n")
    out, err = run("pull", "2x-tiny", "compact-x2")
    assert out.splitlines()[0] == f"{store / 'Tiny.pth'}" and out.splitlines()[1].endswith("compact-x2.safetensors")
    assert "Tiny_x2 is already downloaded, verified" in err and len(server.requests) == 1
    assert run("remove", "tiny_x2")[0] == f"{store / 'Tiny.pth'}\n"
    assert "nothing was deleted" in run("remove", "tiny_x2")[1]


def test_a_non_commercial_license_is_refused_until_it_is_agreed_to(
    run: Run, server: Server, table: Table, data: bytes
) -> None:
    server.answers["/Tiny.pth"] = whole(data)
    table(server.url("/Tiny.pth"), license="CC-BY-NC-4.0")
    out, err = run("pull", "Tiny_x2", code=4)
    assert out == "" and "forbids commercial use" in err and "--accept-license" in err and server.requests == []
    with pytest.raises(ModelError, match="upres models pull Tiny_x2 --accept-license"):
        have_models(["2x-tiny"])
    run("pull", "Tiny_x2", "--accept-license")
    run("remove", "Tiny_x2")
    assert "CC-BY-NC-4.0" in run("pull", "Tiny_x2")[1]  # told again, asked once


def test_a_pin_is_told(run: Run, server: Server, table: Table, data: bytes) -> None:
    server.answers["/Tiny.pth"] = whole(data)
    table(server.url("/Tiny.pth"), sha256=None, size=None)
    _, err = run("pull", "Tiny_x2")
    assert "size unknown" in err and "its SHA-256 was unknown; the file is trusted, and pinned" in err


def test_without_a_network_the_file_and_its_place_are_told(run: Run, table: Table, store: Path) -> None:
    table("http://127.0.0.1:1/Tiny.pth")
    out, err = run("pull", "Tiny_x2", code=4)
    assert out == "" and "Without a network put Tiny.pth (sha256 " in err and f"into {store}" in err


def test_nothing_is_downloaded_where_one_name_is_wrong(run: Run, server: Server, table: Table) -> None:
    table(server.url("/Tiny.pth"))
    assert "unknown model 'nosuch'" in run("pull", "Tiny_x2", "nosuch", code=4)[1]
    assert "upres models add takes files" in run("pull", "Tiny_x2", "./file.pth", code=2)[1]
    assert server.requests == []


def test_add_verify_remove(run: Run, tmp_path: Path, store: Path) -> None:
    path = compact_file(tmp_path / "mine.safetensors", 2)
    out, err = run("add", path, "--name", "Mine", "--licence", "CC-BY-4.0")
    assert out == "Mine\n" and err == "Mine: compact, 2x, CC-BY-4.0\n"
    assert "added by you" in run("show", "mine")[0]
    out, _ = run("verify")
    assert "ok     Mine: as expected" in out and "WRONG" not in out
    (store / "Mine.safetensors").write_bytes(b"changed")
    out, err = run("verify", code=4)
    assert "WRONG  Mine: " in out and "1 cannot be used" in err and "ok     compact-x4" in out
    out, _ = run("remove", "MINE")
    assert "Mine.safetensors" in out and path.is_file() and run("verify")[0].count("\n") == len(MODELS)
    assert "is bundled with upres" in run("remove", "compact-x4", code=2)[1]
    assert "is a path" in run("remove", path, code=2)[1] and path.is_file()


def test_add_takes_an_address(run: Run, server: Server, data: bytes) -> None:
    server.answers["/new.pth"] = whole(data)
    assert "its license is unknown, so its author may forbid any use" in run("add", server.url("/new.pth"), code=4)[1]
    out, err = run("add", server.url("/new.pth"), "--accept-licence")
    assert out == "new\n" and "license unknown" in err and "and is pinned now" in err
