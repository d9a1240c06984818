"""Engines by name. Importing this package imports no engine: `load` does."""

from __future__ import annotations

from upres.engines.autotune import choose
from upres.engines.precision import open_checked
from upres.engines.registry import DEVICES, NotedRunner, check_device, engines_with
from upres.engines.runner import Runner
from upres.errors import EngineError, UsageError
from upres.graph.opaque import Network, OpaqueModel

ENGINES = ("auto", *DEVICES)
PRECISIONS = ("auto", "fp32", "fp16", "bf16")


def load(
    graph: Network,
    *,
    engine: str = "auto",
    threads: int = 0,
    exact: bool = False,
    device: str = "auto",
    precision: str = "auto",
    expected_px: int | None = None,
    picture_px: int | None = None,
) -> Runner:
    """Make `graph` ready to run.

    engine: "auto" is the fastest on this machine as it was measured once (`autotune.choose`), else ncnn. threads: 0 is one a core. exact:
    tiles equal the untiled picture to the bit (ncnn then runs without Winograd, at about half the speed; torch is always exact on the CPU).
    device: "auto", or one that the engine knows (`registry.DEVICES`), which also narrows the choice of "auto". precision: what
    values between layers are kept in; "auto" is "fp32" on CPUs and "fp16" on GPUs; half precision is used only where test tiles agree
    with float32 (`precision.py`). expected_px: LR pixels of the whole job, picture_px: of a typical picture of it; they tell "auto"
    whether a measurement is worth its seconds. Without expected_px nothing is ever measured.

    Where the engine that "auto" chose cannot be opened, ncnn on the CPU is, and `notes` say so.
    Raises UsageError for an unknown engine, device or precision or a wrong argument, EngineError where the engine is not installed, or
    cannot take the graph.
    """
    if threads < 0:
        raise UsageError(f"threads must be 0 (one a core) or more; found {threads}")
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if engine != "auto":
        check_device(engine, device)
    elif device != "auto":
        engines_with(device)
    if isinstance(graph, OpaqueModel):
        return _as_it_is(graph, engine, threads, exact, device, precision)
    if engine != "auto":
        return open_checked(graph, engine=engine, threads=threads, exact=exact, device=device, precision=precision)
    chosen = choose.choose(
        graph, threads=threads, exact=exact, device=device, precision=precision, expected_px=expected_px, picture_px=picture_px
    )
    try:
        return open_checked(graph, engine=chosen.engine, threads=threads, exact=exact, device=chosen.device, precision=precision)
    except EngineError as error:
        if device != "auto" or (chosen.engine, chosen.device) == ("ncnn", "cpu"):
            raise
        runner = open_checked(graph, engine="ncnn", threads=threads, exact=exact, device="cpu", precision=precision)
        return NotedRunner(runner, (f"{chosen} is the fastest engine here and could not be used, so ncnn on the CPU was: {error}",))


def _as_it_is(model: OpaqueModel, engine: str, threads: int, exact: bool, device: str, precision: str) -> Runner:
    """A file that is a program of its own has one engine."""
    from upres.engines.opaque.runner import FileRunner

    own = {"ncnn": "ncnn", "onnx": "onnx", "spandrel": "torch"}[model.kind]
    if engine not in ("auto", own):
        raise UsageError(f"{model.path} is of unknown make and is run as it is, by engine {own!r} alone: leave --engine {engine} out")
    if device not in ("auto", "cpu") or precision not in ("auto", "fp32"):
        raise UsageError(
            f"{model.path} is of unknown make and is run as it is, on the CPU in float32: "
            f"leave --device {device} and --precision {precision} out"
        )
    return FileRunner(model, threads=threads, exact=exact)
