"""What a file that we cannot read is, so that its refusal can say what to do."""

from __future__ import annotations

from pathlib import PurePath

_AGAIN = "Download it again; expected is a .safetensors or .pth file"
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
    (b"\x89PNG", "it is a PNG picture", "Expected is a model file"),
    (b"\xff\xd8\xff", "it is a JPEG picture", "Expected is a model file"),
    (b"GGUF", "it is a GGUF file, which holds language models", _ELSE),
    (b"\x89HDF", "it is an HDF5 file (Keras)", _ELSE),
    (b"\x93NUMPY", "it is a NumPy array", _ELSE),
    (b"\x1f\x8b", "it is a gzip archive", "Unpack it and name the .pth or .safetensors inside"),
    (b"7z\xbc\xaf", "it is a 7-Zip archive", "Unpack it and name the .pth or .safetensors inside"),
    (b"Rar!", "it is a RAR archive", "Unpack it and name the .pth or .safetensors inside"),
)
_TAR = slice(257, 262)


def recognize(data: bytes, name: str) -> tuple[str, str]:
    """What the file is and the remedy, as the two halves of a message. `data` is neither safetensors nor a container of torch.save."""
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
        return "it is a web page: you saved the page and not the file that it offers", "Use the page's download button or its raw link"
    if text.startswith((b"{", b"[")):
        return "it is JSON text, perhaps the error message of a web server", _AGAIN
    if data[_TAR] == b"ustar":
        return "it is a tar archive, such as torch wrote before version 0.1.11", "Load and save it again with a torch of today"
    if data[:1] == b"\x08" and data[1:2] < b"\x20" and data[2:3] in b"\x12\x1a\x22\x2a\x32\x3a\x42" and len(data) > 16:
        return "it is an ONNX file, which holds a program and not only weights", _ELSE
    if suffix == ".bin" and (data[:4] == b"\0\0\0\0" or data[:4] in (b"\x38\x4b\x0d\x00", b"\x56\xc0\x02\x00")):
        return "it is an ncnn .bin file (weights without names)", _ELSE
    if data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05":
        return "it is a Python pickle, but not one that torch.save wrote (or its beginning is damaged)", _AGAIN
    begin = data[:8].hex(" ")
    return f"its format is unknown (it begins with the bytes {begin}); expected .safetensors or .pth", _AGAIN
