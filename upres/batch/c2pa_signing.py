"""Content Credentials: results signed with the user's certificate, by c2pa-python (`upres[c2pa]`).

The manifest says that the source was opened (it is the parent ingredient) and edited by upres with a model, with IPTC's
term for that. A signature is never the same twice, so signed results are not the same bytes twice.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false
# c2pa is typed in part; this module annotates what it returns.

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upres.batch.provenance import ENHANCED, source_type
from upres.errors import OutputError, UsageError
from upres.images.io import Picture, encode_picture
from upres.system.packages import need, version_of
from upres.system.text import first_line, shown

if TYPE_CHECKING:
    from upres.batch.job import Job

_ALGORITHMS = (b"es256", b"ps256", b"es384", b"es512", b"ps384", b"ps512", b"ed25519")
_PEM = b"-----BEGIN "


def check_credentials(credentials: str) -> None:
    """Sign a small picture. Raises `EngineError` if c2pa-python is not installed, and `UsageError` for credentials that
    cannot be used.

    credentials: "CERTIFICATES,KEY" or "CERTIFICATES,KEY,URL": PEM files with the chain of certificates, its own first,
        and with the private key; the address of a server of time stamps.
    """
    _signer(credentials)


def signed(data: bytes, job: Job, credentials: str) -> bytes:
    """The encoded result of `job` with its manifest. Raises `OutputError`."""
    import c2pa

    source = job.source.read_bytes() if isinstance(job.source, Path) else job.source
    name = Path(job.found.name).name
    software = {"name": "upres", "version": version_of("upres")}
    edited = {
        "action": "c2pa.edited" if job.plan.passes else "c2pa.resized",
        "softwareAgent": software,
        "parameters": {f"upres.{key}": value for key, value in job.record.items()},
    }
    term = source_type(job)
    if term is not None:
        edited["digitalSourceType"] = term
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}}
    try:
        builder = c2pa.Builder(_manifest(f"image/{job.format}", name, [opened, edited]), context=_context())
        ingredient = {"title": name, "relationship": "parentOf", "label": "source"}
        builder.add_ingredient(ingredient, f"image/{job.header.format}", io.BytesIO(source))
        return _sign(builder, _signer(credentials), f"image/{job.format}", data)
    except c2pa.C2paError as error:
        raise OutputError(f"cannot sign the result of {shown(name)}: {shown(first_line(str(error)))}") from error


@cache
def _signer(credentials: str) -> Any:
    need("`c2pa`", "c2pa")
    import c2pa

    parts = credentials.split(",", 2)
    if len(parts) < 2:
        raise UsageError(f"`c2pa` must be CERTIFICATES,KEY or CERTIFICATES,KEY,URL; got {credentials!r}")
    certificates, key = (_pem(name) for name in parts[:2])
    url = parts[2].encode() if len(parts) > 2 else None
    probe = encode_picture(Picture(np.zeros((8, 8, 3), np.float32)), "png")
    reason = ""
    for algorithm in _ALGORITHMS:  # that of the key is the only one that works
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, certificates, key, url))
            created = {"action": "c2pa.created", "digitalSourceType": ENHANCED}
            _sign(
                c2pa.Builder(_manifest("image/png", "probe", [created]), context=_context()), signer, "image/png", probe
            )
            return signer
        except c2pa.C2paError as error:
            reason = first_line(str(error))
    raise UsageError(f"`c2pa`: no picture can be signed with {parts[0]} and {parts[1]} ({shown(reason)})")


def _pem(name: str) -> bytes:
    try:
        data = Path(name).expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"`c2pa`: cannot read {name}: {error.strerror}") from error
    if _PEM not in data:
        raise UsageError(f"`c2pa`: {name} is not a PEM file (a text that begins with -----BEGIN)")
    return data


def _manifest(mime: str, title: str, actions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "claim_generator_info": [{"name": "upres", "version": version_of("upres")}],
        "format": mime,
        "title": title,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


@cache
def _context() -> Any:
    """Without thumbnails, which would be larger than small results."""
    import c2pa

    return c2pa.Context(c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}}))


def _sign(builder: Any, signer: Any, mime: str, data: bytes) -> bytes:
    made = io.BytesIO()
    builder.sign(signer, mime, io.BytesIO(data), made)
    return made.getvalue()
