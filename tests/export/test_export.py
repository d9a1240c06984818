"""Each family in each format, run by other programs' engines and compared with torch; and that a failure leaves
nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import nn

from tests import REPOSITORY
from tests.oracles.ecbsr import ECBSR
from tests.oracles.ecbsr import randomized as randomized_ecbsr
from tests.oracles.networks import RRDBNet, SRVGGNetCompact, old_esrgan_keys, randomized, state_of
from tests.oracles.span import SPAN
from tests.tiny import compact_file, compact_state, gray_graph
from upres.engines.ncnn.runner import NcnnRunner
from upres.engines.onnx.opaque import OnnxProgram
from upres.export import compare
from upres.export.export import FORMATS, Exported, export_model
from upres.models.load import load_model
from upres.weights.read import write_safetensors

Array = np.ndarray
PAGE = REPOSITORY / "docs" / "export.md"
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "compact-x3": lambda: SRVGGNetCompact(width=8, convs=2, scale=3),
    "compact-gray": lambda: SRVGGNetCompact(colors=1, width=8, convs=1, scale=2),
    "rrdb-x1": lambda: RRDBNet(width=8, growth=4, blocks=1, ups=0),
    "rrdb-x2": lambda: RRDBNet(width=8, growth=4, blocks=1, ups=1),
    "rrdb-x4": lambda: RRDBNet(width=8, growth=4, blocks=2),
    "rrdb-x2-unshuffle": lambda: RRDBNet(width=8, growth=4, blocks=1, unshuffle=2),
    "rrdb-x1-unshuffle": lambda: RRDBNet(width=8, growth=4, blocks=1, unshuffle=4),
    "span-x2": lambda: SPAN(width=8, scale=2),
}


def export(model: str, format: str, target: str | Path | None = None, **settings: Any) -> Exported:
    return export_model(model, target, format=format, **settings)


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_LARGEST_PX", 28)


def saved(folder: Path, name: str) -> tuple[Path, nn.Module]:
    """A model file in a folder of its own, and the module that it is of."""
    module = randomized(NETWORKS[name](), 3)
    (folder / "in").mkdir(exist_ok=True)
    path = folder / "in" / f"{name}.safetensors"
    write_safetensors(path, state_of(module), {})
    return path, module


def by_torch(module: nn.Module, lr: Array) -> Array:
    with torch.no_grad():
        return module(torch.from_numpy(lr)).numpy()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def noise(channels: int, height: int, width: int) -> Array:
    return np.random.default_rng(7).random((1, channels, height, width), dtype=np.float32)


def by_onnxruntime(path: Path, lr: Array) -> Array:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["sr"], {"lr": lr})[0]


def by_ncnn(param: Path, lr: Array) -> Array:
    """As Upscayl's engine does it: files by their paths, blobs by their names."""
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_vulkan_compute = False
    assert net.load_param(str(param)) == 0 and net.load_model(str(param.with_suffix(".bin"))) == 0
    extractor = net.create_extractor()
    assert extractor.input("data", ncnn.Mat(lr[0]).clone()) == 0
    failed, mat = extractor.extract("output")
    assert failed == 0
    return np.array(mat)[None]


def by_module(module: nn.Module, path: Path, lr: Array) -> Array:
    """The torch module, loaded strictly with what the file holds."""
    module.load_state_dict(
        {name: torch.from_numpy(np.array(array, np.float32)) for name, array in load_file(path).items()}
    )
    return by_torch(module, lr)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_family_in_every_format_is_what_torch_computes(name: str, tmp_path: Path) -> None:
    path, module = saved(tmp_path, name)
    channels = 1 if name == "compact-gray" else 3
    made = {kind: export(str(path), kind, tmp_path, threads=1).files[0] for kind in FORMATS}
    for height, width in ((24, 20), (4, 36)):
        lr = noise(channels, height, width)
        expected = by_torch(module, lr)
        atol = 2e-5 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(by_onnxruntime(made["onnx"], lr), expected, rtol=0, atol=atol)
        np.testing.assert_allclose(by_ncnn(made["ncnn"], lr), expected, rtol=0, atol=atol)
        np.testing.assert_allclose(
            by_module(NETWORKS[name]().eval(), made["safetensors"], lr), expected, rtol=0, atol=atol
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rrdb-x2-unshuffle", "span-x2"])
def test_half_is_half_the_size_and_nearly_the_same_picture(name: str, tmp_path: Path) -> None:
    path, module = saved(tmp_path, name)
    lr = noise(3, 16, 20)
    expected = by_torch(module, lr)
    runs = {
        "onnx": by_onnxruntime,
        "ncnn": by_ncnn,
        "safetensors": lambda file, x: by_module(NETWORKS[name]().eval(), file, x),
    }
    for kind, run in runs.items():
        whole, half = (export(str(path), kind, tmp_path, half=half, threads=1).files for half in (False, True))
        assert half[0].name == whole[0].name.replace(".", "-fp16.")
        assert half[-1].stat().st_size < 0.8 * whole[-1].stat().st_size
        error = np.abs(run(half[0], lr) - expected).max() / max(1.0, np.abs(expected).max())
        assert 1e-7 < error < 4 / 255  # other numbers, and near


def test_ecbsr_keeps_the_names_that_it_came_with(tmp_path: Path) -> None:
    state = state_of(randomized_ecbsr(ECBSR(width=6, blocks=1), 1))
    write_safetensors(tmp_path / "m.safetensors", state, {})
    found = load_file(
        export(str(tmp_path / "m.safetensors"), "safetensors", tmp_path / "new.safetensors", threads=1).files[0]
    )
    assert found.keys() == state.keys()


def test_report_tells_what_was_compared_and_of_which_files(tmp_path: Path) -> None:
    path, _ = saved(tmp_path, "rrdb-x2-unshuffle")
    done = export(str(path), "onnx", tmp_path, threads=1)
    assert done.report == tmp_path / "rrdb-x2-unshuffle.onnx.json"
    text = done.report.read_text()
    report = json.loads(text)
    assert list(report) == sorted(report) and text.count("\n") > 20
    assert report["model"] == str(path) and report["format"] == "onnx" and report["numbers"] == "float32"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["source"] == [{"file": path.name, "license": "unknown", "sha256": digest, "share": 1.0}]
    data = done.files[0].read_bytes()
    assert report["files"] == [
        {"bytes": len(data), "file": "rrdb-x2-unshuffle.onnx", "sha256": hashlib.sha256(data).hexdigest()}
    ]
    assert report["reference"].startswith("ncnn ") and report["not_run"] == []
    assert {check["engine"].split()[0] for check in report["checks"]} == {"onnxruntime", "openvino"}
    assert len({(check["height"], check["width"]) for check in report["checks"]}) == 3
    assert all(
        check["height"] % 2 == 0 and check["largest"] < 1e-5 < 90 < check["psnr_db"] for check in report["checks"]
    )
    assert (
        report["network"]["scale"] == 2
        and report["network"]["alignment"] == 2
        and report["network"]["family"] == "rrdb"
    )
    assert {"upres", "onnx", "onnxruntime", "openvino", "ncnn", "numpy", "python"} <= report["versions"].keys()
    assert report["tolerance"] == {"largest": 1e-3, "least_psnr_db": 90.0}


def test_equal_exports_are_equal_files(tmp_path: Path) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    for kind in FORMATS:
        digests: list[list[str]] = []
        for _ in range(2):
            (tmp_path / "to").mkdir()
            written = export(str(path), kind, tmp_path / "to", threads=1).files
            digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in written])
            shutil.rmtree(tmp_path / "to")
        assert digests[0] == digests[1]


def test_a_blend_is_one_network(tmp_path: Path) -> None:
    a, b = (compact_file(tmp_path / f"{name}.safetensors", seed=seed) for name, seed in (("a", 1), ("b", 2)))
    done = export(f"{a}:0.75,{b}:0.25", "safetensors", tmp_path, threads=1)
    assert done.files[0].name == "a_0.75_b_0.25.safetensors"
    first, second = compact_state(seed=1), compact_state(seed=2)
    for name, tensor in load_file(done.files[0]).items():
        np.testing.assert_allclose(tensor, 0.75 * first[name] + 0.25 * second[name], rtol=1e-5, atol=1e-8)
    report = json.loads(done.report.read_text())
    assert [(source["file"], source["share"]) for source in report["source"]] == [
        ("a.safetensors", 0.75),
        ("b.safetensors", 0.25),
    ]


def test_a_house_model_carries_its_license(tmp_path: Path) -> None:
    done = export("compact-x2", "onnx", tmp_path, threads=1)
    facts = OnnxProgram(done.files[0], threads=1)._model.metadata_props
    assert {"license", "scale", "family", "alignment", "upres.source.sha256"} <= {entry.key for entry in facts}
    assert json.loads(done.report.read_text())["source"][0]["license"] == "Apache-2.0"
    assert done.notes == ()


@pytest.mark.parametrize(("name", "rounding"), [("compact-x3", 0.0), ("rrdb-x4", 4e-6)])
def test_ncnn_files_of_a_known_family_get_their_names_back(tmp_path: Path, name: str, rounding: float) -> None:
    path, module = saved(tmp_path, name)
    param = export(str(path), "ncnn", tmp_path, threads=1).files[0]
    again = export(str(param), "safetensors", tmp_path, threads=1)
    found = load_file(again.files[0])
    assert found.keys() == module.state_dict().keys()
    for key, tensor in found.items():
        np.testing.assert_allclose(tensor, module.state_dict()[key].numpy(), rtol=0, atol=rounding)
    assert len(json.loads(again.report.read_text())["source"]) == 2


def test_ncnn_files_of_our_own_become_onnx(tmp_path: Path) -> None:
    """Their blobs are called `data` and `output` inside, which must not collide with anything."""
    path, module = saved(tmp_path, "rrdb-x2")
    first = export(str(path), "ncnn", tmp_path, threads=1).files[0]
    lr = noise(3, 12, 15)
    other = export(str(first), "onnx", tmp_path, threads=1).files[0]
    np.testing.assert_allclose(by_onnxruntime(other, lr), by_torch(module, lr), rtol=0, atol=1e-5)
    again = export(str(first), "ncnn", tmp_path / "again-x2.param", threads=1).files[0]
    np.testing.assert_allclose(by_ncnn(again, lr), by_torch(module, lr), rtol=0, atol=1e-5)


def test_old_names_become_those_of_basicsr(tmp_path: Path) -> None:
    module = randomized(NETWORKS["rrdb-x4"](), 3)
    write_safetensors(tmp_path / "old.safetensors", old_esrgan_keys(state_of(module), 2, 2), {})
    found = load_file(
        export(str(tmp_path / "old.safetensors"), "safetensors", tmp_path / "new.safetensors", threads=1).files[0]
    )
    assert found.keys() == module.state_dict().keys()
    assert all(np.array_equal(found[name], tensor.numpy()) for name, tensor in module.state_dict().items())


def test_gray_graphs_have_one_channel_outside_too() -> None:
    words = [name for name, lr in compare.pictures(gray_graph()) if lr.shape[1] == 1]
    assert words == ["the sample", "the sample, odd sides", "the sample, gray"]


@pytest.mark.parametrize("number", range(3))
def test_the_examples_of_the_page_run(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example_photo: Path
) -> None:
    """And give the same picture as upres does."""
    monkeypatch.chdir(tmp_path)
    lr = Image.open(example_photo).crop((100, 60, 148, 92))
    lr.save("photo.png")
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[number]
    if "upres" not in code:
        export("compact-x4", "onnx", threads=1)
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # the page's own code
    if "upres" in code:
        assert left(tmp_path) == ["compact-x4-fp16.onnx", "compact-x4-fp16.onnx.json", "photo.png"]
        return
    expected = NcnnRunner(load_model("compact-x4").graph, threads=1)(
        np.asarray(lr, np.float32).transpose(2, 0, 1)[None] / np.float32(255)
    )
    found = np.asarray(Image.open("large.png"))
    np.testing.assert_allclose(found, expected[0].transpose(1, 2, 0).clip(0, 1) * 255, rtol=0, atol=0.502)
