"""ncnn on Vulkan, with whatever driver there is: Debian's software driver (scripts/software-vulkan) does. Skipped where
there is none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests import REPOSITORY
from tests.oracles.networks import RRDBNet, randomized, state_of
from tests.tiny import compact
from upres import engines
from upres.batch.worker import WorkerThread, result_of
from upres.engines.ncnn import vulkan
from upres.engines.ncnn.devices import VulkanDevice, vulkan_devices
from upres.engines.ncnn.runner import NcnnRunner
from upres.engines.ncnn.vulkan import MAX_RUN_BYTES, Gpu, free_device_bytes
from upres.errors import EngineError, OutOfMemoryError, UsageError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Resample, Scale

pytestmark = pytest.mark.vulkan

RNG = np.random.default_rng(4)


@pytest.fixture(scope="module")
def device() -> VulkanDevice:
    found, reason = vulkan_devices()
    if not found:
        pytest.skip(reason)
    return next(device for device in found if device.default)


def run_python(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )


def picture(channels: int, height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((1, channels, height, width), dtype=np.float32)


def conv(name: str, source: str, out: int, taken: int, activation: Activation | None = None, **settings: int) -> Conv:
    weight = RNG.normal(0, 0.3, (out, taken, 3, 3)).astype(np.float32)
    return Conv(
        name, source, weight, RNG.normal(0, 0.1, out).astype(np.float32), padding=1, activation=activation, **settings
    )


def every_node() -> Graph:
    """One network with all that our graphs know, on channels that are no multiple of a vector's width and on some that
    are.
    """
    slopes = RNG.random(7, dtype=np.float32) - 0.3
    nodes = [
        Resample("pixel_unshuffle", "down", "input", 2),  # 12
        conv("a", "down", 7, 12, Activation("prelu", slopes=slopes)),
        conv("b", "a", 7, 7, Activation("leaky_relu", 0.2)),
        Activate("gate", "b", Activation("sigmoid")),
        Mul("gated", ("a", "gate")),
        Scale("scaled", "gated", -0.5),
        Add("sum", ("a", "b", "scaled"), (1.0, -0.25, 3.0)),
        Concat("all", ("sum", "b", "a")),  # 21
        conv("wide", "all", 16, 21, Activation("relu")),
        MaxPool("pooled", "wide", 2, 2),
        Resample("upsample_nearest", "back", "pooled", 2),
        conv("last", "back", 48, 16),
        Resample("pixel_shuffle", "o", "last", 4),
    ]
    return Graph.of(nodes, output="o", in_channels=3, family="test")


# Devices


def test_the_device_that_is_told_is_the_one_that_is_opened(device: VulkanDevice) -> None:
    for asked in ("vulkan", f"vulkan:{device.index}"):
        assert vulkan.opened(asked).device == device
    with pytest.raises(
        EngineError, match=rf"device 'vulkan:91' does not exist; this machine has vulkan:0 \(.*{device.name.split()[0]}"
    ):
        NcnnRunner(compact(2), device="vulkan:91")


# Values


def test_every_node_agrees_with_the_cpu(device: VulkanDevice) -> None:
    graph, lr = every_node(), picture(3, 20, 28)
    expected = NcnnRunner(graph, threads=1)(lr)
    runner = NcnnRunner(graph, threads=1, device="vulkan")
    sr = runner(lr)
    np.testing.assert_allclose(sr, expected, rtol=0, atol=1e-5 * float(np.ptp(expected)))
    assert (runner.device, runner.precision) == (f"vulkan:{device.index}", "fp32")
    assert bool(runner.notes) == (device.kind == "cpu")
    np.testing.assert_array_equal(runner(lr), sr)
    runner.close()
    with pytest.raises(EngineError, match="this ncnn runner is closed"):
        runner(lr)


def test_rrdb_in_two_parts_agrees_with_torch(device: VulkanDevice) -> None:
    module = randomized(RRDBNet(width=8, growth=4, blocks=1, ups=2), 3)
    graph, lr = graph_from_state_dict(state_of(module)), picture(3, 12, 16)
    runner = engines.load(graph, engine="ncnn", device="vulkan", precision="fp32", threads=1)
    expected = engines.load(graph, engine="torch", device="cpu", threads=1)(lr)
    np.testing.assert_allclose(runner(lr), expected, rtol=0, atol=1e-5)
    assert type(runner).__name__ == "TailRunner"
    runner.close()


def test_a_tile_equals_its_part_of_the_whole(device: VulkanDevice) -> None:
    """Exact: to the bit, wherever the tile lies. Otherwise to rounding, and to the bit nearly everywhere on the
    runner's grid.
    """
    graph, lr = compact(2, width=16, depth=3, strength=0.01), picture(3, 44, 52)
    seen, scale = graph.receptive_field, graph.scale

    def difference(runner: NcnnRunner, top: int, left: int) -> Array:
        margin = seen + runner.grid_px
        tile = runner(np.ascontiguousarray(lr[:, :, top : top + 28, left : left + 36]))
        whole = runner(lr)[:, :, top * scale : (top + 28) * scale, left * scale : (left + 36) * scale]
        inner = slice(margin * scale, -margin * scale)
        return np.abs(tile - whole)[:, :, inner, inner]

    exact = NcnnRunner(graph, threads=1, device="vulkan", exact=True)
    assert exact.grid_px == 1
    assert [difference(exact, *corner).max() for corner in ((7, 9), (6, 13))] == [0.0, 0.0]
    np.testing.assert_allclose(exact(lr), NcnnRunner(graph, threads=1, exact=True)(lr), rtol=0, atol=1e-5)
    fast = NcnnRunner(graph, threads=1, device="vulkan")
    assert np.mean(difference(fast, 3 * fast.grid_px, 2 * fast.grid_px) == 0.0) > 0.99
    assert difference(fast, 7, 9).max() < 1e-5


def test_half_precision_is_what_it_says_or_refused(device: VulkanDevice) -> None:
    graph, lr = compact(2, width=16, strength=0.02), picture(3, 16, 20)
    expected = NcnnRunner(graph, threads=1)(lr)
    for precision, has, bits in (("fp16", device.fp16, 10), ("bf16", device.bf16, 7)):
        if not has:
            with pytest.raises(UsageError, match=rf"has no {precision}; use precision fp32"):
                NcnnRunner(graph, threads=1, device="vulkan", precision=precision)
            continue
        runner = NcnnRunner(graph, threads=1, device="vulkan", precision=precision)
        assert runner.precision == precision
        worst = float(np.abs(runner(lr) - expected).max())
        assert 2.0 ** -(bits + 4) < worst < 2.0 ** -(bits - 4)  # float32 would be right to 2^-20


def test_an_engine_made_in_one_thread_runs_in_another(device: VulkanDevice) -> None:
    graph, lr = compact(2), picture(3, 9, 11)
    runner = NcnnRunner(graph, threads=1, device="vulkan")
    worker: WorkerThread[Any] = WorkerThread("engine")
    here = runner(lr)
    np.testing.assert_array_equal(result_of(worker.submit(lambda: runner(lr))), here)
    other: NcnnRunner = result_of(worker.submit(lambda: NcnnRunner(graph, threads=1, device="vulkan")))
    np.testing.assert_array_equal(other(lr), here)
    result_of(worker.submit(runner.close))
    np.testing.assert_array_equal(other(lr), here)  # whose memory is its own still
    worker.close()


# Memory


def test_a_tile_beyond_the_devices_memory_is_refused_and_a_smaller_one_runs(device: VulkanDevice) -> None:
    graph, lr = compact(2), picture(3, 9, 11)
    runner = NcnnRunner(graph, threads=1, device="vulkan")
    before = runner(lr)
    free = free_device_bytes("vulkan")
    assert free is not None
    assert 0 < free <= MAX_RUN_BYTES
    assert 0 < (runner.device_bytes() or 0) <= MAX_RUN_BYTES
    huge = np.broadcast_to(np.float32(0.5), (1, 3, 20000, 20000))  # of no memory here
    with pytest.raises(
        OutOfMemoryError, match=r"20000 x 20000 pixels needs \d+ MB on .*, where one run may use \d+ MB; try"
    ):
        runner(huge)
    np.testing.assert_array_equal(runner(lr), before)
    assert free_device_bytes("cpu") is None


def test_memory_that_cannot_be_reserved_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    allocator = SimpleNamespace(clear=lambda: calls.append("clear"), fastMalloc=lambda size: None)  # pyright: ignore[reportUnknownLambdaType]
    handle = SimpleNamespace(
        get_heap_budget=lambda: 512,
        acquire_blob_allocator=lambda: allocator,
        reclaim_blob_allocator=lambda _: calls.append("back"),
    )
    gpu = Gpu(VulkanDevice(77, "card", "discrete", True, True, True, None), handle)
    with pytest.raises(OutOfMemoryError, match="9 x 9 pixels needs 100 MB on card, which has less"):
        gpu.reserve(100 << 20, "9 x 9 pixels")
    assert calls == ["clear", "back"]
    with pytest.raises(OutOfMemoryError, match="needs 600 MB on card, where one run may use 512 MB"):
        gpu.reserve(600 << 20, "a tile")


@pytest.mark.skipif(sys.platform != "linux", reason="address space can be limited on Linux alone")
def test_short_memory_never_gives_a_black_picture(device: VulkanDevice) -> None:
    """Real shortages, at several moments (a software driver's memory is the process's): the right picture or an error,
    and no crash.
    """
    if device.kind != "cpu":
        pytest.skip("this driver's memory is not the process's")
    done = run_python(
        "import resource, sys, numpy as np\n"
        "from tests.tiny import compact\n"
        "from upres.engines.ncnn.runner import NcnnRunner\n"
        "from upres.errors import OutOfMemoryError\n"
        "large, small = (np.random.default_rng(0).random((1, 3, side, side), dtype=np.float32) for side in (300, 16))\n"
        "runner = NcnnRunner(compact(2), threads=1, device='vulkan')\n"
        "before, whole, told = runner(small), runner(large), []\n"
        "for room in (4, 25, 50, 70, 150):\n"
        "    runner._net.gpu.release()\n"
        "    used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (used + (room << 20), -1))\n"
        "    try:\n"
        "        assert np.array_equal(runner(large), whole)\n"
        "        told.append(False)\n"
        "    except (OutOfMemoryError, MemoryError):\n"
        "        told.append(True)\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n"
        "    assert np.array_equal(runner(small), before)\n"
        "print(told[0], told[-1])\n"
    )
    assert (done.stdout.split(), done.stderr, done.returncode) == (["True", "False"], "", 0)


# The end of a process


ENDS = {
    "closed": "runner.close()",
    "kept beyond the end": "import builtins; builtins.kept = (runner, runner._net)",
    "never closed, after an exception": "raise SystemExit(7)",
    "a thread in the midst of a run": (
        "import threading, time\n"
        "large = np.ones((1, 3, 200, 200), np.float32)\n"
        "def work():\n"
        "    while True:\n"
        "        runner(large)\n"
        "threading.excepthook = lambda _: None\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.1)\n"
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_process_ends_well(end: str, device: VulkanDevice) -> None:
    done = run_python(
        "import numpy as np\n"
        "from tests.tiny import compact\n"
        "from upres.engines.ncnn.runner import NcnnRunner\n"
        "runner = NcnnRunner(compact(2), threads=1, device='vulkan')\n"
        "print(runner(np.ones((1, 3, 8, 8), np.float32)).shape, flush=True)\n" + ENDS[end]
    )
    assert done.stdout == "(1, 3, 16, 16)\n"
    assert (done.stderr, done.returncode) == ("", 7 if "exception" in end else 0)
