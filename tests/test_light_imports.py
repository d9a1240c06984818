"""What a process pays for: `import upres` and `upres --help` load no network engine, no image codec and no torch.

Several imports and verbs share a process, which notes after each what is new: if none of them loads a library, each
alone does not either.
"""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = (
    *(
        "torch",
        "ncnn",
        "onnxruntime",
        "onnx",
        "openvino",
        "pyvips",
        "scipy",
        "tensorboard",
        "skimage",
        "httpx",
        "matplotlib",
        "cv2",
        "rasterio",
        "pydicom",
        "nibabel",
        "PIL",
        "pillow_heif",
        "imagecodecs",
        "rawpy",
        "av",
    ),
    *("safetensors", "platformdirs", "filelock", "packaging", "starlette", "uvicorn", "prometheus_client"),
)
VERBS = (
    "upscale",
    "jobs",
    "verify",
    "video",
    "evaluate",
    "compare",
    "interpolate",
    "train",
    "runs",
    "finetune",
    "degrade",
    "prepare",
    "models",
    "doctor",
    "export",
    "inspect",
    "serve",
    "remote",
    "ui",
)
CORE = (
    *("evaluation.evaluate", "images.pairing", "images.resize", "upscaling.enlarge", "upscaling.upscaler", "batch.run"),
    *("models.catalog", "models.expression", "weights.read", "graph.graph", "graph.architectures", "graph.interpolate"),
    *("metrics.psnr_ssim", "degradation.apply", "degradation.kernels", "inspection.inspect", "upscaling.choose_model"),
)
NETWORKS = ("graph.graph", "graph.architectures", "engines", "weights.read")

_PROGRAM = """
import json, sys
from contextlib import redirect_stdout
from io import StringIO
loaded, known = {}, set(sys.modules)
for step in json.loads(sys.argv[1]):
    try:
        with redirect_stdout(StringIO()):
            exec(step)
    except SystemExit as end:
        assert not end.code, (step, end.code)
    loaded |= {name.split(".")[0]: step for name in set(sys.modules) - known}
    known = set(sys.modules)
print(json.dumps(loaded))
"""


def loaded_by(*steps: str) -> dict[str, str]:
    """The top-level packages that a fresh interpreter loads with the steps, one after the other, and the last step that
    loads of each.
    """
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(steps)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def among(names: tuple[str, ...], loaded: dict[str, str]) -> dict[str, str]:
    return {name: step for name, step in loaded.items() if name in names}


def test_the_probe_sees_what_is_loaded() -> None:
    assert among(HEAVY, loaded_by("import upres", "import upres.images.io", "import wave")) == {
        "pyvips": "import upres.images.io"
    }


def test_import_upres_loads_nothing_heavy_and_its_public_names_can_be_listed() -> None:
    loaded = loaded_by("import upres", "dir(upres)")
    assert "upres" in loaded
    assert among((*HEAVY, "typer", "rich", "numpy"), loaded) == {}


def test_help_and_version_load_nothing_heavy() -> None:
    calls = [["--version"], ["--help"], *([verb, "--help"] for verb in VERBS)]
    loaded = loaded_by(*(f"sys.argv = {['upres', *call]!r}\nfrom upres.__main__ import main\nmain()" for call in calls))
    assert "typer" in loaded
    assert among((*HEAVY, "numpy", "rich"), loaded) == {}


def test_the_core_loads_no_torch() -> None:
    loaded = loaded_by(*(f"import upres.{module}" for module in CORE))
    assert "numpy" in loaded
    assert among(("torch", "onnxruntime", "onnx", "openvino", "typer", "scipy", "skimage", "httpx"), loaded) == {}


def test_networks_know_nothing_of_pictures() -> None:
    assert among(("pyvips",), loaded_by(*(f"import upres.{module}" for module in NETWORKS))) == {}
