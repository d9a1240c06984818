"""How the kernel is had: compiled, kept, and refused with a word where it cannot be."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("torch")

from upres.errors import EngineError
from upres.training.winograd import build
from upres.training.winograd.build import load_kernel

load = load_kernel.__wrapped__  # what a new process would do


def a_compiler(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.sys, "platform", "darwin")
    with pytest.raises(EngineError, match="need Linux, this is darwin: use torch's own"):
        load()


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        EngineError, match=r"need the compiler no-such-compiler, which is not installed: install it, or use torch's"
    ):
        load()


def test_the_message_of_a_failing_compiler_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    monkeypatch.setenv("CXX", a_compiler(tmp_path / "c++", "echo 'unknown option -march' >&2; exit 1"))
    with pytest.raises(EngineError, match=r"cannot compile winograd\.cpp: unknown option -march"):
        load()
    assert list(cache.iterdir()) == []  # nothing half made is left to be found


def test_it_is_compiled_once_for_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    calls = tmp_path / "calls"
    real = build.shutil.which("g++")
    if real is None:
        pytest.skip("g++ is not installed")
    # A library that has the two names is enough to be loaded.
    stub = tmp_path / "stub.cpp"
    stub.write_text('extern "C" { int upres_convolve() { return 0; } int upres_weight_gradients() { return 0; } }')
    steps = f'echo run >> {calls}; while [ "$1" != -o ]; do shift; done; {real} -shared {stub} -o "$2"'
    script = f'[ "$1" = --version ] && echo one || {{ {steps}; }}'
    monkeypatch.setenv("CXX", a_compiler(tmp_path / "c++", script))
    first, second = load(), load()
    assert first.library == second.library and first.library.parent == cache
    assert calls.read_text().split() == ["run"]
    a_compiler(tmp_path / "c++", script.replace("echo one", "echo two"))
    assert load().library != first.library
    assert calls.read_text().split() == ["run", "run"]


def test_a_compiler_that_cannot_be_started_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "c++"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(EngineError, match=r"c\+\+ cannot be started"):
        load()


def test_the_sources_compile_without_a_warning(tmp_path: Path) -> None:
    compiler = build.shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    for width in ((), ("-mavx512f",)) if "avx" in Path("/proc/cpuinfo").read_text() else ((),):
        command = [
            compiler,
            "-std=c++17",
            "-O0",
            "-fopenmp",
            "-fsyntax-only",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-psabi",
            *width,
        ]
        result = subprocess.run([*command, str(build.SOURCES[0])], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
