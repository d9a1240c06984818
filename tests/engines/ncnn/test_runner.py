"""ncnn on the CPU: half precision, devices, and memory that runs short. Its nodes are in `test_engines.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests import REPOSITORY, made_ncnn
from tests.tiny import compact
from upres.engines.ncnn.runner import NcnnRunner
from upres.engines.runner import parallel_of
from upres.errors import EngineError, UsageError
from upres.graph.graph import Graph
from upres.graph.nodes import Conv

RNG = np.random.default_rng(2)


def identity(channels: int = 4) -> Graph:
    weight = np.eye(channels, dtype=np.float32)[:, :, None, None]
    return Graph.of([Conv("o", "input", weight)], output="o", in_channels=channels, family="test")


def run_python(text: str) -> subprocess.CompletedProcess[str]:
    # glibc: what is freed goes back at once, to be had again or not
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", text]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=REPOSITORY, env=environment
    )


# Half precision


def test_what_the_cpu_does_not_do_in_half_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.engines.ncnn.net.cpu_keeps", lambda precision: False)  # pyright: ignore[reportUnknownLambdaType]
    for precision in ("fp16", "bf16"):
        with pytest.raises(UsageError, match=f"engine 'ncnn' has no {precision} on this CPU .*use precision fp32"):
            NcnnRunner(identity(), threads=1, precision=precision)
    with pytest.raises(UsageError, match="precision must be fp32, fp16 or bf16; got 'int8'"):
        NcnnRunner(identity(), threads=1, precision="int8")


@pytest.mark.parametrize(("precision", "bits"), [("fp16", 10), ("bf16", 7)])
def test_precision_is_what_values_are_truly_kept_in(precision: str, bits: int) -> None:
    """Of an identity, all that is lost is what the format cannot hold: a value of 23 bits comes back with no more than
    the format's.
    """
    lr = RNG.uniform(1.0, 2.0, (1, 4, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(NcnnRunner(identity(), threads=1)(lr), lr)
    try:
        runner = NcnnRunner(identity(), threads=1, precision=precision)
    except UsageError:
        pytest.skip(f"ncnn has no {precision} on this CPU")
    assert runner.precision == precision
    sr = runner(lr)
    assert np.all(sr * 2**bits == np.round(sr * 2**bits))
    np.testing.assert_allclose(sr, lr, rtol=0, atol=2.0**-bits)


# Devices


def test_an_unknown_device_is_refused() -> None:
    for device in ("cuda", "vulkan:", "vulkan:x", "gpu"):
        with pytest.raises(UsageError, match=f"engine 'ncnn' has devices cpu, vulkan and vulkan:N; got '{device}'"):
            NcnnRunner(identity(), device=device)


def test_on_the_cpu_no_driver_is_looked_for_and_nothing_is_printed() -> None:
    done = run_python(
        "import numpy as np, ncnn\n"
        "for name in ('get_gpu_count', 'get_gpu_info', 'get_gpu_device', 'get_default_gpu_index', "
        "'create_gpu_instance'):\n"
        "    setattr(ncnn, name, None)\n"
        "from tests.tiny import compact\n"
        "from upres.engines.ncnn.runner import NcnnRunner\n"
        "runner = NcnnRunner(compact(2), threads=1, device='cpu')\n"
        "print(runner(np.ones((1, 3, 8, 8), np.float32)).shape, runner.device, runner.precision, "
        "runner.device_bytes(), runner.notes)\n"
        "print(any('libvulkan' in line for line in open('/proc/self/maps')) if __import__('sys').platform == 'linux' "
        "else False)\n"
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines() == ["(1, 3, 16, 16) cpu fp32 None ()", "False"]


# Memory that runs short


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="address space can be limited on Linux alone")
def test_memory_that_runs_short_is_told_and_the_next_tile_still_runs(tmp_path: Path) -> None:
    """Real shortages at each of several moments, in a process of its own: an error each time, no crash, and the pools
    stay usable.
    """
    made_ncnn.bilinear_x2(tmp_path)
    done = run_python(
        "import resource, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from tests.tiny import compact\n"
        "from upres.engines.ncnn.runner import NcnnRunner\n"
        "from upres.engines.ncnn.opaque import NcnnProgram\n"
        "from upres.errors import OutOfMemoryError\n"
        f"foreign = Path({str(tmp_path)!r}) / 'net.param'\n"
        "def picture(side): return np.random.default_rng(0).random((1, 3, side, side), dtype=np.float32)\n"
        "graph, small = compact(2, width=16), picture(16)\n"
        "for side, make in ((700, lambda: NcnnProgram(foreign, threads=1)), (400, lambda: NcnnRunner(graph, "
        "threads=1)),\n"
        "                   (400, lambda: NcnnRunner(graph, threads=1, exact=True))):\n"
        "    large = picture(side)\n"
        "    told, engine = 0, make()\n"
        "    whole = engine(large)\n"
        "    engine.close()\n"
        "    for room in (3, 9, 17, 30):\n"
        "        engine = make()\n"
        "        before = engine(small)\n"
        "        used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "        resource.setrlimit(resource.RLIMIT_AS, (used + (room << 20), -1))\n"
        "        try:\n"
        "            assert np.array_equal(engine(large), whole)\n"
        "        except (OutOfMemoryError, MemoryError) as error:\n"
        "            told += isinstance(error, OutOfMemoryError)\n"
        "        assert np.array_equal(engine(small), before)\n"
        "        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n"
        "        engine.close()\n"
        "    print(told > 0)\n"
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.split() == ["True", "True", "True"]


def test_tiles_in_one_thread_are_the_same_to_the_bit_and_may_run_at_once() -> None:
    """ncnn packs weights for the number of threads: the program is loaded for each, and both agree."""
    engine = NcnnRunner(compact(2, width=16, strength=1.0), threads=2)
    calls, alone = parallel_of(engine)
    pictures = [RNG.random((1, 3, side, 2 * side), dtype=np.float32) for side in (17, 33, 48, 64)]
    expected = [engine(lr) for lr in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(alone, pictures * 4))
    assert calls == 2
    for sr, wanted in zip(found, expected * 4, strict=True):
        np.testing.assert_array_equal(sr, wanted)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        alone(pictures[0])


def test_large_weights_are_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.engines.ncnn.net._KEPT_TWICE", 100)
    engine = NcnnRunner(compact(2), threads=2)
    lr = RNG.random((1, 3, 20, 20), dtype=np.float32)
    nets: dict[int, object] = engine._net._nets  # pyright: ignore[reportPrivateUsage]
    assert not nets  # loaded for the first run
    first = engine(lr)
    assert set(nets) == {2}
    np.testing.assert_array_equal(engine.in_one_thread(lr), first)
    assert set(nets) == {1}
    np.testing.assert_array_equal(engine(lr), first)
    assert set(nets) == {2}
