"""Models as text: the table of `upres models list` and the facts of `upres models show`."""

from __future__ import annotations

import shutil
import sys

from upres.cli.errors import say
from upres.cli.streams import put
from upres.models.model import Model
from upres.models.report import Facts, bytes_of, state_of
from upres.system.text import aligned, shown, words_for_bytes

_STATES = {"house": "bundled with upres", "here": "downloaded", "added": "added by you", "": "not downloaded"}


def print_table(found: list[Model]) -> None:
    """One line for each model, cut to the width of a terminal."""
    marks = {"house": "*", "added": "+", "here": "=", "": " "}
    table = [("  NAME", "FAMILY", "SCALE", "LICENSE", "SIZE", "FOR")]
    for model in found:
        size = bytes_of(model)
        words = "?" if size is None else words_for_bytes(size, unit=1000)
        table.append(
            (
                f"{marks[state_of(model)]} {model.name}",
                model.family,
                f"{model.scale}x",
                model.license,
                words,
                model.purpose,
            )
        )
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in aligned(table, right=(4,)):
        put(shown(line[:width]))
    sys.stdout.flush()
    if not found:
        say("no models match these filters")


def print_facts(found: Facts) -> None:
    """One line for each fact that is known."""
    how = {
        "pinned": " (pinned at the first download)",
        "catalog": " (as in the catalog)",
        "computed": " (no checksum known: from the file as it is)",
        "unknown": "",
    }[found.sha256_from]
    colors = None if found.in_channels is None else f"{found.in_channels} in, {found.out_channels} out"
    several = found.files[1:] and found.files
    reach = "the whole picture" if found.sees_whole_picture else f"{found.receptive_field} input pixels to each side"
    lines: list[tuple[str, object]] = [
        ("name", ", ".join((found.name, *found.aliases))),
        ("for", found.purpose or None),
        ("license", found.license),
        ("state", _STATES[found.state] if found.state or found.path is None else None),
        *(("file", f"{file.path}, {file.bytes:,} bytes, sha256 {file.sha256}") for file in several),
        ("file", None if several else found.path),
        ("size", None if found.bytes is None else f"{found.bytes:,} bytes ({words_for_bytes(found.bytes, unit=1000)})"),
        ("sha256", f"{found.sha256}{how}" if found.sha256 else "unknown: pinned at the first download"),
        ("family", found.family),
        ("scale", found.scale),
        ("channels", colors),
        (
            "alignment",
            None if found.alignment in (None, 1) else f"sides of the input must be multiples of {found.alignment}",
        ),
        ("parameters", None if found.parameters is None else f"{found.parameters:,}"),
        (
            "cost",
            None if found.macs_per_pixel is None else f"{found.macs_per_pixel:,.0f} multiply-adds per input pixel",
        ),
        (
            "reach",
            f"{reach} (receptive field)" if found.receptive_field is not None or found.sees_whole_picture else None,
        ),
        *(("measured", note) for note in found.notes),
        ("page", found.page or None),
        *(("address", address) for address in found.addresses),
    ]
    for title, value in lines:
        if value is not None and not (title == "sha256" and several):
            put(f"{title:<11}{value}")
    sys.stdout.flush()
