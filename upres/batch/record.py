"""The settings of a result, recorded in its XMP, so that a request for other settings is noticed when a result is kept.

The record holds only what the pixels depend on: `Request.settings`, the model, the size and the input. Of a model file
it has the name and the beginning of the SHA-256, of the input a digest; it has no folder, time or version.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from upres.errors import InputError
from upres.images.io import read_header, read_xmp
from upres.models import catalog
from upres.models.expression import Composition, Part
from upres.science.open import read_made
from upres.system.files import sha256_of
from upres.system.text import parse_json

NAMESPACE = "urn:upres:1/"
SIZE = "size"
INPUT = "input"
OTHER_INPUT = "made from another picture"
_PART_BYTES = (
    2**16
)  # of the input that are hashed, at its beginning and at its end: jobs may have thousands of pictures
_SIZES = ("factor", "width", "height", "long_side", "megapixels")  # replaced by the size of the result
_OF_THE_RESULT = ("generative", "values")  # in the record of measured data, beside the settings
_DIGITS = 12
_MADE = re.compile(rb"""\bupres:made=(?:"([^"]*)"|'([^']*)')""")
# Our property as we write it, and as other programs rewrite it: an attribute or an element.
_OURS = re.compile(
    rb"""<rdf:Description rdf:about="" xmlns:upres="[^"]*" upres:made="[^"]*"(?: upres:by="[^"]*")?/>"""
    rb"""|\s+upres:(?:made|by)=(?:"[^"]*"|'[^']*')"""
    rb"""|<upres:(made|by)>[^<]*</upres:\1>"""
)
_END = b"</rdf:RDF>"
_EMPTY = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b"</rdf:RDF></x:xmpmeta>"
)


def make_record(settings: Mapping[str, str], height: int, width: int, source: Path | bytes) -> dict[str, str]:
    """The record of a result of (height, width) made from the file or bytes `source`. `settings` are those of a
    request, with the `label` of the model.
    """
    kept = {name: value for name, value in settings.items() if name not in _SIZES}
    return kept | {SIZE: f"{width} x {height}", INPUT: digest(source)}


def digest(source: Path | bytes) -> str:
    """Tells pictures apart by their size in bytes, beginning and end, whatever their name."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        parts = [str(size).encode(), file.read(_PART_BYTES)]
        file.seek(max(0, size - _PART_BYTES))
        return hashlib.sha256(b"|".join([*parts, file.read()])).hexdigest()[:_DIGITS]


def sha256_of_source(source: Path | bytes) -> str:
    """The SHA-256 of a file or of bytes. Raises OSError."""
    return hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else sha256_of(source)


def label(composition: Composition) -> str:
    """The expression, with the names of known models and `NAME@SHA256` for other files."""
    stages = tuple(tuple(Part(_label(part.model), part.share) for part in stage) for stage in composition.stages)
    return str(Composition(stages))


def _label(model: str) -> str:
    known = catalog.find(model)
    if known is not None:
        return known.name
    path = Path(model).expanduser()
    files = (
        [path.with_suffix(ending) for ending in (".param", ".bin")]
        if path.suffix.lower() in (".param", ".bin")
        else [path]
    )
    digests = "".join(sha256_of(file)[:_DIGITS] for file in files if file.is_file())
    return f"{path.name}@{digests}" if digests else path.name


def with_record(xmp: bytes | None, record: Mapping[str, str], made_by: Mapping[str, Any] | None = None) -> bytes:
    """`xmp` with the record added, or replaced. What is not UTF-8 XMP is returned unchanged.

    made_by: What else is said of the result's making (`batch.provenance`), which `read_record` does not read.
    """
    ours = b'<rdf:Description rdf:about="" xmlns:upres="%s" upres:made="%s"' % (NAMESPACE.encode(), _escaped(record))
    if made_by is not None:
        ours += b' upres:by="%s"' % _escaped(made_by)
    before = without_record(xmp or _EMPTY)
    at = before.rfind(_END)
    return (xmp or b"") if at < 0 else before[:at] + ours + b"/>" + before[at:]


def without_record(xmp: bytes) -> bytes:
    """`xmp` without what this module has added."""
    return _OURS.sub(b"", xmp)


def _escaped(value: Mapping[str, Any]) -> bytes:
    return html.escape(json.dumps(dict(value), sort_keys=True)).encode()


def read_record(source: Path | bytes) -> dict[str, str] | None:
    """The record of a picture, a file or its bytes, or of measured data; None if it has none, or was resized since."""
    made = None if isinstance(source, bytes) else read_made(source)
    if made is not None:
        return {name: value for name, value in made.items() if name not in _OF_THE_RESULT}
    try:
        xmp, header = read_xmp(source), read_header(source)
    except InputError:
        return None
    record = record_in(xmp or b"")
    return record if record is not None and record.get(SIZE) == f"{header.width} x {header.height}" else None


def record_in(xmp: bytes) -> dict[str, str] | None:
    """The record in an XMP packet; None if it has none."""
    found = _MADE.search(xmp)
    if found is None:
        return None
    try:
        record: Any = parse_json(html.unescape((found[1] or found[2]).decode()))
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    return {str(name): str(value) for name, value in cast("dict[object, object]", record).items()}


def kept_words(target: Path, wanted: Mapping[str, str]) -> str | None:
    """How the existing result `target` differs from one with the record `wanted`: `difference`; None if unknown."""
    before = read_record(target)
    return None if before is None else difference(before, wanted)


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """ "made with `model=a`; `model=b` was not used", `OTHER_INPUT`, or "" if the records are equal.

    Results of earlier versions have no input in their record, which counts as equal.
    """
    made_from = OTHER_INPUT if before.get(INPUT, now.get(INPUT)) != now.get(INPUT, before.get(INPUT)) else ""
    left_out = {INPUT, SIZE} if made_from else {INPUT}  # another picture has another size
    names = [name for name in sorted({*before, *now} - left_out) if before.get(name) != now.get(name)]
    if not names:
        return made_from
    made = ", ".join(f"with {_words(name, before[name])}" if name in before else f"without `{name}`" for name in names)
    wished = [_words(name, now[name]) for name in names if name in now]
    verb = "was" if len(wished) == 1 else "were"
    return f"{made_from + ', ' if made_from else 'made '}{made}; " + (
        f"{' and '.join(wished)} {verb} not used" if wished else "the request has other settings"
    )


def _words(name: str, value: str) -> str:
    return f"a size of {value}" if name == SIZE else f"`{name}={value or True}`"
