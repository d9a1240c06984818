"""VMAF by the filter libvmaf of an ffmpeg that is at hand: frames go through one pipe, reference above result.

VMAF: Li et al., "Toward a practical perceptual video quality metric" (Netflix, 2016), with the model that the filter
has by default.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from upres.errors import EngineError
from upres.evaluation.pictures import Levels
from upres.system.text import first_line, parse_json, shown

_FIND_S = 20.0
_END_S = 600.0


@dataclass(frozen=True, slots=True)
class FoundFfmpeg:
    """An ffmpeg with libvmaf: its path, or why there is none."""

    path: str | None
    reason: str = ""


def find_ffmpeg(asked: Path | None = None) -> FoundFfmpeg:
    """The ffmpeg `asked` for, or the one in the search path, if it has libvmaf.

    Raises `EngineError` if the one asked for has not.
    """
    path = str(asked) if asked is not None else shutil.which("ffmpeg")
    if path is None:
        return FoundFfmpeg(None, "no ffmpeg is in the search path")
    try:
        told = subprocess.run(
            [path, "-hide_banner", "-filters"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FIND_S,
        )
        reason = "" if " libvmaf " in told.stdout else "it has no filter libvmaf"
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"it does not start ({first_line(str(error))})"
    if reason and asked is not None:
        raise EngineError(f"`ffmpeg={shown(path)}`: {reason}; name one that has it")
    return FoundFfmpeg(None, f"{shown(path)}: {reason}") if reason else FoundFfmpeg(path)


@dataclass(slots=True)
class Vmaf:
    """Measures one version, frame by frame. Use it in a `with` statement.

    ffmpeg: Its path.
    height, width: Of the frames.
    """

    ffmpeg: str
    height: int
    width: int
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _process: subprocess.Popen[bytes] | None = None
    _errors: Any = field(default=None)

    def __enter__(self) -> Vmaf:
        self._folder = tempfile.TemporaryDirectory(prefix="upres-vmaf-")
        self._errors = tempfile.TemporaryFile()  # closed at the end
        size = f"{self.width}:{self.height}"
        graph = (
            f"[0:v]split[a][b];[a]crop={size}:0:0,format=yuv420p[r];[b]crop={size}:0:{self.height},format=yuv420p[d];"
            "[d][r]libvmaf=log_fmt=json:log_path=vmaf.json"
        )
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{self.width}x{2 * self.height}", "-r", "25", "-i", "-"]
        command = [self.ffmpeg, "-hide_banner", "-loglevel", "error", *source, "-lavfi", graph, "-f", "null", "-"]
        path = Path(self._folder.name)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors, cwd=path
        )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None:
            if process.poll() is None:
                process.kill()
            with suppress(OSError):
                assert process.stdin is not None
                process.stdin.close()
            process.wait()
        self._errors.close()
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, sr: Levels, hr: Levels) -> None:
        """The next frame of both, uint8 `h w 3`. Raises `EngineError` if ffmpeg has ended."""
        assert self._process is not None and self._process.stdin is not None
        try:
            for one in (hr, sr):
                self._process.stdin.write(np.ascontiguousarray(one).data)
        except OSError as error:
            raise EngineError(f"ffmpeg ended while it measured VMAF: {self._said()}") from error

    def finish(self) -> list[float]:
        """VMAF of each frame. Raises `EngineError` if ffmpeg fails."""
        assert self._process is not None and self._process.stdin is not None and self._folder is not None
        try:
            self._process.stdin.close()
            code = self._process.wait(_END_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"ffmpeg did not finish VMAF: {self._said()}") from error
        file = Path(self._folder.name) / "vmaf.json"
        if code or not file.exists():
            raise EngineError(f"ffmpeg failed to measure VMAF: {self._said()}")
        try:
            return [float(frame["metrics"]["vmaf"]) for frame in parse_json(file.read_bytes())["frames"]]
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"ffmpeg's figures of VMAF cannot be read: {first_line(str(error))}") from error

    def _said(self) -> str:
        self._errors.seek(0)
        return shown(first_line(self._errors.read().decode(errors="replace"))) or "it says nothing"
