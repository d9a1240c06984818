"""What a torch pickle may hold: the names that it may use, the inert values of ours that stand for what it says, and
what each call means.

The rebuild functions and their arguments are those of `torch/_utils.py`; the storages those of `torch/storage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard, final

from upres.errors import ModelError
from upres.weights.tensors import DTYPES, MAX_DIMENSIONS, MAX_ELEMENTS, Origin

STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
OPAQUE = frozenset(
    {
        ("torch", "device"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
        ("_codecs", "encode"),
    }
)
_MAX_ARGUMENTS = 16  # _rebuild_tensor_v3 takes 8
_MAX_PAIRS = 100_000  # of all dicts made from lists of pairs together: the same list may be named again and again
TORCH_UTILS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter")


@final
class PickledDict(dict[object, object]):
    """A dict or OrderedDict of the file."""

    __slots__ = ()


@final
class PickledList(list[object]):
    """A list of the file."""

    __slots__ = ()


@final
class PickledTuple(tuple[object, ...]):
    """A tuple of the file."""

    __slots__ = ()


@final
class OpaqueObject:
    """Something harmless that we do not need, such as a device or a numpy scalar."""


@final
@dataclass(frozen=True, slots=True)
class Global:
    """An allowed name of the file, standing for itself."""

    module: str
    name: str


@final
@dataclass(frozen=True, slots=True)
class StorageType:
    """A class of storages: the dtype of its elements."""

    dtype: str


@final
@dataclass(frozen=True, slots=True)
class Storage:
    """Elements `start` to `start + numel` of the stored numbers `key`, which are `root_numel`."""

    key: str
    dtype: str
    start: int
    numel: int
    root_numel: int


@final
@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage: offset and strides count elements of `dtype`. Nothing of it has been checked against the
    storage.
    """

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


# what a dict of the file may have as key: hashed without looking into anything
Key = str | int | float | bool | bytes | None
KEY_BOUND = 2**53


def is_key(value: object) -> TypeGuard[Key]:
    """Whether a dict of the file may have this key.

    Python hashes integers modulo 2^61 - 1: large ones could be made to collide at will.
    """
    return isinstance(value, Key) and not (isinstance(value, int) and abs(value) >= KEY_BOUND)


def kind(value: object) -> str:
    """What a value is, in words for a message."""
    match value:
        case Global(module=module, name=name):
            return f"{module}.{name}"
        case PickledDict():
            return "a dict"
        case PickledList():
            return "a list"
        case PickledTuple():
            return "a tuple"
        case _:
            return f"a {type(value).__name__}"


class Meaning:
    """Stateful only in `storages`: every root storage met so far, by key. Every method raises ModelError for what is
    not allowed.
    """

    def __init__(self, origin: Origin) -> None:
        self.storages: dict[str, Storage] = {}
        self._origin = origin
        self._pairs_left = _MAX_PAIRS

    def damaged(self, found: str) -> ModelError:
        """The error for a pickle that makes no sense."""
        return self._origin.refuse(f"its pickle is damaged: {found}")

    def refuse_object(self, found: str) -> ModelError:
        """The error for a pickle that is a program, or an object with one."""
        return self._origin.refuse(
            f"its pickle holds more than plain data ({found}), which could run code on this computer; nothing was run",
            remedy="Ask its author for a .safetensors file, or for one made with torch.save(model.state_dict(), ...)",
        )

    def find(self, module: str, name: str) -> Global | StorageType:
        """What a name stands for."""
        if module == "torch" and name in STORAGES:
            return StorageType(STORAGES[name])
        if (module, name) == ("torch.storage", "UntypedStorage"):
            return StorageType("uint8")
        if (
            (module, name) in OPAQUE
            or (module, name) in (("collections", "OrderedDict"), ("torch", "Size"))
            or (module == "torch" and name in DTYPES)
            or (module == "torch._utils" and name in TORCH_UTILS)
        ):
            return Global(module, name)
        raise self.refuse_object(f"the name {f'{module}.{name}'[:200]!r}")

    def storage(self, ident: object) -> Storage:
        """("storage", type, key, device, count[, view]) of a persistent id; a view is None or (key, start, count)."""
        parts = tuple(ident) if isinstance(ident, PickledTuple) and len(ident) <= 6 else ()
        match parts[:5]:
            case "storage", StorageType(dtype=dtype), str(key), str(), int(numel) if (
                len(key) <= 100 and 0 <= numel <= MAX_ELEMENTS * 8
            ):
                root = Storage(key, dtype, 0, numel, numel)
            case _:
                raise self.damaged("a reference that is not a torch storage")
        if self.storages.setdefault(key, root) != root:
            raise self.damaged("a storage that is described in two ways")
        match parts[5:]:
            case () | (None,):
                return root
            case (PickledTuple() as view,):
                return self._view(root, tuple(view))
            case _:
                raise self.damaged("a reference that is not a torch storage")

    def _view(self, root: Storage, view: tuple[object, ...]) -> Storage:
        match view:
            case str(), int(start), int(numel) if 0 <= start <= root.numel and 0 <= numel <= root.numel - start:
                return Storage(root.key, root.dtype, start, numel, root.numel)
            case _:
                raise self.damaged("a view that does not lie in its storage")

    def reduce(self, function: object, arguments: object) -> object:
        """What a call would have made."""
        if not isinstance(function, Global) or not isinstance(arguments, PickledTuple):
            raise self.refuse_object(f"a call of {kind(function)}")
        if len(arguments) > _MAX_ARGUMENTS:
            raise self.damaged(f"a call of {kind(function)} with {len(arguments):,} arguments")
        if (function.module, function.name) in OPAQUE:
            return OpaqueObject()
        match function.name, tuple(arguments):
            case "OrderedDict", ():
                return PickledDict()
            case "OrderedDict", (PickledList() as pairs,):
                return self._dict_of_pairs(pairs)
            case "Size", (PickledTuple() as shape,):
                return shape
            case "_rebuild_parameter", (Tensor() as tensor, *_):
                return tensor
            case "_rebuild_tensor" | "_rebuild_tensor_v2", (Storage() as storage, offset, shape, stride, *rest):
                self._refuse_flags(rest[2:])  # after requires_grad and backward_hooks
                return self._tensor(storage, storage.dtype, offset, shape, stride)
            case "_rebuild_tensor_v3", (
                Storage() as storage,
                offset,
                shape,
                stride,
                _,
                _,
                Global(module="torch", name=dtype),
                *rest,
            ) if dtype in DTYPES:
                self._refuse_flags(rest)
                return self._tensor(storage, dtype, offset, shape, stride)
            case _:
                raise self.damaged(f"{function.module}.{function.name} with arguments that it does not take")

    def _dict_of_pairs(self, pairs: PickledList) -> PickledDict:
        self._pairs_left -= len(pairs)
        if self._pairs_left < 0:
            raise self.damaged(f"its OrderedDicts have more than {_MAX_PAIRS:,} pairs")
        made = PickledDict()
        for pair in pairs:
            if not isinstance(pair, PickledList | PickledTuple) or len(pair) != 2 or not is_key(pair[0]):
                raise self.damaged("an OrderedDict of something other than pairs")
            made[pair[0]] = pair[1]
        return made

    def _refuse_flags(self, metadata: list[object]) -> None:
        """torch notes in a tensor's metadata that its numbers are to be negated or conjugated: such numbers are not
        what the file shows.
        """
        if any(item is not None and item != {} for item in metadata):
            raise self._origin.refuse(
                "a tensor in it is stored as the negative or the conjugate of its numbers; expected plain numbers",
                remedy="Save it again with tensor.resolve_neg().resolve_conj() for every tensor",
            )

    def _tensor(self, storage: Storage, dtype: str, offset: object, shape: object, stride: object) -> Tensor:
        sizes, steps = self._integers(shape), self._integers(stride)
        if type(offset) is not int or len(sizes) != len(steps):
            raise self.damaged("a tensor whose offset, shape and stride do not belong together")
        return Tensor(storage, dtype, offset, sizes, steps)

    def _integers(self, value: object) -> tuple[int, ...]:
        if not isinstance(value, PickledTuple | PickledList):
            raise self.damaged(f"a shape or stride that is {kind(value)}")
        if len(value) > MAX_DIMENSIONS:
            raise self.damaged(f"a tensor of {len(value):,} dimensions; expected at most {MAX_DIMENSIONS}")
        integers = tuple(item for item in value if type(item) is int)
        if len(integers) != len(value):
            raise self.damaged("a shape or stride with a value that is not an integer")
        return integers
