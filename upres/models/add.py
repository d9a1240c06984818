"""Adding a model that no list knows to the store: its content is checked, its SHA-256 remembered."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePath

from upres.errors import UsageError
from upres.models.catalog import find, is_path
from upres.models.load import kind_of, load_model
from upres.models.model import UNKNOWN_LICENSE, Model
from upres.models.store import added_model, check_license, download_of, incoming_folder, write_added
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
) -> Model:
    """Copy a model file, or what an address gives, into the store.

    file_or_url: of an ncnn model either file brings both.
    name: what to call it; default: the file's own name, without its suffix.
    license: its SPDX identifier, where it is known.
    accept_license: needed for a download whose license is unknown or does not allow every use.
    progress: called with (bytes done, bytes in total or None) during a download.

    The file must hold a network that upres runs; nothing in it is executed. Its SHA-256 is remembered, and the store
    accepts no other file under this name. Raises ModelError, UsageError for a name that is taken or not possible, and
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
        loaded = load_model(path)  # refuses what is not a model file, and what cannot be run
        contents = [file.read_bytes() for file in (find_pair(path) if kind == "ncnn" else None) or (path,)]
        suffix = _SUFFIXES.get(kind or "") or (".safetensors" if contents[0][4:9] == b"\0\0\0\0{" else ".pth")
        names = [chosen + suffix, f"{chosen}.bin"]  # the second of ncnn alone
        files = [
            (file, hashlib.sha256(data).hexdigest(), len(data)) for file, data in zip(names, contents, strict=False)
        ]
        model = added_model(chosen, loaded.family, loaded.scale, license, file_or_url if remote else str(path), files)
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
            f"name must be letters, digits and . _ + - between them, and not end as a file does, got {name!r}: choose "
            "another name"
        )
    there = find(name)
    if there is not None:
        remedy = f"remove it first (upres models remove {there.name}), or " if there.kind == "added" else ""
        raise UsageError(f"a model named {there.name} exists already: {remedy}choose another name")
    return name
