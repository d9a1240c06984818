"""A reader of the pickles in torch files that cannot run code: an own machine for the few opcodes that data needs.

Python's unpickler imports and calls whatever a file names. Here each allowed name (`pickle_values.py`) stands for an
inert value of ours: nothing is imported, nothing of the file is called. Anything but data (objects with code, unknown
names, other opcodes) is refused by name. Size of the pickle, number of opcodes and size of integers are bounded; the
work is linear in the opcodes.

The opcodes are those of `pickletools` in the standard library.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import final

from upres.errors import ModelError
from upres.weights.pickle_values import (
    Meaning,
    OpaqueObject,
    PickledDict,
    PickledList,
    PickledTuple,
    Storage,
    is_key,
    kind,
)
from upres.weights.tensors import Origin

MAX_PICKLE_BYTES = 32 * 2**20
MAX_OPCODES = 500_000  # a state dict takes about 30 for each tensor
MAX_INTEGER_BYTES = 32


@final
class _Mark:
    pass


_MARK = _Mark()


@dataclass(frozen=True, slots=True)
class Pickle:
    """What a pickle holds, where it ends, and every root storage that it refers to, by key."""

    value: object
    end: int
    storages: dict[str, Storage]


def read_pickle(data: bytes, start: int, origin: Origin) -> Pickle:
    """The pickle at `data[start:]`. Raises ModelError, and nothing else, for anything but plain data."""
    return _Machine(data, start, origin).run()


class _Machine:
    def __init__(self, data: bytes, start: int, origin: Origin) -> None:
        self._data = data
        self._start = start
        self._at = start
        self._end = min(len(data), start + MAX_PICKLE_BYTES)
        self._origin = origin
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._meaning = Meaning(origin)

    def run(self) -> Pickle:
        for _ in range(MAX_OPCODES):
            opcode = self._take(1)
            if opcode == b".":
                return Pickle(self._pop(), self._at, self._meaning.storages)
            self._step(opcode)
        raise self._origin.refuse(
            f"its pickle has more than {MAX_OPCODES:,} opcodes, far more than the weights of a network need"
        )

    # -- bytes

    def _take(self, size: int) -> bytes:
        if size > self._end - self._at:
            if self._end < len(self._data):
                raise self._origin.refuse(f"its pickle is larger than {MAX_PICKLE_BYTES:,} bytes")
            raise self._origin.refuse("it ends in the middle of its pickle: it is truncated or damaged")
        self._at += size
        return self._data[self._at - size : self._at]

    def _unsigned(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at, min(self._end, self._at + 1000))
        if end < 0:
            raise self._damaged("a line without an end")
        return self._text(self._take(end + 1 - self._at)[:-1])

    def _text(self, raw: bytes, encoding: str = "utf-8") -> str:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise self._damaged("text that is not UTF-8") from error

    def _damaged(self, found: str) -> ModelError:
        return self._meaning.damaged(f"{found} at byte {self._at:,}")

    # -- stack

    def _pop(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._damaged("a value is missing")
        return self._stack.pop()

    def _top(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._damaged("a value is missing")
        return self._stack[-1]

    def _pop_to_mark(self) -> list[object]:
        items: list[object] = []
        while self._stack:
            item = self._stack.pop()
            if item is _MARK:
                items.reverse()
                return items
            items.append(item)
        raise self._damaged("the start of a group is missing")

    def _step(self, opcode: bytes) -> None:
        push = self._stack.append
        match opcode:
            case b"\x80":  # PROTO
                if self._unsigned(1) > 5:
                    raise self._damaged("an unknown pickle protocol")
            case b"\x95":  # FRAME
                self._take(8)
            case b"(":
                push(_MARK)
            case b"0":
                self._pop()
            case b"1":
                self._pop_to_mark()
            case b"N":
                push(None)
            case b"\x88":
                push(True)
            case b"\x89":
                push(False)
            case b"K":
                push(self._unsigned(1))
            case b"M":
                push(self._unsigned(2))
            case b"J":
                push(int.from_bytes(self._take(4), "little", signed=True))
            case b"\x8a" | b"\x8b":  # LONG1, LONG4
                size = self._unsigned(1 if opcode == b"\x8a" else 4)
                if size > MAX_INTEGER_BYTES:
                    raise self._origin.refuse(
                        f"its pickle has an integer of {size:,} bytes; expected at most {MAX_INTEGER_BYTES}"
                    )
                push(int.from_bytes(self._take(size), "little", signed=True))
            case b"G":
                push(struct.unpack(">d", self._take(8))[0])
            case b"X" | b"\x8c" | b"\x8d":  # BINUNICODE, its short form and its long one
                push(self._text(self._take(self._unsigned({b"X": 4, b"\x8c": 1, b"\x8d": 8}[opcode]))))
            case b"U" | b"T":  # SHORT_BINSTRING, BINSTRING: the str of Python 2
                push(self._text(self._take(self._unsigned(1 if opcode == b"U" else 4)), "latin-1"))
            case b"C" | b"B" | b"\x8e":
                push(self._take(self._unsigned({b"C": 1, b"B": 4, b"\x8e": 8}[opcode])))
            case b")":
                push(PickledTuple())
            case b"\x85" | b"\x86" | b"\x87":  # TUPLE1 ... TUPLE3
                items = [self._pop() for _ in range(opcode[0] - 0x84)]
                push(PickledTuple(reversed(items)))
            case b"t":
                push(PickledTuple(self._pop_to_mark()))
            case b"]":
                push(PickledList())
            case b"l":
                push(PickledList(self._pop_to_mark()))
            case b"a":
                item = self._pop()
                self._list_on_top().append(item)
            case b"e":
                items = self._pop_to_mark()
                self._list_on_top().extend(items)
            case b"}":
                push(PickledDict())
            case b"d":
                items = self._pop_to_mark()
                push(PickledDict())
                self._set_items(items)
            case b"s":
                value = self._pop()
                self._set_items([self._pop(), value])
            case b"u":
                self._set_items(self._pop_to_mark())
            case b"q" | b"r" | b"\x94":  # BINPUT, LONG_BINPUT, MEMOIZE
                key = len(self._memo) if opcode == b"\x94" else self._unsigned(1 if opcode == b"q" else 4)
                self._memo[key] = self._top()
            case b"h" | b"j":
                key = self._unsigned(1 if opcode == b"h" else 4)
                if key not in self._memo:
                    raise self._damaged("a reference to nothing")
                push(self._memo[key])
            case b"c":
                push(self._meaning.find(self._line(), self._line()))
            case b"\x93":  # STACK_GLOBAL
                name, module = self._pop(), self._pop()
                if not isinstance(name, str) or not isinstance(module, str):
                    raise self._damaged("a name that is not text")
                push(self._meaning.find(module, name))
            case b"Q":
                push(self._meaning.storage(self._pop()))
            case b"R":
                arguments, function = self._pop(), self._pop()
                push(self._meaning.reduce(function, arguments))
            case b"b":
                self._pop()  # attributes, such as the _metadata of a state dict: not needed
                if not isinstance(self._top(), PickledDict | OpaqueObject):
                    raise self._meaning.refuse_object(f"attributes set on {kind(self._top())}")
            case _:
                raise self._meaning.refuse_object(f"the opcode {opcode!r}")

    def _list_on_top(self) -> PickledList:
        target = self._top()
        if not isinstance(target, PickledList):
            raise self._damaged(f"an item appended to {kind(target)}")
        return target

    def _set_items(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, PickledDict) or len(items) % 2:
            raise self._damaged(f"keys set on {kind(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not is_key(key):
                raise self._damaged(f"a key that is {kind(key)} (expected text or a number below 2**53)")
            target[key] = value
