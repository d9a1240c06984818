"""Lists of models on the command line, and labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from upres.comparison.names import short_names, split_names
from upres.errors import UsageError


def test_commas_part_models_but_not_a_blend(tmp_path: Path) -> None:
    assert split_names(["a,b", "c", "a"]) == ["a", "b", "c"]
    assert split_names(["a:0.7,b:0.3", "x>y, z"]) == ["a:0.7,b:0.3", "x>y", "z"]
    assert split_names([r"C:\nets\a.pth,b"]) == [r"C:\nets\a.pth", "b"]
    odd = tmp_path / "a,b.pth"
    odd.touch()
    assert split_names([str(odd)]) == [str(odd)]
    for texts, words in ([], "at least one model"), (["a,,b"], "an empty name"):
        with pytest.raises(UsageError, match=words):
            split_names(texts)


def test_labels_are_short_and_differ() -> None:
    assert short_names(["compact-x4", "runs/a/best.safetensors"]) == {
        "compact-x4": "compact-x4",
        "runs/a/best.safetensors": "best",
    }
    twins = ["runs/a/best.safetensors", "runs/b/best.safetensors"]
    assert short_names(twins) == {name: name for name in twins}
