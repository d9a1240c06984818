"""Models that invent detail: by their cards, and in doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from upres.models.catalog import MODELS, downloadable_models
from upres.models.expression import parse
from upres.models.generative import generative_parts, is_generative
from upres.models.model import BUNDLED


def test_the_card_of_each_bundled_model_says_it() -> None:
    said = {name: is_generative(name) for name in MODELS}
    assert {name for name, generative in said.items() if not generative} == {"compact-x2", "compact-x4", "srvgg-x4"}
    for name in MODELS:
        assert "\nGenerative: " in (BUNDLED / f"{name}.md").read_text(encoding="utf-8")


def test_downloadable_models_are_generative_unless_known() -> None:
    faithful = {name for name in downloadable_models() if not is_generative(name)}
    assert faithful == {"RealESRNet_x4plus", "4x-mssim-span-pretrain", "4x-pix-span-pretrain"}


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("compact-x4", ()),
        ("COMPACT-X4", ()),
        ("compact-x4:1,compact-gan-x4:0", ()),
        ("compact-x4:0.9,compact-gan-x4:0.1", ("compact-gan-x4",)),
        ("compact-x2>photo-x4", ("photo-x4",)),
        ("none.pth", ("none.pth",)),
    ],
)
def test_every_part_of_a_composition_counts(expression: str, parts: tuple[str, ...]) -> None:
    assert generative_parts(parse(expression)) == parts


def test_a_card_beside_a_file_is_believed(tmp_path: Path) -> None:
    model = tmp_path / "mine.safetensors"
    assert is_generative(str(model))
    (tmp_path / "mine.md").write_text("# mine\n\nTrained with L1.\n\ngenerative: No\n")
    assert not is_generative(str(model))
    (tmp_path / "mine.md").write_text("Generative: yes, very")
    assert is_generative(str(model))
    (tmp_path / "mine.md").write_text("nothing about it")
    assert is_generative(str(model))
