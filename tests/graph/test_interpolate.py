"""Between two networks: the ends are the two to the bit, the middle is the mean, and what cannot be mixed is refused by
name.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.tiny import compact_state
from upres.errors import ModelError, UsageError
from upres.graph.architectures import canonical, graph_from_state_dict
from upres.graph.interpolate import interpolate
from upres.graph.nodes import Conv

State = Mapping[str, np.ndarray]


def rrdb_state(seed: int = 0, *, width: int = 4, growth: int = 2, dialect: str = "basicsr") -> dict[str, np.ndarray]:
    """One block at x4. The names are spelled out here a second time, dialect by dialect, on purpose."""
    rng = np.random.default_rng(seed)
    first, trunk, up1, up2, hr, last, dense = {
        "basicsr": ("conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last", "body.0.rdb{0}.conv{1}"),
        "esrgan": (
            "conv_first",
            "trunk_conv",
            "upconv1",
            "upconv2",
            "HRconv",
            "conv_last",
            "RRDB_trunk.0.RDB{0}.conv{1}",
        ),
        "old": (
            "model.0",
            "model.1.sub.1",
            "model.3",
            "model.6",
            "model.8",
            "model.10",
            "model.1.sub.0.RDB{0}.conv{1}.0",
        ),
    }[dialect]
    convs = {first: (width, 3), trunk: (width, width)}
    for b in (1, 2, 3):
        convs |= {dense.format(b, c): (growth if c < 5 else width, width + (c - 1) * growth) for c in range(1, 6)}
    convs |= {up1: (width, width), up2: (width, width), hr: (width, width), last: (3, width)}
    state: dict[str, np.ndarray] = {}
    for stem, (given, taken) in convs.items():
        state[f"{stem}.weight"] = rng.standard_normal((given, taken, 3, 3)).astype(np.float32)
        state[f"{stem}.bias"] = rng.standard_normal(given).astype(np.float32)
    return state


def assert_equal(found: State, expected: State) -> None:
    assert list(found) == list(expected)
    for name, tensor in found.items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, expected[name])


@pytest.mark.parametrize("make", [compact_state, rrdb_state])
def test_the_ends_are_the_two_networks_and_the_middle_is_the_mean(make: object) -> None:
    a, b = make(seed=1), make(seed=2)  # type: ignore[operator]
    assert_equal(interpolate(a, b, 0.0), a)
    assert_equal(interpolate(a, b, 1.0), b)
    mean = {name: np.mean([a[name], b[name]], axis=0, dtype=np.float64).astype(np.float32) for name in a}
    assert_equal(interpolate(a, b, 0.5), mean)


def test_alpha_is_the_share_of_the_second() -> None:
    a = {name: np.full_like(tensor, 10.0) for name, tensor in compact_state().items()}
    b = {name: np.full_like(tensor, 20.0) for name, tensor in compact_state().items()}
    for alpha, value in [(0.2, 12.0), (0.8, 18.0)]:
        assert all((tensor == np.float32(value)).all() for tensor in interpolate(a, b, alpha).values())
    assert all((tensor == np.float32(22.5)).all() for tensor in interpolate(a, b, 1.25, extrapolate=True).values())
    assert all((tensor == np.float32(5.0)).all() for tensor in interpolate(a, b, -0.5, extrapolate=True).values())


def test_the_sum_is_rounded_once() -> None:
    """Against long doubles: with either product, or both, rounded to float32 before the sum, some of these numbers come
    out otherwise.
    """
    a, b = rrdb_state(3, width=16), rrdb_state(4, width=16)
    alpha = 1 / np.pi  # a short decimal number would make ties, which any last bit decides
    share = np.longdouble(alpha)
    exact = {
        name: ((1 - share) * a[name].astype(np.longdouble) + share * b[name].astype(np.longdouble)).astype(np.float32)
        for name in a
    }
    assert_equal(interpolate(a, b, alpha), exact)
    assert_equal(interpolate(a, a, 0.7), a)


def test_half_precision_and_doubles_give_float32() -> None:
    a, b = compact_state(seed=1), compact_state(seed=2)
    half = {name: tensor.astype(np.float16) for name, tensor in a.items()}
    double = {name: tensor.astype(np.float64) for name, tensor in b.items()}
    assert_equal(interpolate(half, double, 0.0), {name: tensor.astype(np.float32) for name, tensor in half.items()})
    assert_equal(interpolate(half, double, 1.0), b)


@pytest.mark.parametrize("dialects", [("old", "basicsr"), ("basicsr", "old"), ("esrgan", "old"), ("esrgan", "esrgan")])
def test_dialects_of_one_network_can_be_mixed(dialects: tuple[str, str]) -> None:
    plain = interpolate(rrdb_state(1), rrdb_state(2), 0.3)
    a, b = (rrdb_state(seed, dialect=dialect) for seed, dialect in zip((1, 2), dialects, strict=True))
    mixed = interpolate(a, b, 0.3)
    assert set(mixed) == set(plain) and "body.0.rdb3.conv5.weight" in mixed
    assert all(np.array_equal(mixed[name], plain[name]) for name in plain)
    assert graph_from_state_dict(mixed).scale == 4  # type: ignore[arg-type]


def test_prefixes_of_wrappers_do_not_matter() -> None:
    a, b = compact_state(seed=1), compact_state(seed=2)
    assert_equal(interpolate({f"module.{name}": tensor for name, tensor in a.items()}, b, 0.5), interpolate(a, b, 0.5))


def test_canonical_passes_tensors_on_as_they_are() -> None:
    for dialect in ("basicsr", "esrgan", "old"):
        state = rrdb_state(dialect=dialect)
        renamed = canonical({f"netG.{name}": tensor for name, tensor in state.items()})
        assert set(renamed) == set(rrdb_state())
        assert {id(tensor) for tensor in renamed.values()} == {id(tensor) for tensor in state.values()}
    assert canonical({"module.what.weight": 1, "module.what.bias": 2}) == {"what.weight": 1, "what.bias": 2}
    assert canonical({}) == {}


def test_the_arguments_are_left_alone() -> None:
    a, b = compact_state(seed=1), compact_state(seed=2)
    interpolate(a, b, 0.5)
    assert_equal(a, compact_state(seed=1))
    assert_equal(b, compact_state(seed=2))
    interpolate(a, b, 0.0)["body.0.bias"][:] = 7.0
    assert_equal(a, compact_state(seed=1))


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (
            compact_state(4),
            rrdb_state(),
            "the first network is compact x4, the second network is rrdb x4; expected the same family",
        ),
        (compact_state(2), compact_state(4), "the first network is compact x2, the second network is compact x4"),
        (
            compact_state(width=4),
            compact_state(width=6),
            r"tensor 'body.0.weight' is \(4, 3, 3, 3\) in the first network and \(6, 3, 3, 3\) in the second network",
        ),
        (
            rrdb_state(growth=2),
            rrdb_state(growth=3, dialect="old"),
            r"'body.0.rdb1.conv1.weight' is \(2, 4, 3, 3\) .* and \(3, 4, 3, 3\)",
        ),
        (
            compact_state(depth=2),
            compact_state(depth=3),
            r"'body.6.weight' is \(12, 4, 3, 3\) in .* and \(4, 4, 3, 3\) in",
        ),
        (
            compact_state(),
            {"x": np.ones(3, np.float32)},
            "cannot interpolate the second network: unknown network: found 1 tensors",
        ),
        ({}, compact_state(), "cannot interpolate the first network: the model file holds no tensors"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(a: State, b: State, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        interpolate(a, b, 0.5)


def test_the_two_networks_can_be_called_by_their_names() -> None:
    with pytest.raises(ModelError, match=r"is \(4, 3, 3, 3\) in psnr.pth and \(6, 3, 3, 3\) in gan.pth"):
        interpolate(compact_state(width=4), compact_state(width=6), 0.5, names=("psnr.pth", "gan.pth"))


@pytest.mark.parametrize("alpha", [-0.01, 1.01, float("nan"), float("inf")])
def test_an_alpha_outside_is_refused(alpha: float) -> None:
    with pytest.raises(UsageError, match=rf"alpha must be in \[0, 1\], unless extrapolate is set; got {alpha:g}"):
        interpolate(compact_state(), compact_state(), alpha)


@pytest.mark.parametrize("alpha", [float("nan"), float("-inf")])
def test_no_flag_allows_an_alpha_that_is_no_number(alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha must be finite"):
        interpolate(compact_state(), compact_state(), alpha, extrapolate=True)


def test_the_network_between_is_between() -> None:
    """With one network twice as strong as the other in its last convolution, the mean is one and a half times as
    strong.
    """
    a = compact_state(seed=1)
    last = max(a, key=lambda name: int(name.split(".")[1]) if name.endswith("weight") else -1)
    b = {**a, last: 2 * a[last]}
    conv = [node for node in graph_from_state_dict(interpolate(a, b, 0.5)).nodes if isinstance(node, Conv)][-1]  # type: ignore[arg-type]
    np.testing.assert_array_equal(conv.weight, np.float32(1.5) * a[last])
