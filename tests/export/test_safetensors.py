"""Names, types and metadata of the file, read by the package safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from tests.oracles.networks import RRDBNet, esrgan_keys, randomized, state_of
from tests.oracles.span import SPAN
from tests.tiny import compact_state
from upres.errors import EngineError
from upres.export.safetensors import write_state
from upres.weights.read import read_weights

RRDB = state_of(randomized(RRDBNet(width=4, growth=4, blocks=1), 1))


def test_names_are_those_of_basicsr(tmp_path: Path) -> None:
    """conv_first, body.0.rdb1.conv1, conv_body, conv_up1, conv_hr, conv_last: what spandrel looks for."""
    write_state(esrgan_keys(RRDB), tmp_path / "m.safetensors", facts={"scale": "4"})
    with safe_open(tmp_path / "m.safetensors", "np") as file:
        assert set(file.keys()) == RRDB.keys()
        assert file.metadata()["scale"] == "4" and file.metadata()["format"] == "pt"
        for name in file.keys():  # noqa: SIM118  # no dictionary
            np.testing.assert_array_equal(file.get_tensor(name), RRDB[name])


def test_wrappers_prefixes_are_taken_off(tmp_path: Path) -> None:
    write_state(
        {f"module.{name}": array for name, array in compact_state().items()}, tmp_path / "m.safetensors", facts={}
    )
    assert read_weights(tmp_path / "m.safetensors").keys() == compact_state().keys()


def test_half_stores_floats_in_two_bytes_and_leaves_the_rest(tmp_path: Path) -> None:
    state = {**state_of(SPAN(width=4, scale=2)), "no_norm": np.zeros(1, np.int64)}
    write_state(state, tmp_path / "m.safetensors", half=True, facts={})
    with safe_open(tmp_path / "m.safetensors", "np") as file:
        types = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert types.pop("no_norm") == np.int64
    assert set(types.values()) == {np.dtype(np.float16)}


def test_numbers_beyond_half_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"body.0.bias contains 70000, above the float16 maximum of 65504; export without `half`"
    ):
        write_state({"body.0.bias": np.array([7e4], np.float32)}, tmp_path / "m.safetensors", half=True, facts={})
    assert list(tmp_path.iterdir()) == []
