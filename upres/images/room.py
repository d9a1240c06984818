"""Memory that a picture takes, weighed before it is taken: the one plan of all that decodes a whole picture."""

from __future__ import annotations

from typing import Any

from upres.errors import InputError
from upres.images.picture import Header
from upres.system.memory import usable_bytes
from upres.system.text import words_for_bytes

_WEIGHED_PIXELS = 10_000_000  # above it, memory is weighed before it is taken
# Bytes per sample that decoders hold of the whole picture beside what they return, measured (docs/upscale.md): the
# coefficients of a progressive JPEG, pictures that come in passes, and formats that no decoder reads by rows.
_HELD = {"webp": 2.7, "avif": 5.0, "gif": 2.0}
_COEFFICIENT_BYTES = 2


def held_bytes(image: Any, form: str, *, subsampled: bool) -> int:
    """What its decoder holds of a whole picture, even if its rows are taken one by one.

    image: A pyvips image, of which the header is read.
    form: "png", "jpeg", ...
    subsampled: Whether a JPEG has chroma of half the resolution.
    """
    samples = int(image.height * image.width * image.bands)
    in_passes = bool(image.get_typeof("interlaced")) and bool(image.get("interlaced"))
    if form == "jpeg":
        return int(samples * _COEFFICIENT_BYTES * (0.5 if subsampled else 1.0)) if in_passes else 0
    if form == "png":
        return samples * (2 if image.format == "ushort" else 1) if in_passes else 0
    return int(samples * _HELD.get(form, 0.0))


def decode_bytes(header: Header) -> int:
    """Memory that `read_picture` takes at its peak: the samples, and what the decoder holds or the same as float32."""
    samples = _samples(header)
    return samples * (header.depth // 8) + max(header.held_bytes, 4 * samples)


def check_room(name: str, header: Header, copies: float = 0.0, *, by_rows: bool = False) -> None:
    """Raise `InputError` where the memory is too small for the whole picture, and for `copies` of its floats.

    by_rows: Only what the decoder holds of it is ever whole.
    """
    pixels = header.height * header.width
    needed = header.held_bytes if by_rows else decode_bytes(header) + round(copies * 4 * _samples(header))
    if pixels > _WEIGHED_PIXELS and needed > (free := usable_bytes()):
        raise InputError(
            f"{name} has {header.width:,} x {header.height:,} pixels and needs {words_for_bytes(needed)} of memory to "
            f"be {'worked on' if copies else 'read'}, but {words_for_bytes(free)} are free for it; make it smaller, or "
            "close other programs"
        )


def _samples(header: Header) -> int:
    return header.height * header.width * (header.channels + header.has_alpha + header.bands)
