"""What a file must be: its source, its SHA-256, and the pin of one whose SHA-256 was unknown until its first download.

A pin is trust on first use: the SHA-256 of the first download is written beside it, and any other file is refused.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from upres.errors import ModelError
from upres.system.files import sha256_of, write_atomic

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to download."""

    name: str  # in its folder
    urls: tuple[str, ...]  # tried in this order
    sha256: str | None  # or its first 8 or more hex digits, as in torch hub's names; None: pinned at the first download
    bytes: int | None  # its size, if known
    license: str  # for the log
    page: str = ""  # where a person finds it
    pin: bool = True  # False if something else verifies it (the file inside an archive)

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise ValueError(f"a source needs a plain file name, got {self.name!r}")
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{8,64}", self.sha256):
            raise ValueError(
                f"{self.name}: sha256 must be 8 to 64 hex digits in lower case, or None, got {self.sha256!r}"
            )


def pin_path(target: Path) -> Path:
    """The file with the SHA-256 of a file that came without one."""
    return target.with_name(target.name + ".sha256")


def expected_sha256(source: Source, target: Path) -> str | None:
    """The known hash (or its beginning), or the pinned one, or None. Raises ModelError for a damaged pin."""
    if source.sha256 is not None or not pin_path(target).is_file():
        return source.sha256
    pin = pin_path(target)
    words = pin.read_text(encoding="utf-8", errors="replace").split()
    if not words or not re.fullmatch("[0-9a-f]{64}", words[0]):
        raise ModelError(f"{pin} does not contain the SHA-256 of {target.name}. Delete it to pin the file as it is now")
    return words[0]


def write_pin(target: Path, found: str) -> None:
    """Written in the format of `sha256sum`, which can check it."""
    write_atomic(pin_path(target), f"{found}  {target.name}\n".encode())
    words = "the SHA-256 of %s was unknown: it is trusted as it is, and %s is pinned in %s"
    _log.warning(words, target.name, found, pin_path(target))


def problem(source: Source, target: Path) -> str | None:
    """Why the file at `target` cannot be used; None if it can, "" if it is missing. Pins a file of unknown hash."""
    if not target.is_file():
        return ""
    size = target.stat().st_size
    if source.bytes is not None and size != source.bytes:
        return f"{target} has {size} bytes, expected {source.bytes}"
    try:
        expected, found = expected_sha256(source, target), sha256_of(target)
    except OSError as error:
        raise ModelError(
            f"cannot read {target}: {error.strerror or error}. Make it readable, or delete it to download it again"
        ) from error
    if expected is not None and not found.startswith(expected):
        return f"{target} has the SHA-256 {found}, expected {expected}"
    if expected is None and source.pin:
        write_pin(target, found)
    return None
