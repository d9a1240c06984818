"""A tiny model and picture for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import compact_file, noise, picture
from upres.images.io import write_picture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compact_file(tmp_path_factory.mktemp("model") / "tiny-x2.safetensors", 2)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    write_picture(picture(noise(20, 30), dpi=(300.0, 300.0)), path)
    return path
