"""What a model is, wherever it comes from: bundled with upres, downloadable, or added by the user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from upres.system.checksums import Source
from upres.system.download import cache_folder
from upres.system.package_index import SCHEME

BUNDLED = Path(__file__).resolve().parent / "bundled"
TABLE = BUNDLED / "catalog.tsv"
COLUMNS = ("name", "aliases", "family", "scale", "license", "file", "bytes", "sha256", "urls", "purpose")

# Licenses that allow every use, commercial use included. Any other license, or none known, must be accepted before a
# download.
FREE_LICENSES = frozenset(
    (
        *(
            "0bsd",
            "agpl-3.0",
            "apache-2.0",
            "bsd-2-clause",
            "bsd-3-clause",
            "cc0-1.0",
            "cc-by-4.0",
            "cc-by-sa-4.0",
            "gpl-3.0",
        ),
        *("isc", "lgpl-3.0", "mit", "mit-0", "mpl-2.0", "unlicense", "wtfpl", "zlib"),
    )
)
UNKNOWN_LICENSE = "unknown"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that has a name.

    name: what `upres.load_model` and `upres upscale -n` take, in upper or lower case. kind: "bundled" ships with upres,
    "downloadable" can be had from the addresses of its files, "added" is the user's own. family: the architecture, such
    as "rrdb" or "compact"; of an added file that is run as it is, its kind, such as "onnx". scale: by how much it
    enlarges each side. license: an SPDX identifier, or "unknown". formats: the files of the network, one tuple a
    format, the preferred format first. ncnn's has two files, all others have one. purpose: what its makers trained it
    for, in one line. aliases: other names that mean this model. training_data: what it was trained on, where that is
    known. added_from: the path or the address that an added model came from.
    """

    name: str
    kind: Literal["bundled", "downloadable", "added"]
    family: str
    scale: int
    license: str
    formats: tuple[tuple[Source, ...], ...]
    purpose: str = ""
    aliases: tuple[str, ...] = ()
    training_data: str = ""
    added_from: str = ""

    @property
    def files(self) -> tuple[Source, ...]:
        """All files of all formats."""
        return tuple(file for files in self.formats for file in files)

    @property
    def folder(self) -> Path:
        """The folder that its files lie in once they are on this machine."""
        return BUNDLED if self.kind == "bundled" else store_folder()

    @property
    def page(self) -> str:
        """Its page at OpenModelDB, or "" where it has none."""
        listed = next((name for name in (self.name, *self.aliases) if re.match(r"\d+x-", name)), None)
        return f"https://openmodeldb.info/models/{listed}" if listed and self.kind == "downloadable" else ""

    def local_files(self) -> tuple[Path, ...]:
        """The files of the first format of which all are on this machine, or (). Their content is not looked at."""
        for files in self.formats:
            paths = tuple(self.folder / file.name for file in files)
            if all(path.is_file() for path in paths):
                return paths
        return ()


def store_folder() -> Path:
    """The folder of downloaded and added models. It need not exist."""
    return cache_folder() / "models"


def must_accept(license: str) -> bool:
    """Whether a download under `license` needs the user's consent: the license restricts use, or is unknown."""
    return license.casefold() not in FREE_LICENSES


def is_archive(url: str) -> bool:
    """Whether the address is that of a .zip, which holds the file among others."""
    return urlsplit(url).path.lower().endswith(".zip")


def is_direct(url: str) -> bool:
    """Whether the address is that of the file itself, and not of a web page or an archive."""
    return urlsplit(url).path.lower().endswith((".pth", ".safetensors"))


def is_package(url: str) -> bool:
    """Whether the address is that of a package's file (`system.package_index`), which holds the file among others."""
    return url.startswith(SCHEME)


@cache
def downloadable_models() -> dict[str, Model]:
    """The models of `bundled/catalog.tsv` by name, in the order of the table."""
    return read_table(TABLE.read_text(encoding="utf-8"))


def read_table(text: str) -> dict[str, Model]:
    """The models of a tab-separated table with the columns `COLUMNS`. Of a network in two files, ncnn's, the cells of
    files, sizes and hashes have two values, with " + " between them.

    Raises ValueError: the table is ours, and a fault in it a bug.
    """
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    if not lines or tuple(lines[0]) != COLUMNS:
        raise ValueError(f"{TABLE.name}: expected the columns {', '.join(COLUMNS)}")
    models: dict[str, Model] = {}
    for line in lines[1:]:
        name, aliases, family, scale, license, file, size, sha256, urls, purpose = (
            "" if cell == "-" else cell for cell in line
        )
        of_page = [url for url in urls.split() if not is_direct(url) and not is_package(url)]
        names = file.split(" + ")
        sizes, hashes = (cell.split(" + ") if cell else [""] * len(names) for cell in (size, sha256))
        sources = tuple(
            Source(
                one,
                tuple(urls.split()),
                of_one or None,
                int(bytes_of_one) if bytes_of_one else None,
                license,
                page=of_page[0] if of_page else "",
            )
            for one, bytes_of_one, of_one in zip(names, sizes, hashes, strict=True)
        )
        before = models.get(name)
        formats = (*before.formats, sources) if before else (sources,)
        models[name] = Model(
            name, "downloadable", family, int(scale), license, formats, purpose, tuple(aliases.split())
        )
    return models
