"""Data from files and the command line as msgspec Structs; errors give the path of the key in plain words.

msgspec finds the error. Added here are the nearest known name, the value found and, if the type of a field has a
description (`Annotated[float, Meta(description="a chance in [0, 1]")]`), what the field takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from upres.errors import UsageError, nearest

T = TypeVar("T")
Path = tuple[str | int, ...]  # of a value: names of fields, and indices

_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "a string",
    "array": "a list",
    "object": "a table",
}


def convert(
    data: object, kind: type[T], where: str, *, strict: bool = True, locate: Callable[[Path], str] | None = None
) -> T:
    """Convert plain `data`, as from TOML or JSON, to `kind`. Raises `UsageError`; its message begins with `where`.

    `strict=False` also reads numbers and truth values from strings, as the command line gives them. `locate` says where
    a key was set, such as "mine.toml, line 7", which then stands in place of `where`.
    """
    try:
        return msgspec.convert(data, kind, strict=strict)
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at `$")
        path = _parse(place)
        if locate is not None:
            field = re.fullmatch(r"Object contains unknown field `(.*)`", words)
            where = locate((*path, field[1]) if field else path)
        raise UsageError(_explain(words, data, kind, path, where)) from error


def check_fields(struct: object) -> None:
    """Call the checks in the annotations of a Struct's fields, which return "" or an error such as "must be odd, got
    4".

    None is not checked. For `__post_init__`: raises `ValueError`, which msgspec passes on with the path of the Struct.
    """
    for name, hint in get_type_hints(type(struct), include_extras=True).items():
        value = getattr(struct, name, None)
        for rule in _metadata(hint):
            if callable(rule) and value is not None and (problem := cast("Callable[[Any], str]", rule)(value)):
                raise ValueError(f"{name} {problem}")


def unknown(what: str, name: object, known: list[str]) -> str:
    """The message for an unknown name, with the nearest one and all that exist."""
    return f"unknown {what} {name!r}{nearest(str(name), known)}; there are {', '.join(known)}"


def _explain(words: str, data: object, kind: object, path: Path, where: str) -> str:
    while path and isinstance(path[-1], int) and not isinstance(_value(data, path), Mapping):
        path = path[:-1]  # a list item belongs to the field of the list
    hint, value = _hint_at(kind, data, path), _value(data, path)
    title, key = _title(where, path, data)
    here = ": ".join(filter(None, (title, key)))
    if found := re.fullmatch(r"Object contains unknown field `(.*)`", words):
        return f"{here}: {unknown('key', found[1], list(_fields(hint)))}"
    if found := re.fullmatch(r"Object missing required field `(.*)`", words):
        tags = _tags(hint)
        if tags:
            return f"{here}: {found[1]} is missing; there are {', '.join(tags)}"
        expected = _description(_fields(hint)[found[1]])
        name = ".".join(filter(None, (key, found[1])))
        return ": ".join(filter(None, (title, f"{name} is missing", f"expected {expected}" if expected else "")))
    if words.startswith("Invalid enum value"):  # a Literal
        options = [str(option) for option in get_args(_bare(hint))]
        return f"{here} must be one of {', '.join(options)}, got {value!r}{nearest(str(value), options)}"
    if words.startswith("Invalid"):  # the name of a Struct in a union
        return f"{title.removesuffix(f' ({value})')}: {unknown(key, value, _tags(_hint_at(kind, data, path[:-1])))}"
    if found := re.match(r"Expected `(\w+)(?: \| null)?`([^,]*)", words):
        expected = _description(hint) or _WORDS.get(found[1], found[1]) + found[2]
        return f"{here} must be {expected}, got {value!r}" if key else f"{here}: expected {expected}, got {value!r}"
    return f"{here}.{words}" if key else f"{title}: {words}"  # of check_fields, which begins with the name of the field


def _parse(place: str) -> Path:
    """msgspec writes `.stage[0].kinds[...]`, the last for an entry of a dict whose key it does not tell."""
    return tuple(name or int(index) for name, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", place))


def _value(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def _title(where: str, path: Path, data: object) -> tuple[str, str]:
    """The last table of a list on the path, and the key in it: "mine.toml, stage 2 (blur)" and "kinds.isotropic"."""
    begin = 0
    for i, step in enumerate(path):
        if isinstance(step, int):
            table = _value(data, path[: i + 1])
            op = cast("Mapping[str, object]", table).get("op") if isinstance(table, Mapping) else None
            where = f"{where}, {'.'.join(map(str, path[begin:i]))} {step + 1}" + (
                f" ({op})" if isinstance(op, str) else ""
            )
            begin = i + 1
    return where, ".".join(map(str, path[begin:]))


def _hint_at(hint: object, whole: object, path: Path) -> object:
    """The annotation of the value at `path`; of a union of Structs the one that the data names."""
    for length, step in enumerate(path, 1):
        hint = _fields(hint).get(step) if isinstance(step, str) else get_args(_bare(hint))[0]
        data = _value(whole, path[:length])
        for struct in _structs(hint):
            if isinstance(data, Mapping) and struct.__struct_config__.tag == cast("Mapping[str, object]", data).get(
                "op"
            ):
                hint = struct
    return hint


def _bare(hint: object) -> object:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _metadata(hint: object) -> Iterator[object]:
    """The metadata of `Annotated`, also inside `| None`."""
    while get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        yield from reversed(extras)
    for option in get_args(hint):
        if type(None) in get_args(hint) and option is not type(None):
            yield from _metadata(option)


def _description(hint: object) -> str:
    return next(
        (str(meta.description) for meta in _metadata(hint) if isinstance(meta, msgspec.Meta) and meta.description), ""
    )


def _fields(hint: object) -> dict[str, object]:
    kind = _bare(hint)
    return get_type_hints(kind, include_extras=True) if isinstance(kind, type) else {}


def _structs(hint: object) -> list[type[msgspec.Struct]]:
    """The Structs of a union."""
    return [
        option for option in get_args(_bare(hint)) if isinstance(option, type) and issubclass(option, msgspec.Struct)
    ]


def _tags(hint: object) -> list[str]:
    return [str(struct.__struct_config__.tag) for struct in _structs(hint)]
