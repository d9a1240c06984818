"""`--engine auto`: which engine, on which device, is the fastest here, measured once for a network, a size of picture and a machine.

Who has one engine and no GPU never pays for it, nor does a job that is done before a measurement would be. ncnn on the CPU is the
engine that is tested most, so another one must be faster by 15 % to be taken, which is also more than luck.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from upres.engines.autotune import cache
from upres.engines.autotune.cache import Choice, Question
from upres.engines.autotune.fingerprint import Fingerprint, is_busy, this_machine
from upres.engines.autotune.race import Candidate, Measured, race
from upres.engines.ncnn.devices import vulkan_devices
from upres.engines.options import EngineOptions
from upres.engines.registry import engines_with
from upres.engines.runner import threads_or_default
from upres.errors import EngineError
from upres.graph.graph import Graph
from upres.graph.serialize import digest, structure
from upres.system.packages import install_command

GAIN = 0.85  # of ncnn's time, at most
WORTH_MACS = 0.5e12  # 5 s of ncnn on two cores (benchmarks/results); measuring takes about as long
SIDES = (64, 128, 256, 512)  # of the pictures that are measured, in LR pixels
PROBE_MACS = 12e9  # for one run: 0.1 s on two cores
_GPUS_OF_ONNX = {  # by the distribution that brings them
    "onnxruntime-gpu": "cuda",
    "onnxruntime-directml": "directml",
    "onnxruntime-rocm": "rocm",
    "onnxruntime-migraphx": "migraphx",
}

_log = logging.getLogger(__name__)
Measure = Callable[..., tuple[Measured, ...]]


def choose(
    graph: Graph, options: EngineOptions, *, measure: Measure = race, machine: Fingerprint | None = None
) -> Candidate:
    """The candidate to take, of all that `options` leave open; its precision is the one it was measured in, which its caller must
    still put to the test.

    Without `expected_px` nothing is measured, but what is known is taken. Raises EngineError where no engine that knows the device is
    installed. `measure` is `race`, or what stands in for it in tests.
    """
    machine = machine or this_machine()
    threads, device, precision, expected_px = options.threads, options.device, options.precision, options.expected_px
    default = _default(machine, device, precision)
    if options.exact and default.engine == "ncnn" and default.device == "cpu":
        return default  # the one that has an exact mode which is fast
    if not _has_a_choice(machine, device):
        return default
    described = structure(graph)
    picture_px = options.picture_px or expected_px
    side = 0 if picture_px is None else probe_side(graph.macs_per_pixel, picture_px)
    question = Question(digest(described), side, threads_or_default(threads), device, precision)
    known = cache.recall(machine).find(question)
    if known is not None:
        return known.chosen
    if expected_px is None or expected_px * graph.macs_per_pixel < WORTH_MACS:
        return default
    if is_busy():
        _log.debug("engines are not measured while the machine is busy with other work")
        return default
    with cache.measuring_alone():
        memory = cache.recall(machine)
        known = memory.find(question)  # another process may have measured meanwhile
        if known is not None:
            return known.chosen
        found = [default, *(candidate for candidate in _candidates(machine, device, precision) if candidate != default)]
        entrants = [candidate for candidate in found if str(candidate) not in memory.broken]
        if entrants and default not in entrants:  # a GPU that was named, and that the first engine for it breaks on
            default = entrants[0]
        measured: tuple[Measured, ...] = ()
        if len(entrants) > 1:
            _log.info("measuring engines once for this machine and this kind of model ...")
            measured = measure(entrants, described, side=side, threads=threads_or_default(threads))
            _log.info("%s", words_for(measured, default))
        chosen = fastest(measured, default)
        if default.device == "cpu" and any(result.candidate == default and result.broken for result in measured):
            return default  # if not even that one answered, the machine is too busy to judge any
        now = datetime.now(UTC).isoformat(timespec="seconds")
        cache.remember(machine, Choice(question, graph.family, graph.macs_per_pixel, chosen, measured, now))
    return chosen


def fastest(measured: tuple[Measured, ...], default: Candidate) -> Candidate:
    """The fastest, if it is faster than the default one by a clear margin."""
    times = {result.candidate: result.run_s for result in measured if result.run_s is not None}
    if not times:
        return default
    best = min(times, key=lambda candidate: times[candidate])
    return best if default not in times or times[best] <= GAIN * times[default] else default


def words_for(measured: tuple[Measured, ...], default: Candidate) -> str:
    """For the user: "ncnn 0.41 s, openvino 0.55 s -> ncnn"."""
    figures = [f"{result.candidate} {result.run_s:.2g} s" for result in measured if result.run_s is not None]
    failed = [f"{result.candidate} failed ({result.error})" for result in measured if result.run_s is None]
    return f"{', '.join(figures + failed)} -> {fastest(measured, default)}"


def probe_side(macs_per_pixel: float, picture_px: int) -> int:
    """The smallest of `SIDES` whose square holds the picture, but none that would take too long to measure (the first always may)."""
    affordable = [side for side in SIDES if side * side * macs_per_pixel <= PROBE_MACS] or [SIDES[0]]
    return next((side for side in affordable if side * side >= picture_px), affordable[-1])


def _default(machine: Fingerprint, device: str, precision: str) -> Candidate:
    """ncnn on the CPU, or of the engines that know the device the first that is installed."""
    if device in ("auto", "cpu"):
        return _candidate("ncnn", "cpu", precision)
    able = engines_with(device)
    installed = [engine for engine in able if engine in machine.installed]
    if not installed:
        raise EngineError(
            f"device {device!r} needs engine {' or '.join(able)}, which is not installed; remedy: "
            + " or ".join(map(install_command, able))
        )
    return _candidate(installed[0], device, precision)


def _candidate(engine: str, device: str, precision: str) -> Candidate:
    """Precision "auto" is float32 on a CPU, and half precision on everything else, as far as it agrees (`engines.precision`)."""
    return Candidate(engine, device, precision if precision != "auto" else "fp32" if device == "cpu" else "fp16")


def _has_a_choice(machine: Fingerprint, device: str) -> bool:
    """Whether there may be another candidate than the default one; a GPU is asked for only once something is measured."""
    if device not in ("auto", "cpu"):
        return len(set(engines_with(device)) & set(machine.installed)) > 1
    return not {"onnx", "openvino"}.isdisjoint(machine.installed) or (device == "auto" and machine.has_gpu())


def _candidates(machine: Fingerprint, device: str, precision: str) -> list[Candidate]:
    """torch on the CPU is none: it runs as a reference there, at 0.4 times the speed."""
    if device not in ("auto", "cpu"):
        return [_candidate(engine, device, precision) for engine in engines_with(device) if engine in machine.installed]
    found = [_candidate(engine, "cpu", precision) for engine in ("ncnn", "onnx", "openvino") if engine in machine.installed]
    return [*found, *_on_gpus(machine, precision)] if device == "auto" and machine.has_gpu() else found


def _on_gpus(machine: Fingerprint, precision: str) -> list[Candidate]:
    """Where a GPU may be used. What is not there after all fails when it is measured, and is not chosen."""
    found: list[Candidate] = []
    versions = dict(engine.rsplit(" ", 1) for engine in machine.engines)
    if "ncnn" in machine.installed and (machine.drivers or not machine.system.startswith("Linux")):
        devices, reason = vulkan_devices()
        if reason:
            _log.debug("%s", reason)
        for device in devices:
            if device.kind != "cpu":  # a software driver, which is slower than ncnn on the CPU itself
                kept = "fp32" if precision == "auto" and not device.fp16 else precision
                found.append(_candidate("ncnn", f"vulkan:{device.index}", kept))
    if "torch" in machine.installed and not versions.get("torch", "").endswith("+cpu"):
        if machine.has_gpu("nvidia") or machine.has_gpu("amd"):  # ROCm's torch says "cuda" too
            found.append(_candidate("torch", "cuda", precision))
        if machine.has_gpu("apple"):
            found.append(_candidate("torch", "mps", precision))
    if "onnx" in machine.installed:
        found += [_candidate("onnx", device, precision) for package, device in _GPUS_OF_ONNX.items() if package in versions]
        if machine.has_gpu("apple"):
            found.append(_candidate("onnx", "coreml", precision))
    if "openvino" in machine.installed and (machine.has_gpu("intel") or machine.has_gpu("unknown")):
        found.append(_candidate("openvino", "gpu", precision))
    return found
