"""Values of options as people type them."""

from __future__ import annotations

import math
import re

from upres.errors import UsageError


def parse_tile(text: str) -> int | None:
    """Side of a tile in pixels; None for "auto". Raises `UsageError`."""
    if text != "auto" and (not text.isdecimal() or int(text) < 1):
        raise UsageError(f"--tile expects auto or a number of pixels, got {text!r}")
    return None if text == "auto" else int(text)


def parse_pixels(text: str) -> int:
    """`500M`, `1.5G` or a plain number of pixels. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)P?", text.strip().upper())
    value = 0 if match is None else math.floor(float(match[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[match[2]])
    if value < 1:
        raise UsageError(f"--max-pixels expects a number of pixels such as 500M, got {text!r}")
    return value


def format_name(text: str | None) -> str | None:
    """`jpg` and `.JPG` mean `jpeg`, `tif` means `tiff`, `heif` means `heic`."""
    from upres.images.formats import WRITABLE_FORMATS

    name = None if text is None else text.lower().removeprefix(".")
    return None if name is None else WRITABLE_FORMATS.get(f".{name}", name)
