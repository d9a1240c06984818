"""A file or bytes, identified by content before a decoder sees it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.images.facts import Facts, read_facts, repaired
from upres.images.sniff import FOREIGN, HEAD_BYTES, sniff
from upres.images.whole import read_source, unsupported
from upres.system.text import shown


@dataclass(frozen=True, slots=True)
class Source:
    """A picture to decode.

    Args:
        name: For messages.
        data: A path or the bytes of the file, repaired where decoders are too strict.
        format: "png", "jpeg", ...
        facts: What the file says of its picture.
        codes: The decoded pixels, float32 h w c, of a kind that is decoded as a whole; None for others.
    """

    name: str
    data: Path | bytes
    format: str
    facts: Facts
    codes: NDArray[np.float32] | None = None


class NamedBytes(bytes):
    """The bytes of a file, with its name for messages."""

    def __new__(cls, data: bytes, name: str) -> NamedBytes:
        made = super().__new__(cls, data)
        made.name = name
        return made

    name: str


def identify(source: str | os.PathLike[str] | bytes | BinaryIO) -> Source:
    """Identify a picture. Raises `InputError` for an unreadable source and for content that is not supported."""
    data, name, head = _begun(source)
    form, seems = sniff(head)
    facts = Facts(form, seems)
    if form is not None:
        try:
            facts = read_facts(data, form)
            data = repaired(data, facts)
        except OSError as error:
            raise InputError(f"cannot read {name}: {error.strerror or error}; check the disk") from error
    if facts.format is None:
        kind = FOREIGN.get(facts.refusal) or ("tga" if _is_tga(name, data) else None)
        if kind is None:
            raise unsupported(name, facts.refusal)
        from upres.images import foreign  # most pictures need none of it

        if kind in foreign.SCENES:
            scene = foreign.as_scene(name, data, kind)
            facts = Facts(kind, notes=scene.notes, texts=scene.texts, dpi=scene.dpi, scene=scene.scene)
            return Source(name, data, kind, facts, scene.codes)
        data, notes = foreign.as_png(name, data, kind)
        facts = read_facts(data, "png")
        return Source(name, data, "png", replace(facts, notes=(*notes, *facts.notes)))
    if facts.refusal:
        raise InputError(f"{name} {facts.refusal}")
    return Source(name, data, facts.format, facts)


def with_end_marker(found: Source) -> Source:
    """A JPEG with the end marker that its file lacks."""
    data = found.data if isinstance(found.data, bytes) else found.data.read_bytes()
    return replace(found, data=data + b"\xff\xd9")


def _is_tga(name: str, data: Path | bytes) -> bool:
    """By its name, or by the end that version 2 of the format has: nothing at its beginning tells."""
    return name.lower().endswith(".tga") or (isinstance(data, bytes) and data.endswith(b"TRUEVISION-XFILE.\0"))


def to_send(source: str | os.PathLike[str] | bytes | BinaryIO) -> tuple[Path | bytes, str]:
    """A picture for another process to decode, and its name for messages: nothing is read but the first bytes. Raises
    `InputError` as `identify` does where those tell that it is none.
    """
    data, name, head = _begun(source)
    form, seems = sniff(head)
    if form is None and seems not in FOREIGN and not _is_tga(name, data):
        raise unsupported(name, seems)
    return data, name


def _begun(source: str | os.PathLike[str] | bytes | BinaryIO) -> tuple[Path | bytes, str, bytes]:
    """The file, its name for messages, and its first bytes."""
    data = _path_or_bytes(source)
    if isinstance(data, Path):
        return data, shown(data), _head(data)
    return data, source.name if isinstance(source, NamedBytes) else "the picture", data[:HEAD_BYTES]


def _path_or_bytes(source: str | os.PathLike[str] | bytes | BinaryIO) -> Path | bytes:
    if isinstance(source, str | os.PathLike):
        return Path(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    return read_source(source, "the picture")


def _head(source: Path) -> bytes:
    """The first bytes of a file."""
    name = shown(source)
    try:
        if source.exists() and not (source.is_file() or source.is_dir()):  # opening a pipe may block forever
            raise InputError(f"{name} is a pipe or a device, expected a file; use - to read from standard input")
        with source.open("rb") as file:
            return file.read(HEAD_BYTES)
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist; check the name") from error
    except IsADirectoryError as error:
        raise InputError(f"{name} is a folder, expected a picture") from error
    except PermissionError as error:  # Windows raises it for folders too
        raise InputError(f"{name} {_forbidden(source)}") from error
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}; check the disk") from error


def _forbidden(source: Path) -> str:
    try:
        folder = source.is_dir()
    except OSError:  # the folder that it is in may not be entered
        folder = False
    return "is a folder, expected a picture" if folder else "is not readable; change its permissions"
