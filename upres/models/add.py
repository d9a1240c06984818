"""Taking a model that the catalog does not know into the store: checked by its content, remembered by its SHA-256."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path, PurePath

from upres.errors import UsageError
from upres.models.catalog import find, is_path
from upres.models.load import kind_of, load_network
from upres.models.model import UNKNOWN_LICENSE
from upres.models.store import AddedModel, check_license, download_of, incoming_folder, write_added
from upres.system.download import Progress, fetch
from upres.weights.ncnn_file import find_pair

_SUFFIXES = {"ncnn": ".param", "onnx": ".onnx"}


def add(
    file_or_url: str,
    name: str | None = None,
    license: str = UNKNOWN_LICENSE,
    *,
    accept_license: bool = False,
    progress: Progress | None = None,
) -> AddedModel:
    """Take a copy of a model file, or of what an address gives, into the store, under `name` (default: the file's own, without suffix).

    Its content is checked first: it must be a network that upres runs; of an ncnn model, either file brings both. Its SHA-256 is
    remembered, and another file refused from then on.
    A download of unknown or restricted license needs `accept_license`. Raises ModelError, UsageError for a name that cannot be one, and
    what `fetch` raises.
    """
    remote = file_or_url.lower().startswith(("https://", "http://"))
    base = PurePath(file_or_url.split("?")[0].split("#")[0]).name if remote else Path(file_or_url).name
    chosen = _new_name(base if name is None else name, given=name is not None)
    if remote:
        again = f"upres models add {file_or_url} --name {chosen} --license {license} --accept-license"
        check_license(chosen, license, accept=accept_license, remedy=again)
        path = fetch(download_of(file_or_url, license), folder=incoming_folder(), progress=progress)
    else:
        path = Path(file_or_url).expanduser().absolute()
    try:
        kind = kind_of(path)
        network = load_network(str(path))  # refuses what is no model file, and what cannot be run
        pair = find_pair(path) if kind == "ncnn" else None
        contents = [file.read_bytes() for file in pair or (path,)]
        suffix = _SUFFIXES.get(kind or "") or (".safetensors" if contents[0][4:9] == b"\0\0\0\0{" else ".pth")
        digests = [hashlib.sha256(data).hexdigest() for data in contents]
        origin = file_or_url if remote else str(path)
        model = AddedModel(chosen, chosen + suffix, digests[0], len(contents[0]), license, origin, network.family, network.scale)
        if pair is not None:
            model = replace(model, weights_sha256=digests[1], weights_bytes=len(contents[1]))
        write_added(model, *contents)
    finally:
        if remote:
            path.unlink(missing_ok=True)
    return model


def _new_name(text: str, *, given: bool) -> str:
    """A name that is free and cannot be mistaken for a path, a blend or a chain."""
    stem = text if given else PurePath(text).stem
    name = stem if given else re.sub(r"[^A-Za-z0-9._+-]+", "-", stem).strip("-.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", name) or is_path(name):
        raise UsageError(
            f"a model cannot be called {name!r}: expected letters, digits, and . _ + - between them, and no ending of a file. Give another "
            "with --name"
        )
    there = find(name)
    if there is not None:
        remedy = f"remove it first (upres models remove {there.name}), or " if isinstance(there, AddedModel) else ""
        raise UsageError(f"there is a model called {there.name} already: {remedy}give another name with --name")
    return name
