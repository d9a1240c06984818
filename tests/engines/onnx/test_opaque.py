"""A user's ONNX file, run as it is, says that memory was short."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.engines.onnx.test_runner import small
from upres.engines.onnx import runner as engine
from upres.engines.onnx.opaque import OnnxProgram
from upres.engines.onnx.program import onnx_bytes
from upres.errors import OutOfMemoryError


def test_a_file_of_unknown_make_says_that_memory_was_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_bytes(small()))
    program = OnnxProgram(path, threads=1)

    def run(*_: object) -> None:
        raise engine.FAILURES[0]("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc")

    monkeypatch.setattr(program, "_session", SimpleNamespace(run=run))
    with pytest.raises(
        OutOfMemoryError, match="out of memory on 4 x 5 pixels: 6 : RUNTIME_EXCEPTION : std::bad_alloc; try a smaller"
    ):
        program(np.zeros((1, 3, 4, 5), np.float32))
