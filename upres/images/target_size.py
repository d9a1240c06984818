"""The highest quality whose file is not larger than asked."""

from __future__ import annotations

from collections.abc import Callable

from upres.errors import OutputError, UsageError
from upres.images.formats import FORMATS

KB = 1000  # bytes: a limit in units of 1,024 is kept too
_BEST = 100


def check_target_kb(target_kb: int, format: str) -> None:
    """Raise `UsageError` for a size that is none, and for a format without a quality."""
    if target_kb < 1:
        raise UsageError(f"`target_kb` must be at least 1, got {target_kb}")
    lossy = [name for name, found in FORMATS.items() if found.quality is not None]
    if format not in lossy:
        raise UsageError(f"`target_kb` needs a format with a quality ({', '.join(lossy)}), got {format}; set `format`")


def encode_within(encode: Callable[[int], bytes], target_kb: int, most: int | None, format: str) -> tuple[bytes, int]:
    """An encoded picture of at most `target_kb` times 1,000 bytes, and its quality.

    encode: Encodes with a quality of 1 to 100.
    most: The highest quality to use; None: 100.
    format: For the message.

    Raises `OutputError` if it is larger even with quality 1.
    """
    low, high = 1, _BEST if most is None else most
    found: tuple[bytes, int] | None = None
    smallest = 0
    while low <= high:
        middle = (low + high) // 2
        data = encode(middle)
        if len(data) <= target_kb * KB:
            found, low = (data, middle), middle + 1
        else:
            smallest, high = len(data), middle - 1
    if found is None:
        raise OutputError(
            f"the result takes {-(-smallest // KB):,} KB as {format} of quality 1, more than `target_kb={target_kb}`; "
            "choose a smaller size or a larger file"
        )
    return found
