from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.made_ncnn import tagged, write
from upres.errors import ModelError
from upres.weights.ncnn_file import read_ncnn


def test_a_network_that_takes_more_than_a_picture_is_refused_by_the_reason(tmp_path: Path) -> None:
    """SRMD takes 19 channels: RGB, 15 numbers for the blur, and the noise."""
    lines = ["Input in 0 1 in", "Convolution c 1 1 in out 0=3 1=1 5=0 6=57"]
    path = write(tmp_path, lines, tagged(np.zeros(57)))
    words = r"takes 19 channels, and a picture has 3 \(RGB\) or 1 \(gray\); SRMD also takes a description of the blur"
    with pytest.raises(ModelError, match=words + ".*Take a network whose only input is the picture"):
        read_ncnn(path, path.with_suffix(".bin"))


def test_two_inputs_of_a_scale_must_not_differ_in_channels(tmp_path: Path) -> None:
    lines = [
        "Input in 0 1 in",
        "Split s 1 2 in a b",
        "Convolution c 1 1 a d 0=2 1=1 5=0 6=6",
        "Scale x 2 1 b d out 0=-233",
    ]
    path = write(tmp_path, lines, tagged(np.zeros(6)))
    with pytest.raises(ModelError, match=r"layer 'x' \(Scale\) is given 3 channels and 2 factors"):
        read_ncnn(path, path.with_suffix(".bin"))
    path = write(tmp_path, [*lines[:3], "Scale x 2 1 b d out 0=3"], tagged(np.zeros(6)) + bytes(12))
    with pytest.raises(ModelError, match=r"layer 'x' \(Scale\) has 2 inputs and weights as well"):
        read_ncnn(path, path.with_suffix(".bin"))
