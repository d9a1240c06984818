"""A file as an answer."""

from __future__ import annotations

from starlette.responses import FileResponse


class FileAnswer(FileResponse):
    """Read in pieces of a megabyte: each changes threads twice, which Starlette's 64 KB make dear."""

    chunk_size = 1 << 20
