"""What a file must be: its source, its SHA-256, and the pin of one whose SHA-256 was unknown until its first download.

A pin is trust on first use: the file is taken as it is once, its SHA-256 is written beside it, and another file is refused from then on.
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
    """A file to be had: `name` in its folder, `urls` in the order of trying, `sha256` in full, or its first 8 or more hex digits as in the
    file names of torch hub, or None (then pinned at the first download); `bytes` its size where known; `license` for the log; `page` is
    where a person finds it; `pin` False where something else than a pin tells that it is right (the file inside an archive)."""

    name: str
    urls: tuple[str, ...]
    sha256: str | None
    bytes: int | None
    license: str
    page: str = ""
    pin: bool = True

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise ValueError(f"a source is named as a plain file, got {self.name!r}")
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{8,64}", self.sha256):
            raise ValueError(f"{self.name}: sha256 must be 8 to 64 hex digits in lower case, or None, got {self.sha256!r}")


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
    _log.warning("no SHA-256 is known of %s: it is trusted as it is, and %s is pinned in %s", target.name, found, pin_path(target))


def problem(source: Source, target: Path) -> str | None:
    """Why the file at `target` cannot be used: None where it can, "" where there is none. A file without a known hash is pinned."""
    if not target.is_file():
        return ""
    size = target.stat().st_size
    if source.bytes is not None and size != source.bytes:
        return f"{target} has {size} bytes, expected {source.bytes}"
    try:
        expected, found = expected_sha256(source, target), sha256_of(target)
    except OSError as error:
        raise ModelError(f"cannot read {target}: {error.strerror or error}. Make it readable, or delete it to download it again") from error
    if expected is not None and not found.startswith(expected):
        return f"{target} has the SHA-256 {found}, expected {expected}"
    if expected is None and source.pin:
        write_pin(target, found)
    return None
