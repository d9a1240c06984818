"""Compiles winograd.cpp for this processor on first use, and keeps the library in the cache."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from upres.errors import EngineError, OutputError
from upres.system.download import cache_folder
from upres.system.files import sha256_of, write_atomic
from upres.training.winograd.kernel import Kernel

SOURCES: Final = tuple(Path(__file__).with_name(name) for name in ("winograd.cpp", "winograd.h"))
_FLAGS: Final = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")


@functools.cache
def load_kernel() -> Kernel:
    """Compile (a few seconds, once per machine) and load.

    Raises `EngineError` without Linux, g++ or a cache, or if it fails.
    """
    if sys.platform != "linux":
        raise EngineError(f"Winograd convolutions need Linux, this is {sys.platform}: use torch's own")
    named = os.environ.get("CXX", "g++")
    compiler = shutil.which(named)
    if compiler is None:
        raise EngineError(
            f"Winograd convolutions need the compiler {named}, which is not installed: install it, or use torch's own"
        )
    target = cache_folder() / f"winograd-{_fingerprint(compiler)}.so"
    try:
        if not _is_whole(target):
            _build(compiler, target)
        return Kernel(target)
    except (OSError, OutputError) as error:  # the folder cannot be written to, or forbids execution
        raise EngineError(
            f"the compiled Winograd convolutions cannot be stored in {target.parent} ({error}): set UPRES_CACHE to "
            "another folder, or "
            "use torch's own"
        ) from error


def _build(compiler: str, target: Path) -> None:
    """Compile to a temporary file, then store the library before its digest: other processes and power cuts must not
    see half of it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        built = Path(folder) / target.name
        result = _compiler(compiler, *_FLAGS, str(SOURCES[0]), "-o", str(built))
        if result.returncode:
            raise EngineError(
                f"{compiler} cannot compile {SOURCES[0].name}: {result.stderr.strip()[-500:]}: use torch's own"
            )
        library = built.read_bytes()
    write_atomic(target, library)
    write_atomic(_digest_path(target), hashlib.sha256(library).hexdigest().encode())


def _digest_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _is_whole(target: Path) -> bool:
    """Whether the library is complete: loading a truncated one crashes the process."""
    digest = _digest_path(target)
    if not target.is_file() or not digest.is_file():
        return False
    return sha256_of(target) == digest.read_text(encoding="utf-8", errors="replace")


def _compiler(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise EngineError(
            f"the compiler {command[0]} cannot be started ({error.strerror}): use torch's own convolutions"
        ) from error


def _fingerprint(compiler: str) -> str:
    """A hash of everything that determines the library: source, flags, compiler and processor (the cache may be
    shared).
    """
    version = _compiler(compiler, "--version").stdout
    processor = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "Features"))), ""
    )
    words = "\n".join([*_FLAGS, version, platform.machine(), processor])
    return hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES) + words.encode()).hexdigest()[:16]
