"""Model files of every kind, sound and damaged: exact numbers or a ModelError with words, and never a torch import."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from upres.errors import ModelError
from upres.weights.read import MAX_FILE_BYTES, parse_weights, read_weights


def containers() -> dict[str, bytes]:
    """The same small network in the three containers, as bytes."""
    generator = torch.Generator().manual_seed(1)
    state = {
        "body.0.weight": torch.randn((4, 3, 3, 3), generator=generator),
        "body.0.bias": torch.randn(4, generator=generator),
    }
    made: dict[str, bytes] = {}
    for name, new in (("zip", True), ("stream", False)):
        buffer = io.BytesIO()
        torch.save({"params": state}, buffer, _use_new_zipfile_serialization=new)
        made[name] = buffer.getvalue()
    made["safetensors"] = safetensors.torch.save(state)
    return made


@pytest.mark.parametrize("kind", ["zip", "stream", "safetensors"])
def test_content_decides_and_not_the_suffix(kind: str, tmp_path: Path) -> None:
    for suffix in (".pth", ".safetensors", ".bin", ""):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(containers()[kind])
        assert sorted(read_weights(path)) == ["body.0.bias", "body.0.weight"]


@pytest.mark.parametrize("kind", ["zip", "stream", "safetensors"])
def test_truncated_anywhere_is_a_model_error(kind: str) -> None:
    data = containers()[kind]
    ends = {len(data) * part // 20 for part in range(20)} | {1, 2, 5, 9, 20, len(data) - 1}
    for end in sorted(ends):
        with pytest.raises(ModelError, match=r"model file cut\.pth: .+\. \w"):
            parse_weights(data[:end], "cut.pth")


@pytest.mark.parametrize("kind", ["zip", "stream", "safetensors"])
def test_flipped_bits_and_lost_blocks_raise_nothing_but_model_error(kind: str) -> None:
    data = containers()[kind]
    rng = np.random.default_rng(20)
    refused = 0
    for round_ in range(500):
        broken = bytearray(data)
        if round_ % 5 == 4:  # a block of zeros, as a download with holes has
            at = int(rng.integers(len(data)))
            broken[at : at + 64] = bytes(len(broken[at : at + 64]))
        else:
            # Half of the flips hit the first or the last kilobyte, where the structure is.
            edge = min(1024, len(data))
            at = int(rng.integers(len(data))) if round_ % 2 else int(rng.integers(edge)) - (edge if round_ % 4 else 0)
            broken[at] ^= 1 << int(rng.integers(8))
        try:
            found = parse_weights(bytes(broken), "broken.pth")
            assert all(np.isfinite(array).all() for array in found.values())
        except ModelError as error:
            assert str(error).startswith("model file broken.pth: ")
            refused += 1
    assert refused > 50


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"it is a folder; expected a \.safetensors or \.pth file"):
        read_weights(tmp_path)
    with pytest.raises(ModelError, match=r"none\.pth: it cannot be read \(no such file\). Check its path"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(ModelError, match="cannot be read"):
        read_weights(tmp_path / "a\0b")
    with (tmp_path / "huge.pth").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # a hole: takes no room
    with pytest.raises(ModelError, match=r"4,294,967,297 bytes large; expected .* at most 4,294,967,296 bytes"):
        read_weights(tmp_path / "huge.pth")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="a device or a pipe"):
        read_weights(tmp_path / "pipe")


def test_reading_imports_neither_torch_nor_a_pickle_machine_of_others(tmp_path: Path) -> None:
    for kind, data in containers().items():
        (tmp_path / kind).write_bytes(data)
    program = """
import sys
from pathlib import Path
from upres.weights.read import read_weights
for kind in ("zip", "stream", "safetensors"):
    assert len(read_weights(Path(sys.argv[1]) / kind)) == 2
print(sorted(name for name in ("torch", "ncnn", "onnx", "pyvips", "typer") if name in sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
