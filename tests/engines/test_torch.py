"""What is torch's own: settings put back, exact sigmoids, memory let go of, devices that are not there."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.oracles.networks import SRVGGNetCompact, randomized, state_of
from tests.oracles.span import SPAN
from upres.engines import torch as engine
from upres.engines.torch import TorchRunner
from upres.errors import EngineError, OutOfMemoryError, UsageError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Array


def small() -> Graph:
    return graph_from_state_dict(state_of(randomized(SRVGGNetCompact(width=4, convs=1, scale=2), 1)))


def picture(height: int, width: int) -> Array:
    return np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)


def settings() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return torch.get_num_threads(), torch.backends.mkldnn.enabled, cudnn.benchmark, cudnn.allow_tf32


@pytest.fixture
def others() -> Iterator[None]:
    """A program around us that has set everything otherwise."""
    before = settings()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cudnn.benchmark = before[2]
    torch.backends.cudnn.allow_tf32 = before[3]


@pytest.mark.usefixtures("others")
def test_settings_are_ours_inside_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFloat-32 above all, which torch allows by default and which is off by 1e-3."""
    inside: list[tuple[object, ...]] = []
    conv2d = engine._conv2d

    def watched(*arguments: object) -> torch.Tensor:
        flags = torch.backends.cudnn
        tf32 = flags.conv.fp32_precision if hasattr(flags, "conv") else flags.allow_tf32
        inside.append((torch.get_num_threads(), torch.backends.mkldnn.enabled, flags.benchmark, tf32))
        return conv2d(*arguments)

    monkeypatch.setattr(engine, "_conv2d", watched)
    before = settings()
    assert before[2:] == (True, True)
    TorchRunner(small(), threads=3, device="cpu")(picture(5, 5))
    assert set(inside) == {(3, False, False, "ieee" if hasattr(torch.backends.cudnn, "conv") else False)}
    assert settings() == before
    monkeypatch.setattr(engine, "_conv2d", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        TorchRunner(small(), threads=3, device="cpu")(picture(5, 5))
    assert settings() == before


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_tiles_of_a_network_with_sigmoids_are_equal_to_the_bit(threads: int) -> None:
    """Sizes whose values are no multiple of a vector, and enough of them (more than 32,768) for torch to give each
    thread a part.
    """
    graph = graph_from_state_dict(state_of(randomized(SPAN(width=12, scale=2), 1))).simplify()
    runner = TorchRunner(graph, threads=threads, device="cpu")
    lr = picture(61, 53)
    whole = runner(lr)
    kept = 2 * (45 - graph.receptive_field)
    np.testing.assert_array_equal(runner(lr[:, :, :45])[:, :, :kept], whole[:, :, :kept])
    np.testing.assert_array_equal(runner(lr[:, :, -45:])[:, :, -kept:], whole[:, :, -kept:])
    np.testing.assert_array_equal(runner(lr[:, :, :, :45])[:, :, :, :kept], whole[:, :, :, :kept])


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 100_001])
def test_sigmoid_is_right_and_does_not_depend_on_the_place(count: int) -> None:
    x = torch.from_numpy(np.random.default_rng(1).normal(0, 4, count).astype(np.float32))
    found = engine._sigmoid(x)
    np.testing.assert_allclose(found.numpy(), 1 / (1 + np.exp(-x.numpy().astype(np.float64))), rtol=0, atol=1e-7)
    np.testing.assert_array_equal(engine._sigmoid(x[3:].clone()).numpy(), found[3:].numpy())


def test_memory_is_let_go_of_while_the_error_is_still_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who halves the tiles does so in an `except`: the exception must not hold the values between layers."""
    kept: list[weakref.ref[torch.Tensor]] = []

    def short(x: torch.Tensor, *_: object) -> torch.Tensor:
        value = torch.zeros(1000)
        kept.append(weakref.ref(value))
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation for Memory Management"
        )

    runner = TorchRunner(small(), threads=1, device="cpu")
    monkeypatch.setattr(engine, "_conv2d", short)
    with pytest.raises(OutOfMemoryError) as caught:
        runner(picture(6, 7))
    words = "ran out of memory on 6 x 7 pixels: CUDA out of memory. Tried to allocate 2.00 GiB.; try a smaller tile"
    assert str(caught.value).endswith(words)
    gc.collect()
    assert [ref() for ref in kept] == [None]


def test_other_failures_are_engine_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = TorchRunner(small(), threads=1, device="cpu")

    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED\nstack")

    monkeypatch.setattr(engine, "_conv2d", broken)
    with pytest.raises(
        EngineError, match="failed on 6 x 7 pixels: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED; try a smaller"
    ) as caught:
        runner(picture(6, 7))
    assert not isinstance(caught.value, OutOfMemoryError)


@pytest.mark.parametrize("device", ["quantum", "meta", "cuda:x"])
def test_an_unknown_device_is_refused_with_the_known_ones(device: str) -> None:
    with pytest.raises(EngineError, match=rf"torch cannot use device '{device}': .*; it has .*cpu"):
        TorchRunner(small(), device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_cuda_without_cuda_is_refused_and_auto_goes_on() -> None:
    with pytest.raises(EngineError, match="torch cannot use device 'cuda': "):
        TorchRunner(small(), device="cuda")
    if not torch.backends.mps.is_available():
        assert TorchRunner(small()).device == "cpu"


@pytest.mark.parametrize(("cuda", "mps", "expected"), [(2, True, "cuda:1"), (0, True, "mps"), (0, False, "cpu")])
def test_auto_is_the_fastest_kind(cuda: int, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a torch that only says so: no such device is touched. Without a number it is the current CUDA device."""
    fake = SimpleNamespace(
        device=torch.device,
        cuda=SimpleNamespace(device_count=lambda: cuda, get_device_name=str, current_device=lambda: 1),
        xpu=SimpleNamespace(device_count=lambda: 1, get_device_name=str),
        version=SimpleNamespace(hip=None),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
    )
    monkeypatch.setattr(engine, "torch", fake)
    assert str(engine._device("cuda" if cuda else "auto")) == expected
    assert engine._present()[0] == ("cuda:0" if cuda else expected)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="engine 'torch' has precisions fp32, fp16, bf16; got 'int8'"):
        TorchRunner(small(), precision="int8")  # type: ignore[arg-type]


def test_the_free_memory_of_a_cuda_device_counts_what_torch_holds_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = TorchRunner(small(), device="cpu")
    assert runner.device_bytes() is None
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 8000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 500)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    monkeypatch.setattr(runner, "_device", torch.device("cuda:0"))
    assert runner.device_bytes() == 1300
