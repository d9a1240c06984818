"""The models that others made and that can be downloaded: the facts of `bundled/catalog.tsv`, read when they are first asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from upres.system.checksums import Source

TABLE = Path(__file__).resolve().parent / "bundled" / "catalog.tsv"
COLUMNS = ("name", "aliases", "family", "scale", "license", "file", "bytes", "sha256", "urls", "purpose")

# Licenses that allow every use, a commercial one too; all others, and unknown ones, must be agreed to before a download.
FREE_LICENSES = frozenset(
    (
        *("0bsd", "agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "gpl-3.0"),
        *("isc", "lgpl-3.0", "mit", "mit-0", "mpl-2.0", "unlicense", "wtfpl", "zlib"),
    )
)
UNKNOWN_LICENSE = "unknown"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that can be downloaded. `files` are one network in several formats, the preferred first; `license` an SPDX identifier."""

    name: str
    aliases: tuple[str, ...]
    family: str
    scale: int
    license: str
    purpose: str
    files: tuple[Source, ...]

    @property
    def page(self) -> str:
        """Its page at OpenModelDB, or "" where it has none."""
        listed = next((name for name in (self.name, *self.aliases) if re.match(r"\d+x-", name)), None)
        return f"https://openmodeldb.info/models/{listed}" if listed else ""


def must_agree(license: str) -> bool:
    """Whether a download under `license` needs the user's word: it forbids some use, or nobody knows what it is."""
    return license.casefold() not in FREE_LICENSES


def is_archive(url: str) -> bool:
    """Whether the address is that of a .zip, which holds the file among others."""
    return urlsplit(url).path.lower().endswith(".zip")


def is_direct(url: str) -> bool:
    """Whether the address is that of the file itself, and not of a web page or an archive."""
    return urlsplit(url).path.lower().endswith((".pth", ".safetensors"))


@cache
def known_models() -> dict[str, KnownModel]:
    """All of them by name, in the order of the table."""
    return read_table(TABLE.read_text(encoding="utf-8"))


def read_table(text: str) -> dict[str, KnownModel]:
    """The models of a tab-separated table with the columns `COLUMNS`. Raises ValueError: the table is ours, and a fault in it a bug."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    if not lines or tuple(lines[0]) != COLUMNS:
        raise ValueError(f"{TABLE.name}: expected the columns {', '.join(COLUMNS)}")
    models: dict[str, KnownModel] = {}
    for line in lines[1:]:
        name, aliases, family, scale, license, file, size, sha256, urls, purpose = ("" if cell == "-" else cell for cell in line)
        of_page = [url for url in urls.split() if not is_direct(url)]
        source = Source(file, tuple(urls.split()), sha256 or None, int(size) if size else None, license, page=of_page[0] if of_page else "")
        before = models.get(name)
        files = (*before.files, source) if before else (source,)
        models[name] = KnownModel(name, tuple(aliases.split()), family, int(scale), license, purpose, files)
    return models
