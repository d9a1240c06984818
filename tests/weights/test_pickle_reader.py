"""The pickle machine: equal to Python's unpickler on data, deaf to everything else. Nothing in these files may ever
run.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from upres.errors import ModelError
from upres.weights.pickle_reader import MAX_OPCODES, MAX_PICKLE_BYTES, read_pickle
from upres.weights.tensors import Origin

PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3, 4, 5])


def read(data: bytes) -> object:
    return read_pickle(data, 0, Origin("model.pth", len(data))).value


class Runs:
    """Pickles to the call of `function`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._call


@PROTOCOLS
def test_plain_data_equals_the_standard_unpickler(protocol: int) -> None:
    value = {
        "none": None,
        "bools": [True, False],
        "integers": [0, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**63, -(2**200)],
        "floats": (0.5, -1e300, float("inf")),
        "texts": ["", "é", "x" * 300, "\U0001f600"],
        "bytes": [b"", b"\x00\xff", b"y" * 300] if protocol >= 3 else [],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "nested": {"a": {"b": {1: [{}], 2.5: None, None: 1, False: 2}}},
        "ordered": OrderedDict([("z", 1), ("a", 2)]),
        "many": list(range(3000)),
        "dict": {str(index): index for index in range(3000)},
    }
    data = pickle.dumps(value, protocol)
    found = read(data)
    assert found == pickle.loads(data) == value
    assert isinstance(found, dict) and list(found["ordered"]) == ["z", "a"]


def test_what_python_2_wrote() -> None:
    data = b"\x80\x02}q\x00(U\x06weightq\x01ccollections\nOrderedDict\nq\x02]q\x03]q\x04(T\x01\x00\x00\x00aK\x01ea\x85"
    data += b"q\x05Rq\x06u."
    assert read(data) == {"weight": {"a": 1}} == pickle.loads(data)


def test_the_end_of_the_pickle_is_told() -> None:
    data = b"ab" + pickle.dumps([1], 2) + b"rest"
    assert read_pickle(data, 2, Origin("x", len(data))).end == len(data) - 4


@PROTOCOLS
@pytest.mark.parametrize(
    "hostile",
    [
        Runs(os.system, "touch {mark}"),
        Runs(eval, "open('{mark}', 'w')"),
        Runs(exec, "open('{mark}', 'w')"),
        Runs(getattr, OrderedDict, "__init__"),
        Runs(__import__, "os"),
        Runs(open, "{mark}", "w"),
        Runs(Path, "{mark}"),
        Runs(OrderedDict.fromkeys, "ab"),  # an attribute of an allowed name
        Runs(np.dtype, Runs(os.system, "touch {mark}")),  # inside the arguments of an allowed name
        {"params": {"w": Runs(os.system, "touch {mark}")}},
    ],
)
def test_code_is_refused_by_name_and_never_runs(hostile: object, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "m"
    # The text is put in afterwards with its length kept, so that the case can be written down without knowing tmp_path.
    data = pickle.dumps(hostile, protocol).replace(b"{mark}", b"./" + b"mark")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(
            ModelError,
            match=r"model.pth: its pickle holds more than plain data \(the name '.*'\).*nothing was run.*safetensors",
        ):
            read(data)
    assert not mark.exists() and list(tmp_path.iterdir()) == []


def test_the_refusal_names_what_was_found() -> None:
    with pytest.raises(ModelError, match=r"the name 'posix\.system'"):
        read(pickle.dumps(Runs(os.system, "true"), 2))
    with pytest.raises(ModelError, match=r"the name '__builtin__\.eval'"):
        read(pickle.dumps(Runs(eval, "1"), 2))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02cos\nsystem\n.",  # the name alone
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # the same by STACK_GLOBAL
        b"\x80\x02ccollections\nOrderedDict.fromkeys\n.",
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x02ctorch.storage\n_load_from_bytes\n.",
        b"\x80\x02ctorch._utils\n__builtins__\n.",
        b"\x80\x02ctorch\nfloat32.__class__\n.",
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"\x80\x04ccollections\nOrderedDict\n)}\x92.",  # NEWOBJ_EX
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02X\x01\x00\x00\x00a}b.",  # attributes set on a text
        b"\x80\x02ccollections\nOrderedDict\n}X\x03\x00\x00\x00popK\x01sb.",  # attributes set on an allowed name
        b"\x80\x02X\x01\x00\x00\x00a)R.",  # a call of a text
        b"\x80\x02K\x01)R.",
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        b"\x80\x02Pstorage\n.",  # PERSID
        b"\x80\x05\x97.",  # NEXT_BUFFER
    ],
)
def test_each_road_to_code_is_closed(data: bytes) -> None:
    with pytest.raises(ModelError, match="more than plain data"):
        read(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "ends in the middle of its pickle"),
        (b"\x80", "ends in the middle"),
        (b"\x80\x02", "ends in the middle"),
        (b"\x80\x02.", "a value is missing"),
        (b"\x80\x09N.", "unknown pickle protocol"),
        (b"\x80\x02t.", "start of a group is missing"),
        (b"\x80\x02(.", "a value is missing"),
        (b"\x80\x02h\x05.", "a reference to nothing"),
        (b"\x80\x02X\xff\xff\xff\xffab.", "ends in the middle"),
        (b"\x80\x02X\x02\x00\x00\x00\xff\xff.", "not UTF-8"),
        (b"\x80\x04\x8d" + b"\xff" * 8 + b".", "ends in the middle"),
        (b"\x80\x02}]K\x01s.", "a key that is a list"),
        (b"\x80\x02})K\x01s.", "a key that is a tuple"),
        (b"\x80\x02K\x01K\x02K\x03s.", "keys set on a int"),
        (b"\x80\x02}(K\x01u.", "keys set on a dict"),
        (b"\x80\x02K\x01K\x02a.", "appended to a int"),
        (b"\x80\x02K\x01Q.", "not a torch storage"),
        (b"\x80\x04K\x01K\x02\x93.", "a name that is not text"),
        (b"\x80\x02cos", "a line without an end"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "OrderedDict with arguments that it does not take"),
        (b"\x80\x02ccollections\nOrderedDict\n]K\x01a\x85R.", "something other than pairs"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "arguments that it does not take"),
        (b"\x80\x02\x8a\x21" + b"\x01" * 33 + b".", "an integer of 33 bytes"),
        (b"\x80\x02\x8b" + struct.pack("<L", 1 << 31) + b".", "an integer of 2,147,483,648 bytes"),
    ],
)
def test_nonsense_is_refused_with_words(data: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        read(data)


def test_bombs_of_opcodes_and_bytes_are_refused() -> None:
    with pytest.raises(ModelError, match="more than 500,000 opcodes"):
        read(b"\x80\x02" + b"N0" * MAX_OPCODES)
    long = b"\x80\x02B" + struct.pack("<L", MAX_PICKLE_BYTES) + bytes(MAX_PICKLE_BYTES) + b"."
    with pytest.raises(ModelError, match="larger than 33,554,432 bytes"):
        read(long)


def test_using_the_same_thing_again_and_again_costs_little() -> None:
    """Each of these is small, and without a bound would copy its long list (or tuple) at each of 20,000 calls."""
    items = b"(" + b"K\x01" * 100_000
    pairs = b"(" + b"h\x01" * 50_000
    for data, words in [
        (
            b"\x80\x02]K\x01aK\x02aq\x01]"
            + pairs
            + b"eq\x02"
            + b"ccollections\nOrderedDict\nh\x02\x85R" * 20_000
            + b".",
            "more than 100,000 pairs",
        ),
        (b"\x80\x02" + items + b"tq\x01" + b"ctorch\ndevice\nh\x01R" * 20_000 + b".", "with 100,000 arguments"),
        (b"\x80\x02" + items + b"tq\x01" + b"h\x01Q" * 20_000 + b".", "not a torch storage"),
    ]:
        start = time.process_time()
        with pytest.raises(ModelError, match=words):
            read(data)
        assert time.process_time() - start < 5.0


@pytest.mark.slow
def test_keys_made_to_collide_are_refused() -> None:
    """Integers that are equal modulo 2^61 - 1 share a hash: 100,000 of them in one dict would take minutes."""
    prime = 2**61 - 1
    assert len({hash(7 + index * prime) for index in range(100)}) == 1
    keys = [b"\x8a\x0d" + (7 + index * prime).to_bytes(13, "little") for index in range(1, 100_000)]
    as_items = b"\x80\x02}(" + b"".join(key + b"N" for key in keys) + b"u."
    as_pairs = b"\x80\x02ccollections\nOrderedDict\n](" + b"".join(key + b"N\x86" for key in keys) + b"e\x85R."
    start = time.process_time()
    for data in (as_items, as_pairs):
        with pytest.raises(ModelError, match=r"expected text or a number below 2\*\*53|something other than pairs"):
            read(data)
    assert time.process_time() - start < 5.0
    assert read(b"\x80\x02}\x8a\x06" + (2**47 - 1).to_bytes(6, "little") + b"Ns.") == {2**47 - 1: None}


@pytest.mark.slow
def test_deep_nesting_neither_recurses_nor_crashes() -> None:
    deep = 20_000  # twenty times what Python may recurse
    for data in (b"N" + b"\x85" * deep, b"]" * deep + b"a" * (deep - 1), b"}K\x01" * deep + b"N" + b"s" * deep):
        found = read(b"\x80\x02" + data + b".")
        assert isinstance(found, tuple | list | dict) and len(found) == 1


def test_random_bytes_and_flipped_bits_raise_nothing_but_model_error() -> None:
    rng = np.random.default_rng(11)
    value = {"a": [1, 2.5, "x", None, (True, 3, 4, 5)], "o": OrderedDict(b=1), "n": {"deep": [2**40]}}
    read_fine = 0
    for protocol in (2, 4):
        sound = pickle.dumps(value, protocol)
        assert pickletools.optimize(sound)
        for _ in range(1500):
            data = bytearray(sound)
            for _ in range(int(rng.integers(1, 4))):
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            try:
                read(bytes(data))
                read_fine += 1
            except ModelError:
                pass
    for _ in range(3000):
        try:
            read(b"\x80\x02" + rng.bytes(int(rng.integers(1, 60))))
            read_fine += 1
        except ModelError:
            pass
    assert 0 < read_fine < 6000  # both ways are walked
