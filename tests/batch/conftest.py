from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch.collected import Folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Three pictures."""
    return Folder(tmp_path, monkeypatch, 3)
