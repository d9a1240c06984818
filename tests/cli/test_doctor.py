"""`upres doctor` as its users run it: on a bare core installation, on one whose wheels are broken, for people and for
programs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import REPOSITORY
from upres.cli.doctor import text_of
from upres.cli.main import app
from upres.doctor.report import Core, DoctorReport, EngineCheck, Hint, Run
from upres.doctor.requirements import UNTESTED
from upres.system.hardware import CacheFolder, Cards, Machine, Memory, Processor, Python, System
from upres.system.packages import install_command

# What Python runs at its start: the extras are not installed, and no process may open a connection.
BARE = """
import socket, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

def refuse(*_, **__):
    raise SystemExit("a connection was tried")

sys.meta_path.insert(0, Missing())
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""
EXTRAS = ("torch", "onnx", "onnxruntime", "openvino", "spandrel")


def doctor(
    folder: Path, *arguments: str, code: int = 0, missing: tuple[str, ...] = EXTRAS, **broken: str
) -> tuple[str, str]:
    """`broken` maps a module to the program that stands in its place."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(BARE.format(missing=missing))
    for module, program in broken.items():
        (site / f"{module}.py").write_text(program)
    env = {**os.environ, "PYTHONPATH": str(site), "UPRES_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    # as on a machine without Vulkan
    env |= {name: str(folder / "no-driver.json") for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")}
    command = [sys.executable, "-P", "-m", "upres", "doctor", *arguments]
    done = subprocess.run(command, capture_output=True, env=env, check=False, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def states(report: dict[str, Any]) -> dict[str, str]:
    return {check["engine"]: check["state"] for check in report["engines"] if check["device"] == "cpu"}


def keys(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        return {key for name, part in value.items() for key in keys(part, f"{path}.{name}" if path else name)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {f"{path}[]"} | {key for part in value for key in keys(part, f"{path}[]")}
    return {path}


@pytest.mark.slow
def test_a_bare_core_installation_works_and_says_how_to_get_the_rest(tmp_path: Path) -> None:
    out, err = doctor(tmp_path, "--json")
    assert err == ""
    report = json.loads(out)
    assert states(report) == {
        "ncnn": "ok",
        "torch": "missing",
        "onnx": "missing",
        "openvino": "missing",
        "spandrel": "missing",
    }
    assert [check["remedy"] for check in report["engines"] if check["state"] == "missing"] == [
        install_command(engine) for engine in ("torch", "onnx", "openvino", "spandrel")
    ]
    (vulkan,) = [check for check in report["engines"] if check["device"] == "vulkan"]
    assert vulkan["state"] == "absent" and "mesa-vulkan-drivers" in vulkan["words"]
    core = report["core"]
    assert core["works"] is True and core["problems"] == [] and core["house_models"] >= 1
    assert core["writes"] == ["avif", "jpeg", "png", "tiff", "webp"] and core["reads"] == [
        "avif",
        "gif",
        "jpeg",
        "png",
        "tiff",
        "webp",
    ]
    (run,) = next(
        check["runs"] for check in report["engines"] if check["engine"] == "ncnn" and check["device"] == "cpu"
    )
    assert run["precision"] == "fp32" and run["right"] and 0 <= run["difference"] < 1e-4
    assert report["schema"] == 1 and report["machine"]["cache"]["path"] == str(tmp_path / "cache")
    assert report["choices"] == {"path": str(tmp_path / "cache" / "engines.json"), "count": 0}
    assert not (tmp_path / "cache").exists()  # looking makes nothing


@pytest.mark.slow
def test_broken_wheels_are_told_with_the_remedy(tmp_path: Path) -> None:
    """The doctor speaks where everything else would end with a traceback."""
    broken = {
        "ncnn": "raise ImportError('libgomp.so.1: cannot open shared object file: No such file or directory')",
        "pyvips": "raise ModuleNotFoundError(\"No module named '_libvips'\")",
        "onnxruntime": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "onnx": "",
    }
    out, err = doctor(tmp_path, code=3, missing=("torch", "openvino", "spandrel"), **broken)
    assert "upres: ncnn, the engine of every installation, does not run" in err and "sudo apt install libgomp1" in err
    assert (
        "upres: pictures cannot be read or written (pyvips)" in err
        and "pip install --force-reinstall 'pyvips[binary]'" in err
    )
    lines = out.splitlines()
    assert lines[-1].split(maxsplit=1) == ["result", "UPSCALING DOES NOT WORK"]
    (onnx,) = [line for line in lines if line.startswith("onnx ")]
    assert onnx.split()[2] == "crashed" and "SIGSEGV" in onnx


def test_without_numpy_and_without_running_an_engine(tmp_path: Path) -> None:
    out, err = doctor(
        tmp_path, "--json", "--quick", code=3, numpy="raise ImportError('numpy was built for another Python')"
    )
    report = json.loads(out)
    assert states(report)["ncnn"] == "not-run" and report["core"]["works"] is False
    assert "numpy was built for another Python" in report["core"]["problems"][0] and "numpy" in err


def test_help_and_wrong_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        app(["doctor", "--help"])
    assert end.value.code == 0 and "--quick" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        app(["doctor", "--fast"])
    assert end.value.code == 2


# What a person and a program get, of a report that has everything.

NCNN = EngineCheck(
    "ncnn",
    "cpu",
    "cpu",
    "",
    "1.0.2026",
    "ok",
    "",
    (Run("fp32", True, 4e-7, 0.1, ""),),
    "every change: tests/x.py",
    None,
)
REPORT = DoctorReport(
    schema=1,
    upres="0.1.0",
    folder="/opt/upres",
    machine=Machine(
        Python("3.11.2", "CPython", "/usr/bin/python3"),
        System("Debian GNU/Linux 12", "linux", "6.1", "x86_64", True),
        Processor("Fast 9000", 64, 1.5),
        Memory(4 << 30, 3 << 30, 2 << 30),
        Cards(("NVIDIA",), True, ()),
        CacheFolder("/c", True, 2048, 9 << 30, None),
    ),
    packages={"numpy": "2.1", "torch": None},
    core=Core(True, (), "2.1", "8.18.0", ("gif", "png"), ("png",), 4),
    engines=(
        NCNN,
        replace(
            NCNN,
            device="vulkan:0",
            kind="vulkan",
            device_name="Card",
            tested=UNTESTED,
            runs=(*NCNN.runs, Run("fp16", False, None, 0.1, "it was black")),
        ),
        replace(
            NCNN,
            engine="torch",
            version=None,
            state="missing",
            words="torch not installed",
            runs=(),
            remedy="pip install it",
        ),
        replace(
            NCNN,
            engine="onnx",
            state="wrong",
            words="its result is not right",
            runs=(Run("fp32", False, 0.4, 0.1, ""),),
        ),
    ),
    choices={"path": "/c/engines.json", "count": 2},
    untested=("ncnn vulkan", "torch cuda"),
    hints=(Hint("two of them are here", "they overwrite each other", "pip uninstall -y one"),),
)


def test_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    lines = text_of(REPORT)
    for words in (
        "upres      0.1.0, /opt/upres",
        "processor  Fast 9000, 64 usable cores, the container may use 1.5",
        "memory     3.0 GB free of 4.0 GB, the container may use 2.0 GB",
        "cache      /c, 2 KB, 9.0 GB free on its disk, writable",
        "choices    /c/engines.json, 2 measured (--engine auto)",
        "pictures   libvips 8.18.0, reads and writes png; reads gif",
        "ncnn    cpu       ok             1.0.2026  yes       fp32 right (at most 0.000102 levels off)",
        "ncnn    vulkan:0  ok             1.0.2026  untested  Card; fp32 right (at most 0.000102 levels off), fp16 "
        "WRONG (it was black)",
        "torch             not installed                      torch not installed; pip install it",
        "onnx    cpu       WRONG RESULT   1.0.2026  yes       fp32 WRONG (at most 102 levels off); its result is not "
        "right",
        "hint     two of them are here",
        "  why    they overwrite each other",
        "  remedy pip uninstall -y one",
        "result     upscaling works",
    ):
        assert words in lines, "\n".join(lines)
    assert any(line.startswith("untested   ncnn vulkan, torch cuda: this project has never run them") for line in lines)
    assert any(line.startswith("private    nothing was sent anywhere") for line in lines)
    assert max(map(len, lines)) <= 140


def test_the_text_keeps_to_a_narrow_terminal_and_breaks_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://example.org/" + "a" * 90
    untested = tuple(f"engine{number} device" for number in range(30))
    monkeypatch.setenv("COLUMNS", "80")
    lines = text_of(replace(REPORT, untested=untested, hints=(Hint("what " * 40, "why", f"see {address}"),)))
    below = lines[lines.index("  why    why") :]
    assert [len(line) > 80 for line in below] == [address in line for line in below]
    assert len([line for line in below if "engine" in line]) > 5


def test_a_cache_that_holds_nothing_is_empty() -> None:
    cache = replace(REPORT.machine.cache, bytes=0, exists=False)
    lines = text_of(replace(REPORT, machine=replace(REPORT.machine, cache=cache)))
    assert "cache      /c, empty, 9.0 GB free on its disk, not created yet" in lines


def test_the_keys_of_the_json_are_those_of_the_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upres.doctor.examine.examine", lambda **_: REPORT)
    with pytest.raises(SystemExit) as end:
        app(["doctor", "--json"])
    assert end.value.code == 0
    found = keys(json.loads(capsys.readouterr().out))
    assert {key for key in found if not key.startswith("packages")} == {
        *("schema", "upres", "folder", "untested"),
        *(f"machine.python.{name}" for name in ("version", "implementation", "executable")),
        *(f"machine.system.{name}" for name in ("name", "kind", "release", "machine", "container")),
        *(f"machine.processor.{name}" for name in ("model", "cores", "quota")),
        *(f"machine.memory.{name}" for name in ("total", "available", "limit")),
        *(f"machine.cards.{name}" for name in ("makers", "nvidia_driver", "locked")),
        *(f"machine.cache.{name}" for name in ("path", "exists", "bytes", "disk_free", "problem")),
        *(f"core.{name}" for name in ("works", "problems", "numpy", "libvips", "reads", "writes", "house_models")),
        *("engines[]", "engines[].runs"),
        *(
            f"engines[].{name}"
            for name in ("engine", "device", "kind", "device_name", "version", "state", "words", "tested", "remedy")
        ),
        *(
            "engines[].runs[]",
            *(f"engines[].runs[].{name}" for name in ("precision", "right", "difference", "seconds", "words")),
        ),
        *("choices.path", "choices.count", "hints[]", "hints[].what", "hints[].why", "hints[].remedy"),
    }
    page = (REPOSITORY / "docs/doctor.md").read_text(encoding="utf-8")
    table = page[page.index("## `--json`") :]
    for key in found:
        assert (
            f"`{key.rpartition('.')[2].removesuffix('[]')}`" in table
            or key.startswith("packages")
            or f"`{key}`" in table
        ), key


def test_video_names_its_license() -> None:
    there, missing = (replace(REPORT, packages={"av": version}) for version in ("18.1.0", None))
    assert "video      PyAV 18.1.0, whose wheels carry x264 and x265 (GPL)" in text_of(there)
    assert "video      not installed: pip install 'upres[video]'" in text_of(missing)
