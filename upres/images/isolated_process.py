"""One child process that decodes, seen from its parent: what it is asked, and what may be believed of its answers."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from upres.errors import InputError, UsageError
from upres.images.ifd import Entry
from upres.images.picture import Header, JpegCoding, Picture, SceneLight
from upres.images.wire import unpack
from upres.system.subprocesses import Conversation, ProcessOutcome, python_command
from upres.system.text import words_for_bytes

VARIABLE = "UPRES_ISOLATE"  # for processes that are started within, and for users: "1"
_CHILD = "upres.images.isolated_child"  # by name: it is run, never imported
_START_S, _WAIT_S = 120.0, 600.0
_WAITS = 10.0  # time of the clock for each second of the processor: others want it too
_PIECE = 1 << 30
_NEXT = json.dumps({"next": True})
_CLASSES: dict[str, type[Any]] = {one.__name__: one for one in (Picture, Header, Entry, JpegCoding, SceneLight)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What decoding one picture may take.

    memory_bytes: Of the child beyond its libraries: samples, and pixels as float32.
    cpu_seconds: Processor time, of all its threads together.
    """

    memory_bytes: int = 4 << 30
    cpu_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.memory_bytes < 1 << 20 or self.cpu_seconds <= 0:
            raise UsageError(f"limits must be 1 MB and more than 0 s at least, got {self}")


class Child:
    """One process, and the file in memory that it shares with this one. Raises OSError if it does not start."""

    def __init__(self, limits: Limits) -> None:
        from upres.images.vips import threads

        self._limits = limits
        self._file = _shared_file()
        place = self._file.fileno()
        numbers = [str(number) for number in (place, limits.memory_bytes, limits.cpu_seconds, threads())]
        environment = {**os.environ, VARIABLE: "0"}
        self._talk = Conversation([*python_command(_CHILD), *numbers], pass_fds=(place,), env=environment)
        self.alive = True

    def ask(self, do: str, name: str, data: bytes | Path, options: dict[str, Any], kinds: tuple[type[Any], ...]) -> Any:
        """The answer; an `InputError` of the picture is returned, for the child is well then."""
        size = self._give(name, data)
        return self._answer(json.dumps({"do": do, "name": name, "size": size, "options": options}), name, kinds)

    def stream(
        self, do: str, name: str, data: bytes | Path, options: dict[str, Any], kinds: tuple[type[Any], ...]
    ) -> Iterator[Any]:
        """What a generator yields there, one by one. Raises `InputError`, also between two of them."""
        kinds = (*kinds, type(None))  # at its end
        answer = self.ask(do, name, data, options, kinds)
        while answer is not None:
            if isinstance(answer, InputError):
                raise answer
            yield answer
            answer = self._answer(_NEXT, name, kinds)

    def _answer(self, line: str, name: str, kinds: tuple[type[Any], ...]) -> Any:
        wait = _START_S + max(_WAIT_S, _WAITS * self._limits.cpu_seconds)
        try:
            answer = self._talk.ask(line, wait)
        except TimeoutError:
            self.alive = False
            return InputError(f"{name} was not decoded within {wait:.0f} s; check the file, or leave `isolate` out")
        if answer is None:
            self.alive = False
            return InputError(f"{name} {self._ending(self._talk.outcome())}")
        if answer.get("step") == "failed":
            return InputError(str(answer["text"]))
        try:
            classes = _CLASSES | {kind.__name__: kind for kind in kinds}
            found = unpack(answer["value"], self._take, os.fstat(self._file.fileno()).st_size, classes)
            if not isinstance(found, kinds):
                raise TypeError(f"a {type(found).__name__}")
        except (ValueError, TypeError, KeyError, AttributeError, InputError, OSError) as error:
            self.alive = False  # nothing that it says can be trusted any more
            return InputError(f"{name} made the process that decodes it answer nonsense ({error}); do not trust it")
        os.ftruncate(self._file.fileno(), 0)  # gives the memory back
        return found

    def _ending(self, outcome: ProcessOutcome) -> str:
        """Why there is no picture."""
        limits = self._limits
        if "SIGXCPU" in outcome.ending or (outcome.code == -9 and not outcome.reason):
            return f"took more than {limits.cpu_seconds:g} s of processor time, or the memory of the machine, to decode"
        if any(word in outcome.ending for word in ("alloc", "MemoryError", "memory")):
            return f"needs more than {words_for_bytes(limits.memory_bytes)} of memory to be decoded ({outcome.ending})"
        return f"cannot be decoded: the process that tried {outcome.ending}; the file is damaged, or made to do harm"

    def _give(self, name: str, data: bytes | Path) -> int:
        place = self._file.fileno()
        try:
            os.ftruncate(place, 0)
            if isinstance(data, bytes):
                _write(place, memoryview(data), 0)
                return len(data)
            with data.open("rb") as file:
                at = 0
                while piece := file.read(1 << 22):
                    _write(place, memoryview(piece), at)
                    at += len(piece)
                    if at > self._limits.memory_bytes:
                        most = words_for_bytes(self._limits.memory_bytes)
                        raise InputError(f"{name} has more than {most}, the limit of isolated decoding")
                return at
        except OSError as error:
            raise InputError(f"cannot read {name}: {error.strerror or error}; check the disk") from error

    def _take(self, at: int, buffer: memoryview) -> None:
        read = 0
        while read < len(buffer):
            part = os.preadv(self._file.fileno(), [buffer[read : read + _PIECE]], at + read)
            if not part:
                raise ValueError("the shared memory is shorter than it was")
            read += part

    def end(self) -> None:
        self.alive = False
        self._talk.end()
        self._file.close()


def _write(place: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(place, data[:_PIECE], at)
        data, at = data[written:], at + written


def _shared_file() -> BinaryIO:
    """A file without a name, in memory where the system has such."""
    with suppress(AttributeError, OSError):
        return os.fdopen(os.memfd_create("upres", os.MFD_CLOEXEC), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)  # type: ignore[return-value]
