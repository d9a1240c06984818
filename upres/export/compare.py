"""Compare an exported file with its source, and write the report beside it."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from upres.engines.sample_picture import sample
from upres.errors import EngineError, ModelError, UsageError
from upres.export.onnx import Opened
from upres.graph.graph import Graph
from upres.graph.nodes import Array
from upres.system.files import sha256_of

_BUDGET_MACS = 3e10  # for the largest picture: about a second on one core; 40 x 40 pixels for an RRDBNet with 23 blocks
_LARGEST_PX, _SMALLEST_PX = 128, 24
_SEEN_PX = 16  # a smaller picture is mostly borders, or one color: too little to tell networks apart
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
_PACKAGES = ("upres", "numpy", "ncnn", "onnx", "onnxruntime", "openvino", "torch")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far the result of a file may be from that of its source.

    largest: Difference of a value, in [0, 1].
    least_psnr_db: PSNR of a picture.
    """

    largest: float
    least_psnr_db: float


# Measured on the bundled models, realesr-animevideov3, realesr-general-x4v3 with its WDN twin and a blend of both, and
# an RRDBNet with 23 blocks of random weights, on the sample and on Set14. float32 engines usually differ by 1e-5, at
# most by 1.1e-4 at 116 dB (WDN, "foreman"); float16 at most by 1.5e-2 at 64 dB (the blend, single pixels of the same
# picture). Half an 8-bit level is 2e-3 and 59 dB.
TOLERANCES = {"float32": Tolerance(1e-3, 90.0), "float16": Tolerance(8.0 / 255.0, 50.0)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far one engine is off on one picture.

    engine: What ran the file.
    picture: Name of the input.
    height, width: Of the input.
    largest, mean: Differences.
    psnr_db: None if no value differs.
    """

    engine: str
    picture: str
    height: int
    width: int
    largest: float
    mean: float
    psnr_db: float | None

    def is_within(self, tolerance: Tolerance) -> bool:
        return self.largest <= tolerance.largest and (self.psnr_db is None or self.psnr_db >= tolerance.least_psnr_db)

    def words(self) -> str:
        """`largest difference 4.3e-06 (PSNR 138.2 dB) at 128 x 128`"""
        psnr = (
            "no difference"
            if self.psnr_db is None
            else f"largest difference {self.largest:.2g} (PSNR {self.psnr_db:.1f} dB)"
        )
        return f"{psnr} at {self.width} x {self.height}, {self.picture}"


def compare(engine: str, picture: str, expected: Array, found: Array, scale: int) -> Comparison:
    """Compare `found` with `expected`, both (1, c, h, w).

    engine, picture, scale: For the result.

    Differences are relative to the range: 1, or the largest value of `expected` if that is above 1.
    """
    span = max(1.0, float(np.abs(expected).max()))
    difference = np.abs(found.astype(np.float64) - expected) / span
    error = float(np.mean(difference**2))
    psnr_db = None if error == 0.0 else -10.0 * math.log10(error)
    height, width = expected.shape[2] // scale, expected.shape[3] // scale
    return Comparison(engine, picture, height, width, float(difference.max()), float(difference.mean()), psnr_db)


def pictures(graph: Graph, picture: Array | None = None) -> Iterator[tuple[str, Array]]:
    """Inputs to compare on, as (name, (1, c, h, w)): a square, one with odd sides (padded to the alignment) and a gray
    one.

    graph: Its cost limits their size.
    picture: (h, w, c) in [0, 1], c 3 or 1, of which the center is used; None: `upres.engines.sample_picture`.

    Raises UsageError for a picture below 16 x 16.
    """
    if picture is not None and min(picture.shape[:2]) < _SEEN_PX:
        size = f"{picture.shape[1]} x {picture.shape[0]}"
        raise UsageError(f"`picture` must have at least {_SEEN_PX} x {_SEEN_PX} pixels, got {size}")
    side = min(_LARGEST_PX, max(_SMALLEST_PX, math.isqrt(int(_BUDGET_MACS / max(1.0, graph.macs_per_pixel)))))
    word = "the sample" if picture is None else "the picture"
    for name, height, width, gray in (
        (word, side, side, False),
        (f"{word}, odd sides", (side // 2) | 1, (side * 3 // 4) | 1, False),
        (f"{word}, gray", side // 2, side // 2, True),
    ):
        lr = (
            sample(1 if graph.in_channels == 1 else 3, height, width)
            if picture is None
            else _middle(picture, height, width)
        )
        lr = _with_channels(lr, graph.in_channels, gray)
        beyond = [(0, -size % graph.alignment) for size in lr.shape[2:]]
        yield name, np.ascontiguousarray(np.pad(lr, ((0, 0), (0, 0), *beyond), mode="edge"))


def _middle(picture: Array, height: int, width: int) -> Array:
    top, left = (max(0, (have - want) // 2) for have, want in zip(picture.shape, (height, width), strict=False))
    return picture[top : top + height, left : left + width].transpose(2, 0, 1)[None]


def _with_channels(lr: Array, channels: int, gray: bool) -> Array:
    if lr.shape[1] == 3 and (gray or channels == 1):
        lr = np.tensordot(lr, _LUMA, (1, 0))[:, None]
    return lr if lr.shape[1] == channels else np.repeat(lr[:, :1], channels, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """The results of the source.

    engine: What ran it.
    pictures: (name, lr, sr) of each.
    scale: Of the network.
    """

    engine: str
    pictures: tuple[tuple[str, Array, Array], ...]
    scale: int


def run_source(graph: Graph, packages: tuple[str, ...], picture: Array | None, threads: int) -> Expected:
    """Run the source in float32.

    graph: The source.
    packages: "ncnn", "torch", "onnxruntime"; the first one that is installed runs it.
    picture: As for `pictures`.
    threads: Of the engine; 0: one per core.
    """
    runner = _REFERENCES[next(package for package in packages if find_spec(package) is not None)](graph, threads)
    try:
        found = tuple((name, lr, runner(lr)) for name, lr in pictures(graph, picture))
        return Expected(f"{runner.name}, float32, from the graph as it was read", found, graph.scale)
    finally:
        runner.close()


def _ncnn(graph: Graph, threads: int) -> Opened:
    from upres.engines.ncnn.runner import NcnnRunner

    return NcnnRunner(graph, threads=threads, exact=True)


def _torch(graph: Graph, threads: int) -> Opened:
    from upres.engines.torch import TorchRunner

    return TorchRunner(graph, threads=threads, exact=True, device="cpu")


def _onnxruntime(graph: Graph, threads: int) -> Opened:
    from upres.engines.onnx.runner import OnnxRunner

    return OnnxRunner(graph, threads=threads, exact=True)


_REFERENCES: dict[str, Callable[[Graph, int], Opened]] = {"ncnn": _ncnn, "torch": _torch, "onnxruntime": _onnxruntime}


def checked(open_file: Callable[[], Opened], model: str, expected: Expected, numbers: str) -> Iterator[Comparison]:
    """Compare one engine's results of the exported file with those of the source.

    open_file: Opens the file in the engine.
    model: Name of the source, for messages.
    expected: Its results.
    numbers: "float32" or "float16", which sets the tolerance.

    Raises EngineError if the engine rejects the file, fails, or exceeds the tolerance.
    """
    nothing = "Nothing was written"
    tolerance = TOLERANCES[numbers]
    try:
        engine = open_file()
    except (ModelError, EngineError) as error:
        raise EngineError(f"the exported {model} cannot be opened: {error}. {nothing}") from error
    try:
        for name, lr, wanted in expected.pictures:
            sr = engine(lr)
            if sr.shape != wanted.shape or not np.isfinite(sr).all():
                what = (
                    "NaN or infinity" if sr.shape == wanted.shape else f"the shape {sr.shape}, expected {wanted.shape},"
                )
                raise EngineError(f"the exported {model} returns {what} in {engine.name}. {nothing}")
            check = compare(engine.name, name, wanted, sr, expected.scale)
            if not check.is_within(tolerance):
                raise EngineError(
                    f"the exported {model} differs from its source in {engine.name}: {check.words()}; the limits are "
                    f"{tolerance.largest:.2g} and {tolerance.least_psnr_db:g} dB. {nothing}"
                    f"{'; float32 may pass: export without `half`' if numbers == 'float16' else ''}"
                )
            yield check
    finally:
        engine.close()


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the source, and its share in a blend."""

    file: str
    sha256: str
    license: str
    share: float


def report_bytes(
    model: str,
    format: str,
    graph: Graph,
    sources: tuple[SourceFile, ...],
    files: tuple[Path, ...],
    *,
    numbers: str,
    reference: str,
    checks: tuple[Comparison, ...],
    not_run: tuple[str, ...],
) -> bytes:
    """The report as JSON, with sorted keys. Raises OSError if a file cannot be read.

    model: The expression exported.
    format: "onnx", "ncnn" or "safetensors".
    graph: The network.
    sources: Files it came from.
    files: Files written.
    numbers: "float32" or "float16".
    reference: What ran the source.
    checks: Comparisons made.
    not_run: Engines that are not installed.
    """
    network = (
        "family",
        "scale",
        "in_channels",
        "out_channels",
        "alignment",
        "receptive_field",
        "parameters",
        "macs_per_pixel",
    )
    report: dict[str, Any] = {
        "model": model,
        "format": format,
        "numbers": numbers,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "network": {name: getattr(graph, name) for name in network},
        "source": [asdict(source) for source in sources],
        "files": [{"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in files],
        "reference": reference,
        "checks": [asdict(check) for check in checks],
        "tolerance": asdict(TOLERANCES[numbers]),
        "not_run": list(not_run),
        "versions": {"python": platform.python_version(), **versions()},
    }
    return (json.dumps(report, indent=2, sort_keys=True) + "\n").encode()


@cache
def versions() -> dict[str, str]:
    """Versions of upres and of the installed packages that write or run model files."""
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
