"""The mapping of values, and the filling of gaps."""

from __future__ import annotations

import numpy as np
import pytest

from upres.science.values import Mapping, Statistics, filled


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_a_mapping_is_inverted(dtype: str) -> None:
    kind = np.dtype(dtype)
    top = float(np.iinfo(kind).max) if kind.kind in "iu" else 1e6
    values = np.linspace(-top if kind.kind != "u" else 0.0, top, 101).astype(kind)[:, None]
    statistics = Statistics(kind)
    statistics.add(values, np.ones(values.shape, bool))
    mapping = statistics.mapping()
    back = mapping.from_network(mapping.to_network(values), kind)
    assert back.dtype == kind
    np.testing.assert_allclose(back.astype(float), values.astype(float), atol=2e-7 * 2 * top)
    assert back.min() >= values.min() and back.max() <= values.max()


def test_eight_bits_are_mapped_as_pictures_are() -> None:
    statistics = Statistics(np.dtype(np.uint8))
    statistics.add(np.array([[10, 200]], np.uint8), np.ones((1, 2), bool))
    assert statistics.mapping() == Mapping(0.0, 255.0, 10.0, 200.0)
    assert statistics.mapping().words == "x = (value - 0) / 255"


def test_an_outlier_does_not_darken_all_others() -> None:
    values = np.linspace(100.0, 200.0, 10_000).astype(np.float32)[:, None]
    values[5] = 1e9
    statistics = Statistics(values.dtype)
    statistics.add(values, np.ones(values.shape, bool))
    mapping = statistics.mapping()
    assert 98.0 < mapping.gain < 101.0 and mapping.most == 1e9
    assert mapping.from_network(mapping.to_network(values), values.dtype)[5] == pytest.approx(1e9, rel=1e-6)


def test_no_values_and_one_value_map_to_themselves() -> None:
    empty = Statistics(np.dtype(np.int16))
    empty.add(np.zeros((2, 2), np.int16), np.zeros((2, 2), bool))
    assert empty.mapping().gain == 1.0
    one = Statistics(np.dtype(np.int16))
    one.add(np.full((2, 2), 7, np.int16), np.ones((2, 2), bool))
    assert one.mapping().from_network(one.mapping().to_network(np.full((2, 2), 7)), np.dtype(np.int16)).tolist() == [
        [7, 7],
        [7, 7],
    ]


def test_a_value_never_becomes_that_of_a_gap() -> None:
    mapping = Mapping(0.0, 10.0, 0.0, 10.0)
    x = np.array([[0.5, 0.52, 1.0, 0.0]], np.float32)
    assert mapping.from_network(x, np.dtype(np.int16), 5.0).tolist() == [[6, 6, 10, 0]]
    assert mapping.from_network(x, np.dtype(np.int16), 10.0).tolist() == [[5, 5, 9, 0]]
    made = mapping.from_network(x, np.dtype(np.float32), 5.0)
    assert made[0, 0] != 5.0 and made[0, 0] == pytest.approx(5.0)


def test_gaps_are_filled_from_around_and_not_from_their_value() -> None:
    x = np.full((64, 64), 0.25, np.float32)
    valid = np.ones((64, 64), bool)
    valid[20:40, 8:50] = False
    x[~valid] = -1e9
    np.testing.assert_allclose(filled(x, valid)[~valid], 0.25, atol=1e-6)
    assert filled(x, np.ones_like(valid)) is x


def test_filling_leaves_no_trace_of_blocks() -> None:
    rng = np.random.default_rng(2)
    x, valid = rng.random((192, 160), np.float32), rng.random((192, 160)) > 0.3
    valid[80:140, 20:90] = False
    whole, part = filled(x, valid), filled(x[64:], valid[64:])
    np.testing.assert_array_equal(whole[64 + 48 :], part[48:])
