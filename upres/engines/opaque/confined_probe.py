"""Probes a model file without network, other programs, and files but its own: see `probe`, which `measure` calls so."""

from __future__ import annotations

import tempfile
from pathlib import Path

from upres.system.confine import confine, limit_cpu, python_paths


def main(arguments: list[str]) -> None:
    """Probe the file PATH of kind KIND with SECONDS of processor time and FOLDER for temporary files, the arguments."""
    kind, path, seconds, folder = arguments
    tempfile.tempdir = folder
    # Before threads begin, which numpy starts: those keep what rights they have.
    confine([*python_paths(), Path(path), Path(path).with_suffix(".bin")], [Path(folder)])
    limit_cpu(float(seconds))
    from upres.engines.opaque import probe

    probe.main([kind, path])
