"""docs/own-network.md keeps its word: its code is written to the files that it names, its commands run, in small."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests import REPOSITORY
from tests.test_readme import commands
from tests.training.made import draw_photographs, features_file
from upres.images.io import Picture, read_picture, write_picture
from upres.models.load import load_model
from upres.training import pretrained
from upres.training.losses.feature_files import load_features

PAGE = REPOSITORY / "docs" / "own-network.md"


def files(text: str) -> dict[str, str]:
    """The blocks that begin with the name of a file, those of one file joined."""
    found: dict[str, str] = {}
    for body in re.findall(r"^```(?:python|toml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        name = re.match(r"# (\S+\.(?:py|toml))\n", body)
        assert name is not None, body
        found[name[1]] = found.get(name[1], "") + body
    return found


def in_small(command: str) -> list[str]:
    words = shlex.split(command)[1:]
    if words[0] == "train":
        words = [word if word not in ("1000", "2000") else "2" for word in words]
        small = ("batch=2", "patch_px=16", "features=vgg19-conv3_1", "judge=", "niqe=false", "threads=1", "steps=2")
        words += [word for setting in small for word in ("--set", setting)] if "--resume" not in words else []
    return words


@pytest.mark.slow
def test_the_page_is_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upres: Callable[..., tuple[str, str]], unplotted: None,
    example_photo: Path,
) -> None:  # fmt: skip
    text = PAGE.read_text(encoding="utf-8")
    written = files(text)
    assert sorted(written) == ["edges.toml", "my.py"]
    for name, content in written.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    draw_photographs(tmp_path / "photographs", 4, 80, 96)
    write_picture(Picture(np.ascontiguousarray(read_picture(example_photo).pixels[:40, :48])), tmp_path / "photo.png")
    features_file(tmp_path / "f.safetensors")
    monkeypatch.setattr(pretrained, "fetch_features", lambda name, source: load_features(tmp_path / "f.safetensors"))
    monkeypatch.chdir(tmp_path)
    for command in commands(text):
        if "export" in command:
            pytest.importorskip("onnx")
        upres(*in_small(command))
    assert read_picture(tmp_path / "photo_mine.png").pixels.shape == (160, 192, 3)
    for run in ("mine", "edges", "gan"):
        model = load_model(f"runs/{run}/model.safetensors")
        assert (model.family, model.scale) == ("MyNet", 4)
    assert (tmp_path / "mine.onnx").is_file()
    assert not [name for name in sys.path if name == str(tmp_path)]
