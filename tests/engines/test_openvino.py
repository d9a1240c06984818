"""What is OpenVINO's own: its devices, the precision that it would choose, failures that it keeps to itself, its
telemetry.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests import REPOSITORY
from tests.oracles.networks import SRVGGNetCompact, randomized, state_of
from upres.engines import openvino as engine
from upres.engines.onnx.program import onnx_bytes
from upres.engines.openvino import OpenVinoFile, OpenVinoRunner
from upres.errors import EngineError, UsageError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Array

NETWORK = randomized(SRVGGNetCompact(width=8, convs=2, scale=2), 1)


def small() -> Graph:
    return graph_from_state_dict(state_of(NETWORK))


def picture(height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((1, 3, height, width), dtype=np.float32)


def expected(lr: Array) -> Array:
    with torch.no_grad():
        return NETWORK(torch.from_numpy(lr)).numpy()


SHORT = """
import resource
from pathlib import Path

import numpy as np

from upres.engines.openvino import OpenVinoRunner
from upres.errors import OutOfMemoryError
from upres.graph.graph import Graph
from upres.graph.nodes import Conv, Resample

weights = np.ones((256, 1, 3, 3), np.float32), np.ones((16, 256, 3, 3), np.float32)
nodes = [Conv("c", "input", weights[0], padding=1), Conv("d", "c", weights[1], padding=1)]
nodes.append(Resample("pixel_shuffle", "o", "d", 4))
runner = OpenVinoRunner(Graph.of(nodes, output="o", in_channels=1, family="test"), threads=1)

def lit(side, value):
    return np.full((1, 1, side, side), value, np.float32)

assert runner(lit(32, 1.0)).max() == 9 * 9 * 256
status = Path("/proc/self/status").read_text().splitlines()
taken = next(int(line.split()[1]) for line in status if line.startswith("VmSize:"))
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (taken * 1024 + 300 * 10**6, hard))
try:
    runner(lit(1024, 1.0))  # 1 GB between the layers
except OutOfMemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
assert runner(lit(32, 2.0)).max() == 2 * 9 * 9 * 256
assert runner(lit(40, 3.0)).max() == 3 * 9 * 9 * 256
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the size of a process is read from Linux's /proc")
def test_short_of_memory_is_told_and_nothing_old_passes_for_a_result() -> None:
    """Version 2026.4 itself gives the result of an earlier call here, without an error, and goes on doing so.

    In a process of its own: what all its other libraries make of a limit on memory is not asked here.
    """
    done = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert re.search(r"1024 x 1024 pixels: Failed to allocate \d+ bytes of memory; try a smaller", done.stdout)


def test_what_was_not_computed_is_nan() -> None:
    """A request that says that it has finished, and has not."""
    runner = OpenVinoRunner(small(), threads=1)
    assert runner._net is not None
    runner._net._request = SimpleNamespace(
        set_output_tensor=lambda _: None, start_async=lambda *_, **__: None, wait=lambda: None
    )
    with pytest.raises(EngineError, match="returned 480 of 480 values as NaN"):
        runner(picture(8, 5))


def test_after_a_failure_the_network_is_compiled_again() -> None:
    runner = OpenVinoRunner(small(), threads=1)
    assert runner._net is not None

    def broken() -> None:
        raise RuntimeError(
            "Exception from src/infer_request.cpp:246:\nCheck 'ok' failed at x.cpp:1:\nthe device was lost\n"
        )

    runner._net._request = SimpleNamespace(
        set_output_tensor=lambda _: None, start_async=lambda *_, **__: None, wait=broken
    )
    lr = picture(8, 5)
    with pytest.raises(
        EngineError, match=f"{runner.name} failed on 8 x 5 pixels: the device was lost; try a smaller tile"
    ):
        runner(lr)
    np.testing.assert_allclose(runner(lr), expected(lr), rtol=0, atol=1e-5)


def test_any_size_in_any_order_from_one_compilation() -> None:
    runner = OpenVinoRunner(small(), threads=1)
    assert runner._net is not None
    request = runner._net._request
    for seed, (height, width) in enumerate([(8, 9), (20, 7), (8, 9), (1, 30), (8, 10), (20, 7)]):
        lr = picture(height, width, seed)
        np.testing.assert_allclose(runner(lr), expected(lr), rtol=0, atol=1e-5)
    assert runner._net._request is request


def test_tiles_are_equal_to_the_whole_to_rounding() -> None:
    graph = small()
    runner = OpenVinoRunner(graph, threads=1)
    lr = picture(40, 33)
    whole = runner(lr)
    reach = graph.receptive_field
    upper = runner(np.ascontiguousarray(lr[:, :, :25]))
    np.testing.assert_allclose(upper[:, :, : 2 * (25 - reach)], whole[:, :, : 2 * (25 - reach)], rtol=0, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_what_it_says_or_refused(precision: str) -> None:
    """Which processors have it differs: those that have not compute in another, without a word of OpenVINO's."""
    try:
        runner = OpenVinoRunner(small(), threads=1, precision=precision)  # type: ignore[arg-type]
    except EngineError as error:
        others = {"fp32", "fp16", "bf16"} - {precision}
        words = [f"computes in {other} on this CPU, not in {precision}; choose another precision" for other in others]
        assert any(text in str(error) for text in words), error
        return
    lr = picture(12, 12)
    difference = np.abs(runner(lr) - expected(lr)).max()
    assert 1e-5 < difference < 3e-2


def test_float32_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with AMX, played: OpenVINO would take bfloat16 unless told, and an old one might though told."""
    net = engine._Net(None, None, "CPU", "fp32", 3)
    assert net._settings == {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": 3,
    }
    assert "INFERENCE_NUM_THREADS" not in engine._Net(None, None, "GPU", "fp16", 3)._settings
    monkeypatch.setattr(engine._Net, "compile", lambda self: "bf16")
    with pytest.raises(EngineError, match="computes in bf16 on this CPU, not in fp32"):
        OpenVinoRunner(small(), threads=1)


@pytest.mark.parametrize(
    ("device", "present", "target"),
    [
        ("auto", ["CPU", "GPU"], "CPU"),
        ("gpu", ["CPU", "GPU"], "GPU"),
        ("gpu:0", ["CPU", "GPU"], "GPU.0"),
        ("gpu", ["CPU", "GPU.0", "GPU.1"], "GPU"),
        ("gpu:1", ["CPU", "GPU.0", "GPU.1"], "GPU.1"),
        ("gpu.1", ["CPU", "GPU.0", "GPU.1"], "GPU.1"),
        ("npu", ["CPU", "NPU"], "NPU"),
        ("gpu", ["CPU"], None),
        ("gpu:1", ["CPU", "GPU"], None),
        ("cpu:0", ["CPU", "GPU.0"], None),
        ("quantum", ["CPU", "NPU"], None),
    ],
)
def test_devices(device: str, present: list[str], target: str | None) -> None:
    if target is not None:
        assert engine._target(device, present) == target
        return
    found = ", ".join(present).lower().replace(".", ":")
    with pytest.raises(EngineError, match=f"OpenVINO does not find device '{device}', only {found}"):
        engine._target(device, present)


def test_a_file_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_bytes(small()))
    opened = OpenVinoFile(path, threads=1)
    for lr in (picture(9, 14), picture(5, 6)):
        np.testing.assert_allclose(opened(lr), expected(lr), rtol=0, atol=1e-5)
    opened.close()
    with pytest.raises(EngineError, match="closed"):
        opened(picture(5, 6))
    path.write_bytes(b"no model")
    with pytest.raises(EngineError, match=r"openvino .* rejected m\.onnx: "):
        OpenVinoFile(path)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="engine 'openvino' has precisions fp32, fp16, bf16; got 'int8'"):
        OpenVinoRunner(small(), precision="int8")  # type: ignore[arg-type]


# A telemetry package that would tell: the real one opens a connection in a process that outlives this one.
_TELLTALE = """
from pathlib import Path
Path(__file__).with_name("told").touch()
raise ImportError
"""


@pytest.mark.slow
def test_the_import_sends_no_telemetry(tmp_path: Path) -> None:
    """Of openvino-telemetry nothing is imported; later it can be, by whoever wants it. The control: openvino alone does
    import it.
    """
    folder = tmp_path / "openvino_telemetry"
    folder.mkdir()
    (folder / "__init__.py").write_text(_TELLTALE)
    program = "import sys; sys.path.insert(0, sys.argv[1]); sys.path.insert(0, sys.argv[2])\n"
    root = str(REPOSITORY)
    ours = program + "import upres.engines.openvino\nassert 'openvino_telemetry' not in sys.modules"
    for text, told in ((ours, False), (program + "import openvino", True)):
        subprocess.run([sys.executable, "-c", text, root, str(tmp_path)], check=True, timeout=60)
        assert (folder / "told").exists() is told


STOPPED = """
import faulthandler
import signal

import numpy as np

faulthandler.enable()  # a signal stack, as test runners have it
from tests.tiny import compact
from upres.engines.openvino import OpenVinoRunner

runners = [OpenVinoRunner(compact(2), threads=1) for _ in range(3)]
for runner in runners:
    runner(np.zeros((1, 3, 20, 24), np.float32))
while runners:  # the first made is the first freed, as trunk and tail of a network are
    CLOSE
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.slow
@pytest.mark.parametrize("freed", ["runners.pop(0).close()", "del runners[0], runner; runner = None"])
def test_ctrl_c_is_heard_after_networks_were_freed_in_any_order(freed: str) -> None:
    """OpenVINO leaves a signal stack that is gone, and the next signal would be the end of the process."""
    program = STOPPED.replace("CLOSE", freed)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
