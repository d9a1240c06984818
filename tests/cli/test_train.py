"""`upres train`: each --data is paired with its --lr, and what cannot be paired is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from upres.errors import UsageError
from upres.training.data.roots import Root


def test_the_command_line_pairs_each_data_with_its_lr() -> None:
    from upres.cli.train import _roots

    assert _roots(["a", "b=2"], [], None, None) == ([Root(Path("a")), Root(Path("b"), None, 2.0)], None)
    roots, shown = _roots(["a", "b=2"], [Path("x"), Path("y")], Path("v"), Path("w"))
    assert roots == [Root(Path("a"), Path("x")), Root(Path("b"), Path("y"), 2.0)] and shown == [
        Root(Path("v"), Path("w"))
    ]
    with pytest.raises(
        UsageError, match="--lr must be given once for each --data, in the same order, or not at all: got 1 for 2"
    ):
        _roots(["a", "b"], [Path("x")], None, None)
    with pytest.raises(UsageError, match="--validation-lr needs --validation"):
        _roots(["a"], [], None, Path("w"))
