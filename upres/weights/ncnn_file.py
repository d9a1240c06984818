"""ncnn's `.param` (text: a list of layers) and `.bin` (their weights, without names): read and checked here, before
ncnn sees a byte.

ncnn trusts what it loads: a kernel of size 0 divides by zero, a number of channels that does not fit reads beyond its
memory. So only the layer types of `ncnn_layers` pass, every number that a size is made of is checked, the weights must
fill the `.bin` exactly, and what is then given to ncnn is written anew from what was read (`program`). Formats: ncnn's
wiki, "param and model file structure", and modelbin.cpp.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.weights.ncnn_channels import infer_channels
from upres.weights.ncnn_layers import NcnnLayer, Number, Weights, check_layer, weights_of
from upres.weights.tensors import Origin

Array = NDArray[np.float32]
MAGIC = b"7767517"
_BINARY_PARAM = struct.pack("<i", 7767517)
_MAX_TEXT_BYTES = 4 * 2**20
_MAX_LAYERS = 5_000  # an RRDBNet of 23 blocks has a thousand
_MAX_BIN_BYTES = 2**31
# tags before weights; 0: raw float32; any other: a table of 256 values
_HALF, _INT8, _RAW = 0x01306B47, 0x000D4B38, 0x0002C056
_ARRAY_BASE = -23300  # a key of this minus n gives parameter n as a list: its length, then its values


@dataclass(frozen=True, slots=True, eq=False)
class NcnnModel:
    """A checked network: `layers` in the order in which they run, `weights` those of each, all float32. One input, one
    output.
    """

    path: Path
    layers: tuple[NcnnLayer, ...]
    weights: tuple[tuple[Array, ...], ...]
    input: str
    output: str
    in_channels: int | None  # None: the layers do not tell
    sha256: str  # of the .param, then the .bin

    @property
    def parameters(self) -> int:
        return sum(array.size for arrays in self.weights for array in arrays)


def is_param(data: bytes) -> bool:
    """Whether a file that begins so is the text of a `.param`."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(MAGIC)


def find_pair(path: Path) -> tuple[Path, Path] | None:
    """(.param, .bin) for the path of either; None where the file is of another kind. Raises ModelError where its other
    half is missing.
    """
    start = _start(path)
    if start.startswith(_BINARY_PARAM):
        raise ModelError(
            f"model file {path}: it is ncnn's binary .param. Give the text .param, which begins with 7767517, and its "
            ".bin"
        )
    if is_param(start):
        other = path.with_suffix(".bin")
        if not other.is_file():
            found = "an ncnn .param file, which lists layers and holds no weights"
            raise ModelError(f"model file {path}: it is {found}. Put {other.name} beside it")
        return path, other
    if path.suffix.lower() != ".bin":
        return None
    other = path.with_suffix(".param")
    if other.is_file() and is_param(_start(other)):
        return other, path
    if start[:4] == struct.pack("<I", _HALF):
        raise ModelError(
            f"model file {path}: it is an ncnn .bin file (float16 weights without names). Put {other.name} beside it"
        )
    return None


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise ModelError(
            f"model file {path}: it cannot be read ({error.strerror}). Check its path and permissions"
        ) from error


def read_ncnn(param: Path, weights: Path) -> NcnnModel:
    """The network of two files.

    Raises ModelError for all that is wrong with either: damaged, too large, of layers that are not known.
    """
    text = _bounded(param, _MAX_TEXT_BYTES)
    data = _bounded(weights, _MAX_BIN_BYTES)
    origin = Origin(str(param), len(text))
    layers = parse_param(text, origin)
    entrance = [layer for layer in layers if layer.kind == "Input"]
    read = {name for layer in layers for name in layer.inputs}
    left = [name for layer in layers for name in layer.outputs if name not in read]
    if len(entrance) != 1 or len(entrance[0].outputs) != 1:
        raise origin.refuse(f"it has {len(entrance)} inputs; a network for pictures has one")
    if len(left) != 1:
        raise origin.refuse(f"it has {len(left)} outputs ({', '.join(left[:4])}); a network for pictures has one")
    arrays = _read_weights(layers, data, Origin(str(weights), len(data)))
    channels = infer_channels(layers, entrance[0].outputs[0], origin)
    digest = hashlib.sha256(text + data).hexdigest()
    return NcnnModel(param, layers, arrays, entrance[0].outputs[0], left[0], channels, digest)


def _bounded(path: Path, most: int) -> bytes:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if path.is_file() and size <= most else None
    except OSError as error:
        raise ModelError(
            f"model file {path}: it cannot be read ({error.strerror}). Check its path and permissions"
        ) from error
    if data is None:
        raise ModelError(f"model file {path}: it has {size:,} bytes, or is not a file; expected at most {most:,} bytes")
    return data


def parse_param(text: bytes, origin: Origin) -> tuple[NcnnLayer, ...]:
    """The layers of a `.param`: of known types, their numbers in range, their inputs written by earlier layers."""
    try:
        lines = text.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise origin.refuse("it begins as an ncnn .param, but is not text") from None
    lines = [line.strip() for line in lines if line.strip()]
    whole = len(lines) > 1 and lines[0] == MAGIC.decode()
    counts = re.fullmatch(r"(\d{1,10})\s+(\d{1,10})", lines[1]) if whole else None
    if counts is None:
        raise origin.refuse("it begins as an ncnn .param, but the counts of its layers and blobs do not follow")
    if int(counts[1]) != len(lines) - 2 or len(lines) > _MAX_LAYERS:
        raise origin.refuse(
            f"it declares {int(counts[1]):,} layers, but {len(lines) - 2:,} follow; at most {_MAX_LAYERS:,} can be read"
        )
    layers = tuple(_parse_line(line, origin) for line in lines[2:])
    written: set[str] = set()
    for layer in layers:
        missing = next((name for name in layer.inputs if name not in written), None)
        twice = next((name for name in layer.outputs if name in written), None)
        if missing is not None or twice is not None or len(set(layer.outputs)) != len(layer.outputs):
            what = f"reads {missing!r}, which no earlier layer writes"
            raise origin.refuse(
                f"layer {layer.name!r} {what if missing is not None else f'writes {twice!r}, which is written already'}"
            )
        written.update(layer.outputs)
        check_layer(layer, origin)
    return layers


def _parse_line(line: str, origin: Origin) -> NcnnLayer:
    words = line.split()
    if (
        len(words) < 4
        or not all(re.fullmatch(r"\d{1,3}", word) for word in words[2:4])
        or any(len(word) > 255 for word in words)
    ):
        raise origin.refuse(f"expected a layer on each line, got {line[:60]!r}")
    taken, given = int(words[2]), int(words[3])
    blobs, settings = words[4 : 4 + taken + given], words[4 + taken + given :]
    if len(blobs) != taken + given or any("=" in blob for blob in blobs):
        raise origin.refuse(
            f"layer {words[1]!r}: {taken} inputs and {given} outputs are declared, but not all are named"
        )
    params: dict[int, Number | tuple[Number, ...]] = {}
    for word in settings:
        match = re.fullmatch(r"(-?\d{1,5})=([-+0-9.eE,]{1,4000})", word)
        values = None if match is None else [_number(value) for value in match[2].split(",")]
        if match is None or values is None or any(value is None for value in values):
            raise origin.refuse(f"layer {words[1]!r}: {word[:40]!r} is not a parameter with numbers")
        numbers = tuple(value for value in values if value is not None)
        key = int(match[1])
        if key <= _ARRAY_BASE:
            key = _ARRAY_BASE - key
            if numbers[0] != len(numbers) - 1:
                raise origin.refuse(
                    f"layer {words[1]!r}: a list of {numbers[0]} numbers is declared, but {len(numbers) - 1} follow"
                )
            params[key] = numbers[1:]
        elif len(numbers) == 1:
            params[key] = numbers[0]
        if key not in params or not 0 <= key < 32:
            raise origin.refuse(f"layer {words[1]!r}: {word[:40]!r} is not a parameter that ncnn knows")
    return NcnnLayer(words[0], words[1], tuple(blobs[:taken]), tuple(blobs[taken:]), params)


def _number(text: str) -> Number | None:
    try:
        value = int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    except ValueError:
        return None
    return value if abs(value) < 2**31 else None  # also refuses nan


def _read_weights(layers: tuple[NcnnLayer, ...], data: bytes, origin: Origin) -> tuple[tuple[Array, ...], ...]:
    found: list[tuple[Array, ...]] = []
    at = 0
    for layer in layers:
        arrays: list[Array] = []
        for weights in weights_of(layer):
            array, at = _read_array(data, at, weights, layer, origin)
            arrays.append(array)
        found.append(tuple(arrays))
    if at != len(data):
        raise origin.refuse(f"its .param uses {at:,} of its {len(data):,} bytes: the two files do not belong together")
    return tuple(found)


def _read_array(data: bytes, at: int, weights: Weights, layer: NcnnLayer, origin: Origin) -> tuple[Array, int]:
    def take(count: int, dtype: str) -> NDArray[np.generic]:
        nonlocal at
        size = count * np.dtype(dtype).itemsize
        if at + size > len(data):
            raise origin.refuse(
                f"layer {layer.name!r} needs {size:,} bytes at {at:,}, and the file ends at {len(data):,}: it is cut "
                "short, "
                "or does not belong to its .param"
            )
        values = np.frombuffer(data, dtype, count, at)
        at += -(-size // 4) * 4
        return values

    tag = int(take(1, "<u4")[0]) if weights.tagged else 0
    if tag == _HALF:
        values = take(weights.count, "<f2").astype(np.float32)
    elif tag == _INT8:
        raise origin.refuse(
            f"layer {layer.name!r} has int8 weights, which upres cannot run. Take the float16 or float32 files"
        )
    elif tag in (0, _RAW):
        values = take(weights.count, "<f4").astype(np.float32)
    else:
        table = take(256, "<f4")
        values = table[take(weights.count, "u1").astype(np.intp)].astype(np.float32)
    if not np.isfinite(values).all():
        raise origin.refuse(
            f"layer {layer.name!r} has weights that are not finite: the file is damaged, or does not belong to its "
            ".param"
        )
    return values, at


def program(model: NcnnModel) -> tuple[str, list[Array]]:
    """The checked network as ncnn reads it: the text, and the weights in float32, each behind its tag where ncnn
    expects one.
    """
    lines: list[str] = []
    chunks: list[Array] = []
    for layer, arrays in zip(model.layers, model.weights, strict=True):
        settings = " ".join(_setting(key, value) for key, value in layer.params.items())
        blobs = " ".join((*layer.inputs, *layer.outputs))
        lines.append(f"{layer.kind} {layer.name} {len(layer.inputs)} {len(layer.outputs)} {blobs} {settings}")
        for weights, array in zip(weights_of(layer), arrays, strict=True):
            chunks += [np.zeros(1, np.float32), array] if weights.tagged else [array]
    blobs = {name for layer in model.layers for name in layer.outputs}
    return "\n".join([MAGIC.decode(), f"{len(lines)} {len(blobs)}", *lines, ""]), chunks


def _setting(key: int, value: Number | tuple[Number, ...]) -> str:
    if isinstance(value, tuple):
        return f"{_ARRAY_BASE - key}={len(value)}" + "".join(f",{_text(number)}" for number in value)
    return f"{key}={_text(value)}"


def _text(number: Number) -> str:
    """As ncnn tells the two kinds apart: floats have a point or an exponent."""
    return str(number) if isinstance(number, int) else f"{number:.9e}"
