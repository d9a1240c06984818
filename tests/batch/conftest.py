from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch.collected import Folder
from tests.tiny import compact_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Three pictures."""
    return Folder(tmp_path, monkeypatch, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of scale 2."""
    return compact_file(tmp_path_factory.mktemp("model") / "tiny-x2.safetensors", 2)
