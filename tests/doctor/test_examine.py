"""What the doctor makes of what its processes told."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from tests.system.test_subprocesses import TELL, outcomes
from upres.doctor import examine
from upres.doctor.report import EngineCheck
from upres.doctor.requirements import TESTED, UNTESTED
from upres.system.packages import ENGINES
from upres.system.subprocesses import ProcessOutcome

READY = {"step": "ready", "device": "cpu", "version": "ncnn 1.2"}
RIGHT = {
    "step": "run",
    "device": "cpu",
    "precision": "fp32",
    "right": True,
    "difference": 1e-6,
    "seconds": 0.1,
    "words": "",
}
DEVICE = {"step": "devices", "devices": [["vulkan:0", "vulkan", "Card"]], "reason": ""}
WRONG = RIGHT | {"right": False, "difference": 0.4}


def checks(outcome: ProcessOutcome, *devices: ProcessOutcome, engine: str = "ncnn") -> list[EngineCheck]:
    return examine._checks(engine, False, {one.job: one for one in (outcome, *devices)})


def of(
    *told: dict[str, Any], job: tuple[str, ...] = ("ncnn",), code: int = 0, timed_out: bool = False, reason: str = ""
) -> ProcessOutcome:
    return ProcessOutcome(job, told, code, timed_out, reason)


def test_states(monkeypatch: pytest.MonkeyPatch) -> None:
    none = {"step": "devices", "devices": [], "reason": ""}
    (check,) = checks(of(READY, RIGHT, none))
    assert (check.state, check.version, check.tested) == ("ok", "1.2", TESTED["ncnn", "cpu"])
    assert checks(of(READY, WRONG, none))[0].state == "wrong"
    (check,) = checks(of(code=1, reason="ImportError: no"))
    assert (check.state, check.words, check.remedy) == (
        "failed",
        "ImportError: no",
        "pip install --force-reinstall ncnn",
    )
    assert checks(of(READY, code=-11))[0].state == "crashed"
    assert checks(of(READY, code=0xC0000005))[0].words == "its process was ended by code 0xC0000005"
    assert checks(of(READY, timed_out=True))[0].state == "timeout"
    assert [check.state for check in examine._checks("ncnn", True, {})] == ["not-run"]
    monkeypatch.setattr(examine, "missing_modules", lambda engine: ["spandrel"])
    (missing,) = examine._checks("spandrel", False, {})
    assert (missing.state, missing.remedy) == ("missing", "pip install 'upres[spandrel]'")


def test_a_driver_that_crashes_while_it_is_looked_for_takes_nothing_from_the_cpu() -> None:
    cpu, others = checks(of(READY, RIGHT, code=-6))
    assert (cpu.state, others.device, others.state) == ("ok", "others", "crashed")
    assert others.words == "while looking for devices: its process was ended by signal SIGABRT"
    _, gpu, others = checks(of(READY, RIGHT, DEVICE, code=-11), of(READY, RIGHT, job=("ncnn", "vulkan:0")))
    assert (gpu.state, others.state) == ("ok", "crashed")


def test_how_a_process_ended_is_told_in_words() -> None:
    (killed,) = outcomes(
        f"{TELL} import os, signal; print('dying', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)"
    )
    (hung,) = outcomes("import time; time.sleep(60)", timeout_s=0.5)
    assert killed.crashed and hung.timed_out and not hung.crashed
    assert examine._end(killed) == "its process was ended by signal SIGSEGV (dying)"
    assert examine._end(hung) == "no answer within 60 s"


def test_devices() -> None:
    found = {
        "step": "devices",
        "devices": [["vulkan:0", "vulkan", "Card"], ["vulkan:1", "vulkan-software", "llvmpipe"]],
        "reason": "",
    }
    half = RIGHT | {"precision": "fp16"}
    first = of(READY, RIGHT, half, job=("ncnn", "vulkan:0"))
    second = of(READY, RIGHT, job=("ncnn", "vulkan:1"), code=1, reason="no fp16 here")
    _, card, software = checks(of(READY, RIGHT, found), first, second)
    assert (card.state, card.device_name, card.tested, [run.precision for run in card.runs]) == (
        "ok",
        "Card",
        UNTESTED,
        ["fp32", "fp16"],
    )
    assert (software.state, software.words) == ("ok", "no half precision: no fp16 here")
    assert "llvmpipe" in software.tested
    _, absent = checks(of(READY, RIGHT, {"step": "devices", "devices": [], "reason": "no driver; install one"}))
    assert (absent.device, absent.state, absent.words) == ("vulkan", "absent", "no driver; install one")


def test_the_core_works_or_the_reason_is_told() -> None:
    told = (
        {"step": "numpy", "version": "2"},
        {"step": "codecs", "libvips": "8.18", "reads": ["png"], "writes": ["png"], "faults": []},
        {"step": "models", "count": 4, "damaged": []},
        {"step": "choices", "path": "/c", "count": 2},
    )
    ok = tuple(checks(of(READY, RIGHT, {"step": "devices", "devices": [], "reason": ""})))
    core, choices = examine._core(of(*told), ok[0])
    assert core.works is True and core.problems == () and choices == {"path": "/c", "count": 2}
    assert examine._core(of(*told), replace(ok[0], state="not-run"))[0].works is None
    core, _ = examine._core(of(*told), replace(ok[0], state="crashed", words="signal"))
    assert core.works is False and "ncnn" in core.problems[0]
    for known, word in ((0, "numpy"), (1, "pyvips"), (2, "bundled models")):
        core, choices = examine._core(of(*told[:known], code=1, reason="ImportError: x"), ok[0])
        assert (
            core.works is False
            and word in core.problems[0]
            and "ImportError: x" in core.problems[0]
            and choices["path"] is None
        )
    core, _ = examine._core(of(*told[:2], told[2] | {"damaged": ["bundled model a: changed"]}, told[3]), ok[0])
    assert core.problems == ("bundled model a: changed",)


def test_no_room_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(examine.tempfile, "gettempdir", none)
    with pytest.raises(examine.OutputError, match="set TMPDIR"):
        examine.examine()


def test_the_doctor_itself_needs_nothing_that_may_be_broken() -> None:
    program = "import upres.doctor.examine, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"numpy", "pyvips", "httpx", "typer", *(modules[0] for modules in ENGINES.values())}.isdisjoint(
        done.stdout.split()
    )
