"""The interface of this folder: reading and writing of `Picture`."""

from __future__ import annotations

from upres.images.alpha import bleed_alpha
from upres.images.formats import CORE_SUFFIXES, WRITABLE_FORMATS
from upres.images.picture import (
    NAMED_SUFFIXES,
    READABLE_SUFFIXES,
    Header,
    JpegCoding,
    Picture,
    SceneLight,
    quantize,
    with_chroma,
)
from upres.images.read import read_header, read_picture, read_xmp
from upres.images.resized import resized
from upres.images.vips import codec_version, set_threads
from upres.images.whole import read_source
from upres.images.write import check_writable, encode_picture, write_picture, writing_notes

__all__ = [
    "CORE_SUFFIXES",
    "NAMED_SUFFIXES",
    "READABLE_SUFFIXES",
    "WRITABLE_FORMATS",
    "Header",
    "JpegCoding",
    "Picture",
    "SceneLight",
    "bleed_alpha",
    "check_writable",
    "codec_version",
    "encode_picture",
    "quantize",
    "read_header",
    "read_picture",
    "read_source",
    "read_xmp",
    "resized",
    "set_threads",
    "with_chroma",
    "write_picture",
    "writing_notes",
]
