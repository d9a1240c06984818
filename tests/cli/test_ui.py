"""`upres ui`: where results go, which browser is asked, the shortcut; and the command itself until the page closes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from upres.cli.ui import open_browser, results_folder

Upres = Callable[..., tuple[str, str]]


def test_results_go_to_the_named_folder_the_pictures_or_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert results_folder(Path("named")) == tmp_path / "named"
    pictures = tmp_path / "Pictures"
    monkeypatch.setattr("platformdirs.user_pictures_path", lambda: pictures)
    assert results_folder(None) == tmp_path  # there are none
    pictures.mkdir()
    assert results_folder(None) == pictures / "upres"

    def nowhere() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr("platformdirs.user_pictures_path", nowhere)
    assert results_folder(None) == tmp_path


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a desktop")
def test_without_a_desktop_no_browser_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(asked.append(address)) or True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not open_browser("http://127.0.0.1:1/") and asked == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_browser("http://127.0.0.1:1/") and asked == ["http://127.0.0.1:1/"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="writes into the menus of Linux")
def test_the_shortcut_starts_this_upres(upres: Upres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    out, err = upres("ui", "--install-shortcut")
    entry = tmp_path / ".local/share/applications/upres.desktop"
    assert out == f"{entry}\n" and "delete it" in err
    assert f'Exec="{sys.executable}" "-m" "upres" "ui"' in entry.read_text(encoding="utf-8")
    assert (tmp_path / ".local/share/icons/hicolor/256x256/apps/upres.png").read_bytes()[:4] == b"\x89PNG"
    out, err = upres("ui", "--install-shortcut", "folder", code=2)
    assert "takes no other option" in err


def test_the_command_prints_the_address_where_no_browser_opens(tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    httpx = pytest.importorskip("httpx")
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= {"UPRES_CACHE": str(tmp_path / "cache"), "BROWSER": ""}
    hurry = "from upres.serve.ui import run_ui; run_ui.__kwdefaults__['grace_s'] = 0.2"
    program = f"{hurry}; from upres.__main__ import main; main()"
    command = [sys.executable, "-c", program, "ui", str(tmp_path / "results")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/#token=([\w-]+)\n", process.stdout.readline())
            assert found is not None
            with httpx.Client(base_url=found[1], timeout=20, trust_env=False) as client:
                assert client.post("/v1/session", headers={"Authorization": f"Bearer {found[2]}"}).status_code == 204
                with client.stream("GET", "/v1/events") as stream:
                    lines = stream.iter_lines()
                    assert next(lines).startswith("retry")
                    time.sleep(0.5)
            process.wait(30)
            said = process.stderr.read()
        finally:
            process.kill()
    assert process.returncode == 0
    assert f"results are saved in {tmp_path / 'results'}" in said
    assert found[2] not in said  # the token stands on standard output, once, and in no log
