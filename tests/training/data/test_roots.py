"""`--data DIR=WEIGHT`: what is a weight and what belongs to the name."""

from __future__ import annotations

from pathlib import Path

import pytest

from upres.errors import UsageError
from upres.training.data.roots import Root, parse_root


def test_a_root_may_have_a_weight(tmp_path: Path) -> None:
    assert parse_root("photos") == Root(Path("photos"))
    assert parse_root("photos=3", Path("small")) == Root(Path("photos"), Path("small"), 3.0)
    assert parse_root("a=b=0.5") == Root(Path("a=b"), None, 0.5)
    (tmp_path / "x=2").mkdir()
    assert parse_root(f"{tmp_path}/x=2") == Root(tmp_path / "x=2")
    for text in ("photos=", "photos=0", "photos=-1", "photos=many", "photos=inf", "photos=nan"):
        with pytest.raises(UsageError, match=rf"with a weight above 0, got '{text}'"):
            parse_root(text)
