"""Whether a model invents detail: it was trained against a discriminator, or to imitate one that was.

A card says it in a line of its own, "Generative: no" or "Generative: yes": `bundled/NAME.md`, or NAME.md beside a
model's file. A model that nothing is known of counts as generative.
"""

from __future__ import annotations

import re
from pathlib import Path

from upres.models import catalog
from upres.models.expression import Composition
from upres.models.model import BUNDLED

# Downloadable models that their makers trained with pixel losses alone.
_FAITHFUL = frozenset({"RealESRNet_x4plus", "4x-mssim-span-pretrain", "4x-pix-span-pretrain"})
_LINE = re.compile(r"^generative: (yes|no)\b", re.IGNORECASE | re.MULTILINE)


def generative_parts(composition: Composition) -> tuple[str, ...]:
    """The models of `composition` that are generative, or may be."""
    parts = dict.fromkeys(part.model for stage in composition.stages for part in stage if part.share != 0.0)
    return tuple(name for name in parts if is_generative(name))


def is_generative(model: str) -> bool:
    """Whether the model of that name, or in that file, is generative or may be."""
    known = catalog.find(model)
    if known is not None and known.kind != "added":
        said = _card(BUNDLED / f"{known.name}.md")
        return known.name not in _FAITHFUL if said is None else said
    said = _card(Path(model).expanduser().with_suffix(".md"))
    return said is None or said


def _card(path: Path) -> bool | None:
    """What a card says; None if there is none, or it does not say."""
    try:
        found = _LINE.search(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return None
    return None if found is None else found[1].lower() == "yes"
