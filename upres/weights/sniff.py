"""What a file is, by its content: whether it is ONNX, and why an unreadable file is refused, with a remedy."""

from __future__ import annotations

from pathlib import PurePath

START_BYTES = 256  # of a file, enough for `is_onnx`
_AGAIN = "Download it again"
_EXPECTED = "expected .safetensors, .pth, .onnx, or ncnn's .param with its .bin"
_ELSE = "Find the same network as .safetensors or .pth"

# What a file begins with, what it then is, and what to do.
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "it is a Git LFS pointer: a note of 130 bytes that stands for the file",
        "Run `git lfs pull` in its repository, or download it from the web page",
    ),
    (b"7767517", "it is an ncnn .param file, which lists layers and holds no weights", _ELSE),
    (b"\x47\x6b\x30\x01", "it is an ncnn .bin file (float16 weights without names)", _ELSE),
    (b"\x89PNG", "it is a PNG picture", "Name the model file"),
    (b"\xff\xd8\xff", "it is a JPEG picture", "Name the model file"),
    (b"GGUF", "it is a GGUF file, which holds language models", _ELSE),
    (b"\x89HDF", "it is an HDF5 file (Keras)", _ELSE),
    (b"\x93NUMPY", "it is a NumPy array", _ELSE),
    (b"\x1f\x8b", "it is a gzip archive", "Unpack it and name the .pth or .safetensors inside"),
    (b"7z\xbc\xaf", "it is a 7-Zip archive", "Unpack it and name the .pth or .safetensors inside"),
    (b"Rar!", "it is a RAR archive", "Unpack it and name the .pth or .safetensors inside"),
)
_TAR = slice(257, 262)

# Fields of ONNX's ModelProto (onnx.proto) by number: 0 for numbers, 2 for text and messages.
_IR_VERSION, _GRAPH = 1, 7
_ONNX_FIELDS = {_IR_VERSION: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, _GRAPH: 2, 8: 2, 14: 2, 20: 2, 25: 2}
_LATEST_IR_VERSION = 63  # 13 in 2025


def is_onnx(start: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins with `start` (its first `START_BYTES`) is ONNX, whole or cut short.

    ONNX has no magic number: it is a protobuf message, whose fields are walked. It begins with the version of the
    format and another known field, or, in any order, consists of known fields of which one is the graph.
    """
    fields: list[int] = []
    at = 0
    known = True
    while known and at < min(len(start), size):
        tag, at = _varint(start, at)
        value, at = _varint(start, at)
        if tag is None or value is None:
            break  # in the middle of a field that `start` shows a part of
        known = _ONNX_FIELDS.get(tag >> 3) == tag & 7 and (tag >> 3 != _IR_VERSION or 0 < value <= _LATEST_IR_VERSION)
        if known:
            fields.append(tag >> 3)
            at += value if tag & 7 else 0
    return (len(fields) > 1 and fields[0] == _IR_VERSION) or (known and _GRAPH in fields and at <= size)


def _varint(data: bytes, at: int) -> tuple[int | None, int]:
    """(the number, where it ends); None where the data end before it does, or it is longer than 64 bits."""
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    return None, len(data)


def recognize(data: bytes, name: str) -> tuple[str, str]:
    """What the file is and the remedy, as the two halves of a message.

    `data` is neither safetensors nor a container of torch.save.
    """
    for start, found, remedy in _STARTS:
        if data.startswith(start):
            return found, remedy
    suffix = PurePath(name).suffix.lower()
    text = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return "it is empty", _AGAIN
    if not data.strip(b"\0"):
        return f"it is {len(data):,} zero bytes: a download that never finished", _AGAIN
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error")):
        return (
            "it is a web page: you saved the page and not the file that it offers",
            "Use the page's download button or its raw link",
        )
    if text.startswith(b"{") and (b'"modeltopology"' in text or b'"weightsmanifest"' in text or b"graph-model" in text):
        return "it is a TensorFlow.js model, whose weights are in other files", _ELSE
    if text.startswith(b"{") and b'"layers"' in text and b'"weights"' in text:
        return "it is a model of websr, a program for browsers", _ELSE
    if text.startswith((b"{", b"[")):
        return "it is JSON text, perhaps the error message of a web server", _AGAIN
    if data[_TAR] == b"ustar":
        return (
            "it is a tar archive, such as torch wrote before version 0.1.11",
            "Load and save it again with a recent torch",
        )
    if is_onnx(data[:START_BYTES], len(data)):
        return "it is an ONNX file, which holds a program and not only weights", _ELSE
    if suffix == ".bin" and (data[:4] == b"\0\0\0\0" or data[:4] in (b"\x38\x4b\x0d\x00", b"\x56\xc0\x02\x00")):
        return "it is an ncnn .bin file (weights without names)", _ELSE
    if data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05":
        return "it is a Python pickle, but not one that torch.save wrote (or its beginning is damaged)", _AGAIN
    begin = data[:8].hex(" ")
    return f"its format is unknown (it begins with the bytes {begin}); {_EXPECTED}", _AGAIN
