"""Where a result comes from, in its XMP: how IPTC calls it, and what made it, so that it can be made again.

`Iptc4xmpExt:DigitalSourceType` is a term of https://cv.iptc.org/newscodes/digitalsourcetype/ (of 2024-10-23):
"algorithmicallyEnhanced" ("modification or correction by algorithm without changing the main content") for models whose
cards say that they are not generative, "compositeWithTrainedAlgorithmicMedia" ("augmentation, correction or enhancement
using a Generative AI model") for all others, whose texture may be invented. A picture that says it was generated stays
so; one that no network has run on keeps what it says.
"""

from __future__ import annotations

import html
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from upres.batch.record import with_record, without_record
from upres.images.io import codec_version
from upres.models.catalog import find
from upres.models.generative import is_generative
from upres.system.cores import usable_cores
from upres.system.files import write_atomic
from upres.system.hardware import processor
from upres.system.packages import version_of
from upres.system.text import parse_json

if TYPE_CHECKING:
    from upres.batch.job import Encoding, Job

IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
ENHANCED, EDITED = TERMS + "algorithmicallyEnhanced", TERMS + "compositeWithTrainedAlgorithmicMedia"
_GENERATED = tuple(
    TERMS + term
    for term in (
        "trainedAlgorithmicMedia",
        "compositeWithTrainedAlgorithmicMedia",
        "compositeSynthetic",
        "algorithmicMedia",
    )
)
_BY = re.compile(rb"""\bupres:by=(?:"([^"]*)"|'([^']*)')""")
_END = b"</rdf:RDF>"


def stamped(xmp: bytes | None, job: Job, encoding: Encoding) -> bytes | None:
    """`xmp` of the source, as the result of `job` has it. Without `Encoding.provenance` it says nothing of upres."""
    if not encoding.provenance:
        return None if xmp is None else without_record(xmp)
    return _with_type(with_record(xmp, job.record, made_by(job, encoding)), job)


def sidecar_of(target: Path) -> Path:
    """Where the XMP of a result is repeated: "photo.png.xmp"."""
    return target.with_name(f"{target.name}.xmp")


def sidecar(job: Job, encoding: Encoding) -> bytes:
    """The content of `sidecar_of`: an XMP packet of its own."""
    body = _with_type(with_record(None, job.record, made_by(job, encoding)), job)
    return b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n%s\n<?xpacket end="w"?>\n' % body


def write_sidecar(job: Job, encoding: Encoding) -> None:
    """Write it, if the encoding says so. Raises `OutputError`."""
    if encoding.sidecar and job.target is not None:
        write_atomic(sidecar_of(job.target), sidecar(job, encoding))


def made_by(job: Job, encoding: Encoding) -> dict[str, Any]:
    """What makes the result, for the XMP: versions, engines, model files and all that changes its bytes."""
    ran = [network.runner for network in job.upscaler.networks] if job.plan.passes else []
    return {
        "upres": version_of("upres"),
        "engines": [f"{runner.name} {runner.device} {runner.precision}" for runner in ran],
        "processor": processor_kind(),
        "models": dict(job.model_files) if ran else {},
        "tiles_px": [step.tiling.tile_px for step in job.plan.passes],
        "cores": usable_cores(),
        "size": {name: value for name, value in asdict(job.size).items() if value is not None},
        "threads": job.upscaler.options.engine_options.threads,
        "exact": job.upscaler.options.engine_options.exact,
        "format": job.format,
        "quality": encoding.quality,
        "png_level": encoding.png_level,
        "target_kb": encoding.target_kb,
        "chroma": encoding.chroma,
        "codecs": codec_version(),
        "signed": encoding.c2pa is not None,
    }


@cache
def processor_kind() -> str:
    """The processor's instruction set and name: rounding is the same on processors of one kind."""
    return f"{platform.machine()} {processor().model}"


def read_made_by(xmp: bytes | None) -> dict[str, Any] | None:
    """What `made_by` has written; None if there is nothing of it."""
    found = _BY.search(xmp or b"")
    if found is None:
        return None
    try:
        value: Any = parse_json(html.unescape((found[1] or found[2]).decode()))
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def source_type(job: Job) -> str | None:
    """The IPTC term for the result; None if no network ran."""
    if not job.plan.passes:
        return None
    names = {part.partition(":")[0] for part in re.split("[>,]", job.record.get("model", ""))}
    return EDITED if any(find(name) is None or is_generative(name) for name in names) else ENHANCED


def _with_type(xmp: bytes, job: Job) -> bytes:
    term = source_type(job)
    at = xmp.rfind(_END)
    if term is None or at < 0 or any(_says(xmp, generated) for generated in _GENERATED):
        return xmp
    before = _without_type(xmp[:at])
    fields: Mapping[str, str] = {"DigitalSourceType": term}
    if term == EDITED:  # IPTC 2025.1; readers take these for signs of generated content
        fields |= {
            "AISystemUsed": f"upres, {job.record.get('model', '')}",
            "AISystemVersionUsed": version_of("upres") or "",
        }
    words = "".join(f' Iptc4xmpExt:{name}="{html.escape(value)}"' for name, value in fields.items())
    ours = f'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{IPTC}"{words}/>'.encode()
    return before + ours + xmp[at:]


def _says(xmp: bytes, term: str) -> bool:
    return re.search(rb"""DigitalSourceType\b[^<]{0,200}?%s["'<\s]""" % re.escape(term.encode()), xmp) is not None


def _without_type(xmp: bytes) -> bytes:
    """`xmp` without the term and the AI system that it names, as attributes or elements, whatever the prefix."""
    for prefix in set(re.findall(rb"""xmlns:([\w.-]+)\s*=\s*["']%s["']""" % re.escape(IPTC.encode()), xmp)):
        name = rb"%s:(?:DigitalSourceType|AISystemUsed|AISystemVersionUsed)" % re.escape(prefix)
        xmp = re.sub(rb"""\s+%s\s*=\s*(?:"[^"]*"|'[^']*')""" % name, b"", xmp)
        xmp = re.sub(rb"<(%s)(?=[\s/>])(?:[^>]*/>|[^>]*>[^<]*</\1\s*>)\s*" % name, b"", xmp)
    return xmp
