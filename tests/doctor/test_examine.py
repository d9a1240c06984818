"""What the doctor finds, judges and advises: made machines, processes that misbehave, and the table of what was ever tested."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests import REPOSITORY
from tests.system.test_memory import GIB, made_root
from tests.tiny import FakeRunner
from upres.doctor import examine, probe
from upres.doctor.hints import hints
from upres.doctor.report import Check, Findings, Hint, Run
from upres.doctor.requirements import LIBRARIES, TESTED, UNTESTED, installed, mend, minimum_versions, older, untested_kinds
from upres.engines import ENGINES
from upres.engines.ncnn.devices import vulkan_devices
from upres.engines.registry import DEVICES, check_device
from upres.engines.sample_picture import sample
from upres.errors import EngineError
from upres.system import hardware, subprocesses
from upres.system.hardware import Cache, Cards, Machine, Memory, Processor, Python, System
from upres.system.subprocesses import WORD, Outcome, run_all

# The machine.


@pytest.mark.parametrize(
    ("files", "quota", "limit"),
    [
        ({}, None, None),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n", "sys/fs/cgroup/a/memory.max": "max\n"}, None, None),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/a/memory.max": f"{3 * GIB}\n",
            },
            1.5,
            3 * GIB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            2.0,
            GIB,
        ),
    ],
)
def test_the_limits_of_a_container(tmp_path: Path, files: dict[str, str], quota: float | None, limit: int | None) -> None:
    root = made_root(tmp_path, files | {"proc/cpuinfo": "processor: 0\nmodel name\t: Fast 9000\n"})
    found = hardware.processor(root)
    assert (found.model, found.quota, hardware.memory_limit(root)) == ("Fast 9000", quota, limit)
    assert found.cores >= 1


def test_cards_are_read_from_the_bus_with_or_without_a_driver(tmp_path: Path) -> None:
    screen, sound = "0x030000", "0x040300"
    devices = {"00": (screen, "0x8086"), "01.0": ("0x030200", "0x10de"), "01.1": (sound, "0x10de"), "02": (screen, "0x1234")}
    files: dict[str, str] = {}
    for name, (kind, maker) in devices.items():
        files |= {f"sys/bus/pci/devices/{name}/class": f"{kind}\n", f"sys/bus/pci/devices/{name}/vendor": f"{maker}\n"}
    root = made_root(tmp_path, files)
    assert hardware.cards(root) == Cards(("Intel", "NVIDIA"), False, ())
    made_root(tmp_path, {"proc/driver/nvidia/version": "NVRM version: 570\n"})
    assert hardware.cards(root).nvidia_driver
    assert hardware.cards(tmp_path / "none") == Cards((), False, ())


def test_the_cache_folder(tmp_path: Path) -> None:
    assert hardware.cache(tmp_path / "a/b") == replace(hardware.cache(tmp_path), path=str(tmp_path / "a/b"), exists=False)
    assert not (tmp_path / "a").exists()  # looking makes nothing
    (tmp_path / "models").mkdir()
    (tmp_path / "models/m.pth").write_bytes(bytes(1000))
    found = hardware.cache(tmp_path)
    assert (found.exists, found.bytes, found.problem) == (True, 1000, None) and found.disk_free > 0
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "models", tmp_path / "models/m.pth"]
    problem = hardware.cache(tmp_path / "models/m.pth").problem
    assert problem is not None and "is no folder" in problem


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(hardware, "cache_folder", no_home)
    problem = hardware.look().cache.problem
    assert problem == "Could not determine home directory. Set UPRES_CACHE to a folder"


# The table.


def test_every_engine_and_device_is_in_the_table() -> None:
    assert set(LIBRARIES) == {*ENGINES, "spandrel"} - {"auto"}
    known = {(engine, kind.split("-")[0]) for engine, kind in TESTED}
    asked = {(engine, device) for engine, devices in DEVICES.items() for device in devices}
    assert asked - known == set()
    assert known - asked == {("torch", "rocm"), ("spandrel", "cpu")}  # ROCm's torch calls its devices "cuda"


def test_where_it_is_tested_is_a_file_of_the_tests() -> None:
    for (engine, kind), where in TESTED.items():
        if where != UNTESTED:
            (named,) = re.findall(r"tests/\w+\.py", where)
            text = (REPOSITORY / named).read_text(encoding="utf-8")
            assert f'"{engine}"' in text and kind.split("-")[0] in text, named


def test_no_gpu_is_called_tested() -> None:
    tested = {pair for pair, where in TESTED.items() if where != UNTESTED}
    assert {kind for _, kind in tested} == {"cpu", "vulkan-software"}
    assert "ncnn vulkan" in untested_kinds() and "torch cuda" in untested_kinds() and "ncnn cpu" not in untested_kinds()


def test_the_page_tells_the_same() -> None:
    page = (REPOSITORY / "docs/doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([\w-]+)` \| (.+?) \|$", page, re.MULTILINE)
    assert {(engine, kind): where.replace("`", "") for engine, kind, where in rows} == TESTED


@pytest.mark.parametrize(
    ("found", "least", "expected"),
    [
        ("2.3.1", "2.4", True),
        ("2.4.0+cu121", "2.4", False),
        ("2.13.0", "2.4", False),
        ("1.0.20240102", "1.0.20250503", True),
        ("2024.4.0", "2024.4", False),
        ("nightly", "2.4", False),
    ],
)
def test_versions_are_compared_as_numbers(found: str, least: str, expected: bool) -> None:
    assert older(found, least) is expected


def test_least_versions_are_those_of_the_package_itself() -> None:
    least = minimum_versions()
    assert least["torch"] == "2.4" and least["pyvips"] == "3.0" and least["ncnn"].startswith("1.0.2025") and "upres" not in least


@pytest.mark.parametrize(
    ("module", "reason", "remedy"),
    [
        ("ncnn", "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory", "sudo apt install libgomp1"),
        ("torch", "OSError: libcudnn.so.9: cannot open shared object file", "install the system's package that has libcudnn.so.9"),
        ("ncnn", "ImportError: DLL load failed while importing ncnn", "https://aka.ms/vs/17/release/vc_redist.x64.exe"),
        ("onnx", "ImportError: broken", "pip install --force-reinstall onnxruntime"),
        ("pyvips", "ModuleNotFoundError: No module named '_libvips'", "pip install --force-reinstall 'pyvips[binary]'"),
    ],
)
def test_a_library_that_cannot_be_imported_gets_its_remedy(module: str, reason: str, remedy: str) -> None:
    assert remedy in (mend(module, reason) or "")
    assert mend(module, "torch cannot use device 'cuda'") is None


def test_what_is_installed_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "upres_probe_of_a_test.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed("upres_probe_of_a_test") and not installed("no_such_module")


# The network that is run.


def test_the_answer_is_that_of_torch() -> None:
    state = {name: torch.from_numpy(array.astype(np.float64)) for name, array in probe.tiny_state().items()}
    lr = sample(3, 32, 32)
    x = first = torch.from_numpy(lr.astype(np.float64))
    for index in (0, 2, 4):
        x = F.conv2d(x, state[f"body.{index}.weight"], state[f"body.{index}.bias"], padding=1)
        x = F.prelu(x, state[f"body.{index + 1}.weight"]) if index < 4 else F.pixel_shuffle(x, 2)
    x += F.interpolate(first, scale_factor=2.0, mode="nearest")
    found = probe.tiny_result(lr)
    np.testing.assert_allclose(found, x.numpy(), rtol=0, atol=1e-12)
    plain = lr.repeat(2, axis=2).repeat(2, axis=3)
    assert 0.1 < np.abs(found - plain).max() < 3.0  # an engine that leaves the network out is found out


@pytest.mark.parametrize(("spoil", "right"), [(0.0, True), (0.01, False), (float("nan"), False)])
def test_a_wrong_result_is_called_wrong(capsys: pytest.CaptureFixture[str], spoil: float, right: bool) -> None:
    def spoiled(lr: np.ndarray) -> np.ndarray:
        result = probe.tiny_result(lr).astype(np.float32)
        result[0, 1, 5, 7] += spoil
        return result

    probe._compare(spoiled, "cpu", "fp32")
    (run,) = told(capsys, "run")
    assert run["right"] is right and (run["difference"] is None) is (spoil != spoil)


def told(capsys: pytest.CaptureFixture[str], step: str) -> list[dict[str, Any]]:
    lines = [json.loads(line.removeprefix(WORD)) for line in capsys.readouterr().out.splitlines() if line.startswith(WORD)]
    return [line for line in lines if line["step"] == step]


FAKES: dict[str, tuple[str, Any]] = {
    "torch": (
        "torch",
        SimpleNamespace(
            version=SimpleNamespace(cuda="12.8", hip=None),
            cuda=SimpleNamespace(device_count=lambda: 2, get_device_name=lambda index: f"Card {index}"),
            backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: True)),
            xpu=SimpleNamespace(device_count=lambda: 0),
        ),
    ),
    "onnx": ("onnxruntime", SimpleNamespace(get_available_providers=lambda: ["DmlExecutionProvider", "CPUExecutionProvider"])),
    "openvino": (
        "openvino",
        SimpleNamespace(
            Core=lambda: SimpleNamespace(available_devices=["CPU", "GPU.0", "NPU"], get_property=lambda name, _: f"Intel {name}")
        ),
    ),
}


@pytest.mark.parametrize(
    ("engine", "devices"),
    [
        ("torch", [["cuda:0", "cuda", "Card 0"], ["cuda:1", "cuda", "Card 1"], ["mps", "mps", "Apple GPU"]]),
        ("onnx", [["directml", "directml", "DmlExecutionProvider"]]),
        ("openvino", [["gpu:0", "gpu", "Intel GPU.0"], ["npu", "npu", "Intel NPU"]]),
    ],
)
def test_devices_that_a_library_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], engine: str, devices: list[list[str]]
) -> None:
    monkeypatch.setattr(probe, "_run", lambda *_: None)
    monkeypatch.setitem(sys.modules, *FAKES[engine])
    probe.main([engine])
    (found,) = told(capsys, "devices")
    assert found["devices"] == devices
    for device, kind, _ in devices:
        check_device(engine, device)  # the door to the engines knows it by that name
        assert (engine, kind) in TESTED


def test_a_run_elsewhere_than_asked_for_and_half_precision_that_was_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Runner(FakeRunner):
        name, device, notes = "torch 9", "cuda:0", ("fp16 is not used, it was black",)

        def __call__(self, lr: np.ndarray) -> np.ndarray:
            return probe.tiny_result(lr).astype(np.float32)

    monkeypatch.setattr("upres.engines.load", lambda *_, **__: Runner())
    with pytest.raises(EngineError, match="asked for mps, it ran on cuda:0"):
        probe.main(["torch", "mps"])
    probe.main(["torch", "cuda:0"])
    single, half = told(capsys, "run")
    assert single["right"] and single["precision"] == "fp32"
    assert not half["right"] and (half["precision"], half["words"]) == ("fp16", "fp16 is not used, it was black")


@pytest.mark.parametrize(("engine", "device"), [("ncnn", "vulkan:0"), ("openvino", "cpu")])
def test_it_runs_and_is_right(engine: str, device: str) -> None:
    """What `upres doctor` does with the engines of this machine; the others are in tests/engines/test_engines.py, against each other."""
    if not all(map(installed, LIBRARIES[engine].modules)):
        pytest.skip(f"{engine} is not installed")
    job = (engine,) if device == "cpu" else (engine, device)
    if device != "cpu" and not vulkan_devices()[0]:
        pytest.skip("no Vulkan driver")
    command = [sys.executable, "-P", "-m", "upres.doctor.probe"]
    (outcome,) = run_all([job], command, lambda _: (), at_once=1, timeout_s=120.0, env=examine._environment())
    assert outcome.all("run"), outcome.reason
    assert all(run["right"] and run["device"] == device for run in outcome.all("run")), outcome.told
    assert outcome.ended_well, outcome.reason


# Processes.


def outcomes(*programs: str, timeout_s: float = 30.0) -> list[Outcome]:
    """Each program, in an interpreter of its own, in the order in which they are named."""
    command = [sys.executable, "-S", "-c", "import sys; exec(sys.argv[1])"]  # -S starts quickly
    found = run_all([(program,) for program in programs], command, lambda _: (), at_once=2, timeout_s=timeout_s)
    return sorted(found, key=lambda one: programs.index(one.job[0]))


TELL = "print('upres-doctor {\"step\": \"ready\", \"version\": \"ncnn 1\"}', flush=True); "


def test_processes_tell_what_they_can_before_they_end() -> None:
    well, raised, killed = outcomes(
        f"import os; os.write(1, b'driver chatter\\n'); {TELL}",
        f"{TELL} raise ImportError('libx.so: cannot open shared object file')",
        f"{TELL} import os, signal; print('dying', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)",
    )
    for one in (well, raised, killed):
        assert one.all("ready") == [{"step": "ready", "version": "ncnn 1"}]
    assert well.ended_well and not raised.ended_well and not raised.crashed and killed.crashed
    assert raised.reason == "ImportError: libx.so: cannot open shared object file"
    assert examine._end(killed, 30.0) == "its process was ended by signal SIGSEGV (dying)"


def test_one_that_hangs_is_ended_and_more_jobs_come_from_what_one_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "hanging"
    real = time.monotonic
    monkeypatch.setattr(subprocesses.time, "monotonic", lambda: real() + (1000.0 if hanging.exists() else 0.0))  # once it has told
    program = f"import sys, time; {TELL} sys.argv[1] == 'hang' and (open({str(hanging)!r}, 'w'), time.sleep(60))"
    names: list[str] = []
    first, hung = run_all(
        [("first",)],
        [sys.executable, "-S", "-c", program],
        lambda one: [("hang",)] if one.job == ("first",) else [],
        at_once=1,
        timeout_s=500.0,
        tell=names.append,
    )
    assert names == ["first", "hang"]
    assert first.ended_well and hung.timed_out and not hung.crashed and hung.first("ready") is not None
    assert examine._end(hung, 500.0) == "no answer within 500 s"


def test_nothing_is_left_running_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*arguments, **options))
        return started[-1]

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    real = subprocess.Popen
    monkeypatch.setattr(subprocesses.subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
        run_all([("job",)], sleeper, lambda _: (), at_once=1, timeout_s=60.0, tell=interrupt)
    assert [one.returncode for one in started] == [-signal.SIGKILL]


# What is made of their words.

READY = {"step": "ready", "device": "cpu", "version": "ncnn 1.2"}
RIGHT = {"step": "run", "device": "cpu", "precision": "fp32", "right": True, "difference": 1e-6, "seconds": 0.1, "words": ""}
WRONG = RIGHT | {"right": False, "difference": 0.4}


def checks(outcome: Outcome, *devices: Outcome, engine: str = "ncnn") -> list[Check]:
    return examine._checks(engine, True, False, {one.job: one for one in (outcome, *devices)}, 9.0)


def of(*told: dict[str, Any], job: tuple[str, ...] = ("ncnn",), code: int = 0, timed_out: bool = False, reason: str = "") -> Outcome:
    return Outcome(job, told, code, timed_out, reason)


def test_states() -> None:
    none = {"step": "devices", "devices": [], "reason": ""}
    (check,) = checks(of(READY, RIGHT, none))
    assert (check.state, check.version, check.tested) == ("ok", "1.2", TESTED["ncnn", "cpu"])
    assert checks(of(READY, WRONG, none))[0].state == "wrong"
    (check,) = checks(of(code=1, reason="ImportError: no"))
    assert (check.state, check.words, check.remedy) == ("failed", "ImportError: no", "pip install --force-reinstall ncnn")
    assert checks(of(READY, code=-11))[0].state == "crashed"
    assert checks(of(READY, code=0xC0000005))[0].words == "its process was ended by code 0xC0000005"
    assert checks(of(READY, timed_out=True))[0].state == "timeout"
    (missing,) = examine._checks("spandrel", False, False, {}, 9.0)
    assert (missing.state, missing.remedy) == ("missing", "pip install 'upres[spandrel]'")
    assert [check.state for check in examine._checks("ncnn", True, True, {}, 9.0)] == ["not-run"]


def test_a_driver_that_crashes_while_it_is_looked_for_takes_nothing_from_the_cpu() -> None:
    cpu, others = checks(of(READY, RIGHT, code=-6))
    assert (cpu.state, others.device, others.state) == ("ok", "others", "crashed")
    assert others.words == "while it looked for devices: its process was ended by signal SIGABRT"


def test_devices() -> None:
    found = {"step": "devices", "devices": [["vulkan:0", "vulkan", "Card"], ["vulkan:1", "vulkan-software", "llvmpipe"]], "reason": ""}
    half = RIGHT | {"precision": "fp16"}
    first = of(READY, RIGHT, half, job=("ncnn", "vulkan:0"))
    second = of(READY, RIGHT, job=("ncnn", "vulkan:1"), code=1, reason="no fp16 here")
    _, card, software = checks(of(READY, RIGHT, found), first, second)
    assert (card.state, card.device_name, card.tested, [run.precision for run in card.runs]) == ("ok", "Card", UNTESTED, ["fp32", "fp16"])
    assert (software.state, software.words) == ("ok", "no half precision: no fp16 here")
    assert "llvmpipe" in software.tested
    (_, absent) = checks(of(READY, RIGHT, {"step": "devices", "devices": [], "reason": "no driver; install one"}))
    assert (absent.device, absent.state, absent.words) == ("vulkan", "absent", "no driver; install one")


def test_the_core_works_or_the_reason_is_told() -> None:
    told = (
        {"step": "numpy", "version": "2"},
        {"step": "codecs", "libvips": "8.18", "reads": ["png"], "writes": ["png"], "faults": []},
        {"step": "models", "count": 4, "damaged": []},
        {"step": "choices", "path": "/c", "count": 2},
    )
    ok = tuple(checks(of(READY, RIGHT, {"step": "devices", "devices": [], "reason": ""})))
    core, choices = examine._core(of(*told), ok, 9.0)
    assert core.works is True and core.problems == () and (choices.path, choices.count) == ("/c", 2)
    assert examine._core(of(*told), (replace(ok[0], state="not-run"),), 9.0)[0].works is None
    core, _ = examine._core(of(*told), (replace(ok[0], state="crashed", words="signal"),), 9.0)
    assert core.works is False and "ncnn" in core.problems[0]
    for known, word in ((0, "numpy"), (1, "pyvips"), (2, "models that ship")):
        core, choices = examine._core(of(*told[:known], code=1, reason="ImportError: x"), ok, 9.0)
        assert core.works is False and word in core.problems[0] and "ImportError: x" in core.problems[0] and choices.path is None
    core, _ = examine._core(of(*told[:2], told[2] | {"damaged": ["house model a: changed"]}, told[3]), ok, 9.0)
    assert core.problems == ("house model a: changed",)


# Hints.

CPU = Check("ncnn", "cpu", "cpu", "", "1", "ok", "", (), "", None)
HEALTHY = Machine(
    Python("3.11.2", "CPython", "/usr/bin/python3"),
    System("Debian", "linux", "6.1", "x86_64", False),
    Processor("Fast 9000", 8, None),
    Memory(16 * GIB, 8 * GIB, None),
    Cards((), False, ()),
    Cache("/home/a/.cache/upres", True, 0, 90 * GIB, None),
)
NVIDIA = replace(HEALTHY, cards=Cards(("NVIDIA",), True, ()))


Builds = dict[str, dict[str, Any]]


def advice(
    machine: Machine = HEALTHY, *, builds: Builds | None = None, engines: tuple[Check, ...] = (CPU,), **packages: str
) -> list[Hint]:
    versions = {name.replace("_", "-"): version for name, version in packages.items()}
    return list(hints(Findings(machine, versions, engines, builds or {})))


def test_a_healthy_machine_needs_no_advice() -> None:
    assert advice(torch="2.4.0", ncnn="1.0.20260101") == []


def engine(name: str, device: str = "cpu", **changes: Any) -> Check:
    return replace(CPU, engine=name, device=device, kind=changes.pop("kind", device.split(":")[0]), **changes)


def test_an_nvidia_card_and_a_torch_for_cpus() -> None:
    (hint,) = advice(NVIDIA, engines=(CPU, engine("torch", version="2.13.0")), builds={"torch": {"cuda": None, "hip": None}})
    assert "build for CPUs" in hint.what and "--index-url https://download.pytorch.org/whl/cu" in hint.remedy
    (hint,) = advice(NVIDIA, engines=(CPU, engine("torch", version="2.13.0+cpu", state="not-run")))  # --quick: the version alone tells
    assert "build for CPUs" in hint.what
    (hint,) = advice(NVIDIA, engines=(CPU, engine("torch")), builds={"torch": {"cuda": "12.8", "hip": None}})
    assert "finds no CUDA device" in hint.what and "nvidia-smi" in hint.remedy
    both = (CPU, engine("torch"), engine("torch", "cuda:0"))
    assert advice(NVIDIA, engines=both, builds={"torch": {"cuda": "12.8", "hip": None}}) == []
    assert advice(engines=(CPU, engine("torch", version="2.13.0+cpu")), builds={"torch": {"cuda": None, "hip": None}}) == []


def test_a_card_that_is_newer_than_torch() -> None:
    words = "CUDA error: no kernel image is available for execution"
    failed = engine("torch", "cuda:0", state="failed", device_name="RTX 5090", words=words)
    (hint,) = advice(NVIDIA, engines=(CPU, engine("torch"), failed), builds={"torch": {"cuda": "12.1", "hip": None}})
    assert "no code for RTX 5090" in hint.what


def test_an_nvidia_card_without_its_driver() -> None:
    bare = replace(HEALTHY, cards=Cards(("NVIDIA",), False, ()))
    (hint,) = advice(bare, engines=(CPU, engine("torch", version="2+cpu")))
    assert "nvidia-driver" in hint.remedy
    (hint,) = advice(replace(bare, system=replace(HEALTHY.system, container=True)))
    assert "docker run --gpus all" in hint.remedy


def test_onnxruntime_without_cuda_and_two_of_them() -> None:
    cpu_build = {"onnx": {"providers": ["CPUExecutionProvider"]}}
    (hint,) = advice(NVIDIA, engines=(CPU, engine("onnx")), builds=cpu_build)
    assert "no CUDA provider" in hint.what and "onnxruntime-gpu" in hint.remedy
    assert advice(NVIDIA, engines=(CPU, engine("onnx")), builds={"onnx": {"providers": ["CUDAExecutionProvider"]}}) == []
    assert advice(engines=(CPU, engine("onnx")), builds=cpu_build) == []
    (hint,) = advice(onnxruntime="1.20", onnxruntime_gpu="1.20")
    assert "overwrote" in hint.why and "pip uninstall -y onnxruntime onnxruntime-gpu" in hint.remedy


@pytest.mark.parametrize(("package", "version"), [("torch", "2.1.0"), ("ncnn", "1.0.20240102"), ("onnxruntime_gpu", "1.10")])
def test_what_is_too_old(package: str, version: str) -> None:
    (hint,) = advice(**{package: version})
    name = package.replace("_", "-")
    assert hint.what.startswith(f"{name} {version} is installed") and hint.remedy.startswith(f"pip install --upgrade '{name}>=")


def test_vulkan() -> None:
    absent = engine("ncnn", "vulkan", state="absent")
    software = engine("ncnn", "vulkan:0", kind="vulkan-software", device_name="llvmpipe")
    amd = replace(HEALTHY, cards=Cards(("AMD",), False, ()))
    assert advice(engines=(CPU, absent)) == []  # no card: nothing is amiss
    (hint,) = advice(amd, engines=(CPU, absent))
    assert "sudo apt install libvulkan1 mesa-vulkan-drivers" in hint.remedy
    (hint,) = advice(engines=(CPU, software))
    assert "software (llvmpipe)" in hint.what and "slower" in hint.why and "nothing to do" in hint.remedy
    assert "AMD" in advice(amd, engines=(CPU, software))[0].remedy
    assert advice(amd, engines=(CPU, software, engine("ncnn", "vulkan:1", kind="vulkan"))) == []
    (hint,) = advice(replace(HEALTHY, cards=Cards((), False, ("/dev/dri/renderD128",))))
    assert "usermod -aG render" in hint.remedy


def test_openvino_that_does_not_see_the_gpu() -> None:
    intel = replace(HEALTHY, cards=Cards(("Intel",), False, ()))
    (hint,) = advice(intel, engines=(CPU, engine("openvino")))
    assert "intel-opencl-icd" in hint.remedy
    assert advice(intel, engines=(CPU, engine("openvino"), engine("openvino", "gpu"))) == []
    assert advice(intel, engines=(CPU, engine("openvino", state="not-run"))) == []


def test_half_precision_that_is_wrong() -> None:
    """Black pictures of older cards in fp16 (Real-ESRGAN #330, #479 and many more)."""
    runs = (Run("fp32", True, 1e-6, 0.1, ""), Run("fp16", False, None, 0.1, ""))
    (hint,) = advice(engines=(CPU, engine("ncnn", "vulkan:0", runs=runs)))
    assert "ncnn on vulkan:0 computes fp16 wrongly" in hint.what and "--precision" in hint.remedy


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (replace(HEALTHY, memory=Memory(16 * GIB, GIB // 2, None)), ("512 MB", "close other programs")),
        (replace(HEALTHY, memory=Memory(16 * GIB, GIB // 2, GIB)), ("512 MB", "give the container more memory")),
        (replace(HEALTHY, processor=Processor("x", 64, 1.5)), ("1.5 cores, but sees 64", "--threads 2")),
        (replace(HEALTHY, cache=replace(HEALTHY.cache, problem="no file can be made in /: read-only")), ("read-only", "UPRES_CACHE")),
        (replace(HEALTHY, cache=replace(HEALTHY.cache, disk_free=GIB // 4)), ("256 MB", "another disk")),
    ],
)
def test_short_resources(machine: Machine, words: tuple[str, str]) -> None:
    (hint,) = advice(machine)
    assert words[0] in hint.what and words[1] in hint.remedy and hint.why


def test_systems_that_were_never_tested_are_told() -> None:
    assert examine._untested(HEALTHY) == untested_kinds()
    windows = replace(HEALTHY, system=System("Windows 11", "windows", "11", "AMD64", False), python=Python("3.13.1", "CPython", ""))
    assert examine._untested(windows)[:2] == ("this system: windows on AMD64", "this Python: CPython 3.13")


def test_no_room_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(examine.tempfile, "gettempdir", none)
    with pytest.raises(examine.OutputError, match="set TMPDIR"):
        examine.examine()


def test_the_environment_of_the_processes_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/first")
    first, last = examine._environment()["PYTHONPATH"].split(os.pathsep)
    assert (first, Path(last)) == ("/first", REPOSITORY)


def test_the_doctor_itself_needs_nothing_that_may_be_broken() -> None:
    program = "import upres.doctor.examine, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"numpy", "pyvips", "httpx", "typer", *(library.modules[0] for library in LIBRARIES.values())}.isdisjoint(done.stdout.split())
