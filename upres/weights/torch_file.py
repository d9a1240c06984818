"""State dicts from the two containers of `torch.save`, without torch: the zip, and the older stream that most old
ESRGAN files are.

zip: NAME/data.pkl refers to storages NAME/data/KEY; NAME/byteorder says "little" or "big". stream: five pickles (magic
number, protocol, sys_info, the object, the list of storage keys), then for each key its element count as int64 and its
raw numbers. Both as written by `torch/serialization.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.weights.pickle_reader import read_pickle
from upres.weights.pickle_values import PickledDict, PickledList, Storage, Tensor
from upres.weights.tensors import DTYPES, MAX_ELEMENTS, Origin, check_name, count, decode
from upres.weights.zip_entries import ZipEntries

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
# The first bytes of the stream: PROTO 2, LONG1 of ten bytes, the magic number.
STREAM_START = b"\x80\x02\x8a\x0a" + MAGIC_NUMBER.to_bytes(10, "little") + b"."
_STREAM_PROTOCOL = 1001

# The first that is there is taken: averaged weights before raw ones, and last the names that others also use for
# whatever they like. Of BasicSR and its kin, KAIR, Lightning, MMagic, neosr, traiNNer and many a script.
WRAPPERS = (
    "params_ema", "params-ema", "net_g_ema", "netG_ema", "generator_ema", "model_ema", "params", "net_g", "netG",
    "generator", "model_state_dict", "state_dict", "ema", "model",
)  # fmt: skip
DISCRIMINATOR_WRAPPERS = (
    "net_d", "netD", "discriminator", "params", "model_state_dict", "state_dict", "params_ema", "model",
)  # fmt: skip
_MOST_WRAPPED = 3  # wrappers around one state dict
_MAX_TIED = 4  # names may share a tensor, but all of them together claim at most this many times the file's size

FetchStorage = Callable[[str], memoryview]  # key -> the raw little-endian numbers


def read_zip(data: bytes, origin: Origin, wrappers: Sequence[str] = WRAPPERS) -> dict[str, NDArray[np.generic]]:
    """Tensors by name of a zip that `torch.save` wrote. Raises ModelError."""
    entries = ZipEntries(data, origin)
    pickles = [name for name in entries.names if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise _foreign_zip(entries.names, origin)
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries.names or any(name.startswith(f"{root}code/") for name in entries.names):
        raise origin.refuse(
            "it is a TorchScript archive: a program, not only weights",
            remedy="Save the weights alone with torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth'), or find "
            "the plain .pth",
        )
    order = f"{root}byteorder"
    if order in entries.names:
        _check_byte_order(entries.read(order).tobytes().strip() == b"little", origin)
    raw = entries.read(pickles[0]).tobytes()
    pickle = read_pickle(raw, 0, origin)
    if pickle.end != len(raw):
        raise origin.refuse(f"{len(raw) - pickle.end:,} bytes follow the end of its pickle: it is damaged")

    def fetch(key: str) -> memoryview:
        if f"{root}data/{key}" not in entries.names:
            raise origin.refuse(f"storage {key!r} is missing in it")
        return entries.read(f"{root}data/{key}")

    return _materialize(pick_state(pickle.value, origin, wrappers), fetch, origin)


def read_stream(data: bytes, origin: Origin, wrappers: Sequence[str] = WRAPPERS) -> dict[str, NDArray[np.generic]]:
    """Tensors by name of the older container of `torch.save`. Raises ModelError."""
    protocol = read_pickle(data, len(STREAM_START), origin)
    if protocol.value != _STREAM_PROTOCOL:
        raise origin.refuse(f"expected a torch stream of protocol {_STREAM_PROTOCOL}, found another")
    system = read_pickle(data, protocol.end, origin)
    if not isinstance(system.value, PickledDict):
        raise origin.refuse("its header does not describe the system that wrote it: it is damaged")
    _check_byte_order(system.value.get("little_endian") is True, origin)
    pickle = read_pickle(data, system.end, origin)
    keys = read_pickle(data, pickle.end, origin)
    if not isinstance(keys.value, PickledList):
        raise origin.refuse("its list of storages is missing: it is damaged")
    places = _stream_places(data, keys.end, list(keys.value), pickle.storages, origin)
    return _materialize(pick_state(pickle.value, origin, wrappers), places.__getitem__, origin)


def _stream_places(
    data: bytes, at: int, keys: list[object], storages: Mapping[str, Storage], origin: Origin
) -> dict[str, memoryview]:
    """Where the numbers of each storage lie: an int64 count, then the numbers, in the order of the keys, to the end of
    the file.
    """
    places: dict[str, memoryview] = {}
    view = memoryview(data)
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or storage.key in places:
            raise origin.refuse("its list of storages does not belong to its tensors: it is damaged")
        size = storage.root_numel * DTYPES[storage.dtype].itemsize
        if len(data) - at < 8 + size:
            raise origin.refuse(
                f"it is truncated: storage {key!r} needs {8 + size:,} bytes, {len(data) - at:,} are left"
            )
        (numel,) = struct.unpack_from("<q", data, at)
        if numel != storage.root_numel:
            raise origin.refuse(
                f"storage {key!r} should have {storage.root_numel:,} elements, the file has {numel:,}: it is damaged"
            )
        places[storage.key] = view[at + 8 : at + 8 + size]
        at += 8 + size
    if len(places) != len(storages):
        raise origin.refuse(f"it is truncated: {len(storages)} storages expected, {len(places)} found")
    if at != len(data):
        raise origin.refuse(f"{len(data) - at:,} bytes follow its last storage: it is damaged")
    return places


def pick_state(value: object, origin: Origin, wrappers: Sequence[str] = WRAPPERS) -> dict[str, Tensor]:
    """The state dict of a checkpoint: what lies under the first of `wrappers` that is a dict, which may hold another,
    or else the checkpoint itself.
    """
    if not isinstance(value, PickledDict):
        raise origin.refuse(
            "it holds a single object; expected a dict of tensors", remedy="Save model.state_dict() instead"
        )
    inner, wrapper = value, None
    for _ in range(_MOST_WRAPPED):
        found = [name for name in wrappers if isinstance(inner.get(name), PickledDict)]
        if not found:
            break
        # an average that is kept with its settings, or a dict of another kind, gives way to one of tensors alone
        wrapper = next((name for name in found if _holds_only_tensors(inner[name], wrappers)), found[0])
        inner = cast(PickledDict, inner[wrapper])
    state = {name: tensor for name, tensor in inner.items() if isinstance(name, str) and isinstance(tensor, Tensor)}
    if not state or len(state) != len(inner):
        where = "" if wrapper is None else f" under {wrapper!r}"
        other = [repr(name if not isinstance(name, str) else name[:60]) for name in inner if name not in state][:8]
        listed = f"found also {', '.join(other)}" if other else "found nothing"
        raise origin.refuse(
            f"expected only tensors{where}, {listed}",
            remedy=f"Save the network's state dict alone, or under one of the keys {', '.join(wrappers)}",
        )
    for name in state:
        check_name(name, origin)
    return state


def _holds_only_tensors(value: object, wrappers: Sequence[str]) -> bool:
    """Whether `value` is a state dict, or holds one under one of `wrappers`."""
    if not isinstance(value, PickledDict):
        return False
    if any(isinstance(value.get(name), PickledDict) for name in wrappers):
        return True
    return bool(value) and all(isinstance(tensor, Tensor) for tensor in value.values())


def _materialize(state: Mapping[str, Tensor], fetch: FetchStorage, origin: Origin) -> dict[str, NDArray[np.generic]]:
    """Arrays of the tensors. Tensors that are the same view of a storage become one array."""
    sizes = {name: _checked_bytes(name, tensor, origin) for name, tensor in state.items()}
    distinct = {tensor: sizes[name] for name, tensor in state.items()}
    if sum(distinct.values()) > origin.budget or sum(sizes.values()) > _MAX_TIED * origin.size:
        raise origin.refuse(
            f"its tensors claim {sum(sizes.values()):,} bytes, but the whole file has {origin.size:,}: they overlap, "
            "or it is a size bomb",
            remedy="Save the state dict with every tensor cloned (tensor.clone()), if you trust its author",
        )
    raws: dict[str, memoryview] = {}
    made: dict[Tensor, NDArray[np.generic]] = {}
    for name, tensor in state.items():
        if tensor in made:
            continue
        storage = tensor.storage
        if storage.key not in raws:
            raws[storage.key] = fetch(storage.key)
        expected = storage.root_numel * DTYPES[storage.dtype].itemsize
        if len(raws[storage.key]) != expected:
            raise origin.refuse(
                f"storage {storage.key!r} should have {expected:,} bytes, found {len(raws[storage.key]):,}"
            )
        made[tensor] = decode(_view(raws[storage.key], tensor), tensor.dtype, origin, name)
    return {name: made[tensor] for name, tensor in state.items()}


def _checked_bytes(name: str, tensor: Tensor, origin: Origin) -> int:
    """Bytes of a tensor that lies inside its storage and uses no element of it twice.

    Raises ModelError for any other.
    """
    elements = count(tensor.shape, origin, name)
    itemsize = DTYPES[tensor.dtype].itemsize
    numel = tensor.storage.numel * DTYPES[tensor.storage.dtype].itemsize // itemsize
    if not 0 <= tensor.offset <= numel or any(not 0 <= step <= MAX_ELEMENTS for step in tensor.stride):
        raise origin.refuse(
            f"tensor {name!r} begins outside its storage, runs backwards or in steps beyond every storage"
        )
    if elements == 0:
        return 0
    reach = 0  # the furthest element that the dimensions looked at so far lead to
    for step, size in sorted(zip(tensor.stride, tensor.shape, strict=True)):
        if size == 1:
            continue
        if step <= reach:
            raise origin.refuse(
                f"tensor {name!r} uses numbers more than once (shape {tensor.shape}, stride {tensor.stride}), as size "
                "bombs do"
            )
        reach += step * (size - 1)
    if tensor.offset + reach >= numel:
        raise origin.refuse(f"tensor {name!r} needs element {tensor.offset + reach:,} of a storage that has {numel:,}")
    return elements * itemsize


def _view(raw: memoryview, tensor: Tensor) -> NDArray[np.generic]:
    """The numbers of a checked tensor where they lie."""
    dtype = DTYPES[tensor.dtype]
    start = tensor.storage.start * DTYPES[tensor.storage.dtype].itemsize + tensor.offset * dtype.itemsize
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, dtype)
    strides = tuple(
        step * dtype.itemsize if size > 1 else dtype.itemsize
        for step, size in zip(tensor.stride, tensor.shape, strict=True)
    )
    return np.ndarray(tensor.shape, dtype, raw, start, strides)


def _check_byte_order(little: bool, origin: Origin) -> None:
    if not little:
        raise origin.refuse(
            "it was written on a big-endian computer; expected little-endian numbers",
            remedy="Load and save it again on an ordinary computer",
        )


def _foreign_zip(names: frozenset[str], origin: Origin) -> ModelError:
    if names and all(name.endswith(".npy") for name in names):
        return origin.refuse(
            "it is a NumPy archive (.npz); expected a torch file", remedy="Save its arrays as .safetensors"
        )
    listed = ", ".join(repr(name[:60]) for name in sorted(names)[:3]) or "nothing"
    return origin.refuse(
        f"it is a zip, but not one that torch.save wrote: it holds {listed}",
        remedy="If it is a packed download, unpack it and name the .pth or .safetensors inside",
    )
