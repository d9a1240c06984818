"""A user's ncnn files, run as they are, take pictures whatever their layout in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests import made_ncnn
from tests.engines.ncnn.test_runner import RNG
from upres.engines.ncnn.opaque import NcnnProgram


def test_a_foreign_file_takes_a_turned_picture(tmp_path: Path) -> None:
    program = NcnnProgram(made_ncnn.bilinear_x2(tmp_path), threads=1)
    turned = RNG.random((1, 3, 73, 75), dtype=np.float32).transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(program(turned), program(np.ascontiguousarray(turned)))
