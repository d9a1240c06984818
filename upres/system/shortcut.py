"""An entry for a command in the menu of the desktop: on Linux, Windows and macOS, for this user alone.

Sources: Desktop Entry Specification 1.5 and Icon Theme Specification (freedesktop.org); "Bundle Programming Guide"
(Apple) and the format of .icns, whose entries "ic08" and "ic09" are PNG files of 256 and 512 pixels; WScript.Shell's
`CreateShortcut` (Microsoft), and .ico files, whose images may be PNG since Windows Vista.
"""

from __future__ import annotations

import base64
import os
import plistlib
import shlex
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upres.errors import OutputError, UsageError
from upres.system.files import output_error, write_atomic

_WAIT_S = 60  # for PowerShell


@dataclass(frozen=True, slots=True)
class Shortcut:
    """What stands in the menu.

    name: a word; also of the files. title, comment: what people read, English. comment_zh: the comment in Chinese.
    command: the program and its arguments. svg: the icon. png: the icon by its size in pixels; 256 is needed.
    """

    name: str
    title: str
    comment: str
    comment_zh: str
    command: tuple[str, ...]
    svg: bytes
    png: Mapping[int, bytes]


def install_shortcut(shortcut: Shortcut, platform: str = sys.platform, home: Path | None = None) -> list[Path]:
    """Write the entry and its icons; returns the files, the entry first.

    platform: As `sys.platform` names it.
    home: The user's folder; None: that of this user.

    Raises `OutputError` for what cannot be written, `UsageError` for a system without such menus.
    """
    home = Path.home() if home is None else home
    if platform == "win32":
        return _windows(shortcut, home)
    if platform == "darwin":
        return _macos(shortcut, home)
    if platform.startswith(("linux", "freebsd", "openbsd")):
        return _linux(shortcut, home)
    raise UsageError(f"no shortcut can be made on {platform}: supported are Linux, Windows and macOS")


def _write(path: Path, data: bytes, mode: int | None = None) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
        if mode is not None:
            path.chmod(mode)
    except OSError as error:
        raise output_error(path, error) from error
    return path


# Linux and other systems with freedesktop.org menus


def _linux(shortcut: Shortcut, home: Path) -> list[Path]:
    given = os.environ.get("XDG_DATA_HOME", "")
    data = Path(given) if given.startswith("/") else home / ".local" / "share"  # a relative one is to be ignored
    lines = [
        "[Desktop Entry]",
        "Type=Application",
        "Version=1.5",
        f"Name={_value(shortcut.title)}",
        f"Comment={_value(shortcut.comment)}",
        f"Comment[zh_CN]={_value(shortcut.comment_zh)}",
        f"Exec={_value(' '.join(map(_argument, shortcut.command)))}",
        f"Icon={_value(shortcut.name)}",
        "Terminal=false",
        "Categories=Graphics;Photography;",
        "StartupNotify=false",
    ]
    entry = _write(data / "applications" / f"{shortcut.name}.desktop", ("\n".join(lines) + "\n").encode())
    icons = data / "icons" / "hicolor"
    files = [_write(icons / "scalable" / "apps" / f"{shortcut.name}.svg", shortcut.svg)]
    files += [_write(icons / f"{px}x{px}" / "apps" / f"{shortcut.name}.png", png) for px, png in shortcut.png.items()]
    return [entry, *files]


def _argument(text: str) -> str:
    """A quoted argument of Exec: quotes, backquotes, dollars and backslashes escaped, percent signs doubled."""
    if "\n" in text or "\r" in text:
        raise UsageError(f"a menu entry cannot hold a path with a line break: {text!r}")
    escaped = "".join(f"\\{one}" if one in '"`$\\' else one for one in text)
    return f'"{escaped}"'.replace("%", "%%")


def _value(text: str) -> str:
    """A string of the file: backslashes are doubled once more."""
    return text.replace("\\", "\\\\")


# Windows


def _windows(shortcut: Shortcut, home: Path) -> list[Path]:
    roaming, local = (
        Path(os.environ.get(name) or home / "AppData" / below)
        for name, below in (("APPDATA", "Roaming"), ("LOCALAPPDATA", "Local"))
    )
    link = roaming / "Microsoft" / "Windows" / "Start Menu" / "Programs" / f"{shortcut.name}.lnk"
    icon = _write(local / shortcut.name / f"{shortcut.name}.ico", ico(shortcut.png))
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(link, error) from error
    _powershell(powershell_program(shortcut, link, icon, home))
    if not link.exists():
        raise OutputError(f"cannot write {link}: PowerShell reported success and wrote nothing")
    return [link, icon]


def powershell_program(shortcut: Shortcut, link: Path, icon: Path, home: Path) -> str:
    """The program that writes a .lnk file; every text in it is a literal of PowerShell."""
    program, *arguments = shortcut.command
    fields = {
        "TargetPath": program,
        "Arguments": subprocess.list2cmdline(arguments),
        "WorkingDirectory": str(home),
        "IconLocation": f"{icon},0",
        "Description": shortcut.comment,
    }
    lines = [
        "$ErrorActionPreference = 'Stop'",
        f"$link = (New-Object -ComObject WScript.Shell).CreateShortcut({_literal(str(link))})",
        *(f"$link.{name} = {_literal(value)}" for name, value in fields.items()),
        "$link.WindowStyle = 7",  # minimized: the window shows what the server says, and closing it ends the server
        "$link.Save()",
    ]
    return "\n".join(lines)


def _literal(text: str) -> str:
    """PowerShell also takes typographic quotes for quotes."""
    return "'" + "".join(one * 2 if one in "'\u2018\u2019\u201a\u201b" else one for one in text) + "'"


def _powershell(program: str) -> None:
    encoded = base64.b64encode(program.encode("utf-16-le")).decode()  # any path, whatever the code page
    command = ["powershell", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-EncodedCommand", encoded]
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_WAIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutputError(f"cannot write the shortcut: PowerShell does not run ({error})") from error
    if result.returncode:
        words = result.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise OutputError(f"cannot write the shortcut: PowerShell says: {words}")


def ico(png: Mapping[int, bytes]) -> bytes:
    """An .ico file of PNG images, by their size in pixels (at most 256)."""
    images = [(px, data) for px, data in sorted(png.items()) if px <= 256]
    offset = 6 + 16 * len(images)
    entries = b""
    for px, data in images:
        entries += struct.pack("<BBBBHHII", px % 256, px % 256, 0, 0, 1, 32, len(data), offset)
        offset += len(data)
    return struct.pack("<HHH", 0, 1, len(images)) + entries + b"".join(data for _, data in images)


# macOS


def _macos(shortcut: Shortcut, home: Path) -> list[Path]:
    bundle = home / "Applications" / f"{shortcut.title}.app"
    contents = bundle / "Contents"
    facts = {
        "CFBundleName": shortcut.title,
        "CFBundleDisplayName": shortcut.title,
        "CFBundleIdentifier": f"org.{shortcut.name}.shortcut",
        "CFBundleExecutable": shortcut.name,
        "CFBundleIconFile": shortcut.name,
        "CFBundlePackageType": "APPL",
        "CFBundleInfoDictionaryVersion": "6.0",
        "CFBundleShortVersionString": "1.0",
        "LSMinimumSystemVersion": "10.13",
    }
    script = f"#!/bin/sh\nexec {shlex.join(shortcut.command)}\n"
    return [
        bundle,
        _write(contents / "Info.plist", plistlib.dumps(facts)),
        _write(contents / "MacOS" / shortcut.name, script.encode(), 0o755),
        _write(contents / "Resources" / f"{shortcut.name}.icns", icns(shortcut.png)),
    ]


_ICNS_KINDS = {128: b"ic07", 256: b"ic08", 512: b"ic09"}


def icns(png: Mapping[int, bytes]) -> bytes:
    """An .icns file of PNG images, by their size in pixels."""
    images: Sequence[tuple[bytes, bytes]] = [
        (_ICNS_KINDS[px], data) for px, data in sorted(png.items()) if px in _ICNS_KINDS
    ]
    entries = b"".join(kind + struct.pack(">I", 8 + len(data)) + data for kind, data in images)
    return b"icns" + struct.pack(">I", 8 + len(entries)) + entries
