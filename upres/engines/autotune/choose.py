"""`engine="auto"`: the fastest engine and device, measured once per network, picture size and machine.

Nothing is measured with one engine and no GPU, or for a job that takes less time than measuring. ncnn on the CPU is the
best-tested engine, so another must be 15 % faster to be chosen, which also exceeds the noise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from upres.engines.autotune import cache
from upres.engines.autotune.cache import Choice, Question
from upres.engines.autotune.fingerprint import Fingerprint, is_busy, this_machine
from upres.engines.autotune.race import Candidate, Measured, race
from upres.engines.autotune.worth import WORTH_MACS as WORTH_MACS
from upres.engines.autotune.worth import is_worth_measuring, likely
from upres.engines.ncnn.devices import vulkan_devices
from upres.engines.options import EngineOptions
from upres.engines.registry import engines_with
from upres.engines.runner import threads_or_default
from upres.errors import EngineError
from upres.graph.graph import Graph
from upres.graph.serialize import digest, structure
from upres.system.packages import install_command

GAIN = 0.85  # of ncnn's time at most
SIDES = (64, 128, 256, 512)  # of the pictures that are measured, in LR pixels
PROBE_MACS = 12e9  # for one run: 0.1 s on two cores
_GPUS_OF_ONNX = {  # by the package that provides them
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
    """The best candidate that `options` allow. Its precision is the one measured; the caller must still check it.

    Without `expected_px` nothing is measured, but known choices are used. `measure` replaces `race` in tests.
    Raises EngineError if no engine for the device is installed.
    """
    machine = machine or this_machine()
    threads, device, precision, expected_px = options.threads, options.device, options.precision, options.expected_px
    default = default_candidate(machine, device, precision)
    if options.exact and default.engine == "ncnn" and default.device == "cpu":
        return default  # the only one with a fast exact mode
    if not _has_a_choice(machine, device):
        return default
    described = structure(graph)
    picture_px = options.picture_px or expected_px
    side = 0 if picture_px is None else probe_side(graph.macs_per_pixel, picture_px)
    question = Question(digest(described), side, threads_or_default(threads), device, precision)
    known = cache.recall(machine).find(question)
    if known is not None:
        return known.chosen
    if not is_worth_measuring(graph, options):
        return _unmeasured(default, graph, options)
    if is_busy():
        _log.debug("engines are not measured while the machine is busy")
        return _unmeasured(default, graph, options)
    with cache.measuring_alone():
        memory = cache.recall(machine)
        known = memory.find(question)  # another process may have measured meanwhile
        if known is not None:
            return known.chosen
        found = [default, *(candidate for candidate in candidates(machine, device, precision) if candidate != default)]
        entrants = [candidate for candidate in found if str(candidate) not in memory.broken]
        if entrants and default not in entrants:  # the device was given, and its first engine is broken
            default = entrants[0]
        measured: tuple[Measured, ...] = ()
        if len(entrants) > 1:
            _log.info("measuring which engine is fastest, once for this machine and kind of model ...")
            measured = measure(entrants, described, side=side, threads=threads_or_default(threads))
            _log.info("%s", words_for(measured, default))
        chosen = fastest(measured, default)
        if default.device == "cpu" and any(result.candidate == default and result.broken for result in measured):
            return default  # the machine is too busy for a fair measurement
        now = datetime.now(UTC).isoformat(timespec="seconds")
        cache.remember(machine, Choice(question, graph.family, graph.macs_per_pixel, chosen, measured, now))
    return chosen


def _unmeasured(default: Candidate, graph: Graph, options: EngineOptions) -> Candidate:
    return replace(default, engine=likely(graph, options)) if default.device == "cpu" else default


def fastest(measured: tuple[Measured, ...], default: Candidate) -> Candidate:
    """The fastest, if it beats the default by a clear margin."""
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
    """The smallest of `SIDES` whose square holds the picture, or the largest that is quick enough to measure."""
    affordable = [side for side in SIDES if side * side * macs_per_pixel <= PROBE_MACS] or [SIDES[0]]
    return next((side for side in affordable if side * side >= picture_px), affordable[-1])


def default_candidate(machine: Fingerprint, device: str, precision: str) -> Candidate:
    """ncnn on the CPU, or the first installed engine that supports the device."""
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
    """Precision "auto" is float32 on a CPU, else float16 if the results agree (`engines.precision`)."""
    return Candidate(engine, device, precision if precision != "auto" else "fp32" if device == "cpu" else "fp16")


def _has_a_choice(machine: Fingerprint, device: str) -> bool:
    """Whether there may be a candidate beside the default. Loads no GPU driver."""
    if device not in ("auto", "cpu"):
        return len(set(engines_with(device)) & set(machine.installed)) > 1
    return not {"onnx", "openvino"}.isdisjoint(machine.installed) or (device == "auto" and machine.has_gpu())


def candidates(machine: Fingerprint, device: str, precision: str) -> list[Candidate]:
    """torch on the CPU is left out: there it is a reference, at 0.4 times the speed."""
    if device not in ("auto", "cpu"):
        return [_candidate(engine, device, precision) for engine in engines_with(device) if engine in machine.installed]
    found = [
        _candidate(engine, "cpu", precision) for engine in ("ncnn", "onnx", "openvino") if engine in machine.installed
    ]
    return [*found, *_on_gpus(machine, precision)] if device == "auto" and machine.has_gpu() else found


def _on_gpus(machine: Fingerprint, precision: str) -> list[Candidate]:
    """Candidates on GPUs that may be there; any that is not fails when measured, and is not chosen."""
    found: list[Candidate] = []
    versions = dict(engine.rsplit(" ", 1) for engine in machine.engines)
    if "ncnn" in machine.installed and (machine.drivers or not machine.system.startswith("Linux")):
        devices, reason = vulkan_devices()
        if reason:
            _log.debug("%s", reason)
        for device in devices:
            if device.kind != "cpu":  # software drivers are slower than ncnn on the CPU
                kept = "fp32" if precision == "auto" and not device.fp16 else precision
                found.append(_candidate("ncnn", f"vulkan:{device.index}", kept))
    if "torch" in machine.installed and not versions.get("torch", "").endswith("+cpu"):
        if machine.has_gpu("nvidia") or machine.has_gpu("amd"):  # torch for ROCm also says "cuda"
            found.append(_candidate("torch", "cuda", precision))
        if machine.has_gpu("apple"):
            found.append(_candidate("torch", "mps", precision))
    if "onnx" in machine.installed:
        found += [
            _candidate("onnx", device, precision) for package, device in _GPUS_OF_ONNX.items() if package in versions
        ]
        if machine.has_gpu("apple"):
            found.append(_candidate("onnx", "coreml", precision))
    if "openvino" in machine.installed and (machine.has_gpu("intel") or machine.has_gpu("unknown")):
        found.append(_candidate("openvino", "gpu", precision))
    return found
