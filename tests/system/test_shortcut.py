"""Shortcuts, written into a home of their own: read back by parsers that are not ours, or that the formats define."""

from __future__ import annotations

import configparser
import os
import plistlib
import shlex
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import pyvips

from tests import REPOSITORY
from upres.errors import OutputError, UsageError
from upres.system.shortcut import Shortcut, icns, ico, install_shortcut, powershell_program

ICONS = REPOSITORY / "upres" / "serve" / "page_files"
PNG = {px: (ICONS / f"icon-{px}.png").read_bytes() for px in (48, 256)}


def made(*command: str) -> Shortcut:
    svg = (ICONS / "icon.svg").read_bytes()
    return Shortcut(
        "upres", "upres", "Enlarge pictures", "放大图片", command or ("/usr/bin/python3", "-m", "upres"), svg, PNG
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_linux(home: Path) -> None:
    entry, svg, *pngs = install_shortcut(made(), "linux", home)
    assert entry == home / ".local/share/applications/upres.desktop"
    assert svg == home / ".local/share/icons/hicolor/scalable/apps/upres.svg"
    assert [path.parent.parent.name for path in pngs] == ["48x48", "256x256"]
    assert [pyvips.Image.new_from_file(str(path)).width for path in pngs] == [48, 256]
    read = configparser.RawConfigParser()
    read.optionxform = str  # type: ignore[assignment]
    read.read(entry, encoding="utf-8")
    fields = dict(read["Desktop Entry"])
    assert fields["Exec"] == '"/usr/bin/python3" "-m" "upres"' and fields["Icon"] == "upres"
    assert fields["Comment[zh_CN]"] == "放大图片" and fields["Type"] == "Application"
    if shutil.which("desktop-file-validate"):
        subprocess.run(["desktop-file-validate", entry], check=True)


def unquoted(exec_line: str) -> list[str]:
    """The arguments of an Exec line, by the specification: string escapes first, then quotes, then field codes."""
    text = exec_line.replace("\\\\", "\\")
    arguments, inside, current, at = [], False, "", 0
    while at < len(text):
        one = text[at]
        if one == '"':
            if inside:
                arguments.append(current)
            inside, current = not inside, ""
        elif inside and one == "\\":
            at += 1
            current += text[at]
        elif inside:
            current += one
        at += 1
    return [one.replace("%%", "%") for one in arguments]


def test_odd_paths_survive_the_quoting_of_linux(home: Path) -> None:
    command = ('/home/a "b"/$HOME/`x`\\y/100 %/python', "ui", "文件")
    entry = install_shortcut(made(*command), "linux", home)[0]
    line = next(line for line in entry.read_text(encoding="utf-8").splitlines() if line.startswith("Exec="))
    assert unquoted(line.removeprefix("Exec=")) == list(command)
    with pytest.raises(UsageError, match="line break"):
        install_shortcut(made("a\nExec=evil"), "linux", home)


def test_the_data_folder_of_the_environment_counts_if_it_is_absolute(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    assert install_shortcut(made(), "linux", home)[0] == home / "data/applications/upres.desktop"
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert install_shortcut(made(), "linux", home)[0].is_relative_to(home / ".local")


def test_macos(home: Path) -> None:
    command = ("/Users/a b/it's/python", "-m", "upres", "ui")
    bundle, plist, script, icon = install_shortcut(made(*command), "darwin", home)
    assert bundle == home / "Applications/upres.app"
    facts = plistlib.loads(plist.read_bytes())
    assert facts["CFBundleExecutable"] == script.name and facts["CFBundleIconFile"] == "upres"
    first, line = script.read_text(encoding="utf-8").splitlines()
    assert first == "#!/bin/sh" and shlex.split(line) == ["exec", *command]
    assert os.name != "posix" or os.access(script, os.X_OK)
    data = icon.read_bytes()
    assert data[:4] == b"icns" and struct.unpack(">I", data[4:8]) == (len(data),)
    assert data[8:12] == b"ic08" and data[16:] == PNG[256]


def test_an_ico_file_is_one(tmp_path: Path) -> None:
    data = ico(PNG)
    assert struct.unpack("<HHH", data[:6]) == (0, 1, 2)
    for place, px in enumerate((48, 256)):
        width, height, _, _, _, bits, size, offset = struct.unpack("<BBBBHHII", data[6 + 16 * place : 22 + 16 * place])
        assert (width, height, bits) == (px % 256, px % 256, 32) and data[offset : offset + size] == PNG[px]
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.ico"
    path.write_bytes(data)
    with image.open(path) as opened:
        assert opened.info["sizes"] == {(48, 48), (256, 256)}


def test_icns_is_read_by_another_program(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.icns"
    path.write_bytes(icns(PNG))
    with image.open(path) as opened:
        assert opened.size == (256, 256)


def test_powershell_gets_literals(home: Path) -> None:
    program = powershell_program(
        made("C:\\it's\\py thon.exe", "-m", "upres", "a b"), home / "a.lnk", home / "a.ico", home
    )
    assert "$link.TargetPath = 'C:\\it''s\\py thon.exe'" in program
    assert "$link.Arguments = '-m upres \"a b\"'" in program


FAKE = """#!{python}
import base64, re, sys
program = base64.b64decode(sys.argv[-1]).decode("utf-16-le")
if "fail" in program:
    sys.exit("no COM here")
path = re.search(r"CreateShortcut\\('(.*)'\\)", program)[1].replace("''", "'")
open(path, "w").write(program)
"""


@pytest.mark.skipif(os.name != "posix", reason="a program in the place of PowerShell")
def test_windows_calls_powershell(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "bin"
    folder.mkdir()
    fake = folder / "powershell"
    fake.write_text(FAKE.format(python=sys.executable), encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    link, icon = install_shortcut(made("C:\\Users\\名字\\python.exe", "-m", "upres"), "win32", home)
    assert link == home / "AppData/Roaming/Microsoft/Windows/Start Menu/Programs/upres.lnk"
    assert "C:\\Users\\名字\\python.exe" in link.read_text(encoding="utf-8") and icon.read_bytes() == ico(PNG)
    with pytest.raises(OutputError, match="no COM here"):
        install_shortcut(made("fail"), "win32", home)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OutputError, match="PowerShell does not run"):
        install_shortcut(made(), "win32", home)


def test_a_folder_that_cannot_be_written_and_an_unknown_system(home: Path) -> None:
    (home / ".local").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot write"):
        install_shortcut(made(), "linux", home)
    with pytest.raises(UsageError, match="supported are Linux"):
        install_shortcut(made(), "emscripten", home)
