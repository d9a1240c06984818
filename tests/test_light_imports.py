"""What a process pays for: `import upres` and `upres --help` load no network engine, no image codec and no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "ncnn", "onnxruntime", "onnx", "pyvips", "scipy", "tensorboard", "skimage", "httpx", "matplotlib")


def loaded_by(program: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after `program`."""
    program += "\nimport sys\nprint('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_the_probe_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import numpy")


def test_import_upres_loads_nothing_heavy() -> None:
    loaded = loaded_by("import upres")
    assert "upres" in loaded
    assert loaded.isdisjoint((*HEAVY, "typer", "rich", "numpy"))


def test_the_public_names_can_be_listed_without_loading_them() -> None:
    assert loaded_by("import upres; dir(upres)").isdisjoint((*HEAVY, "numpy"))


@pytest.mark.parametrize("verb", ["", "upscale", "evaluate", "interpolate", "train", "degrade", "prepare", "models", "doctor", "export"])
def test_help_loads_nothing_heavy(verb: str) -> None:
    arguments = ["upres", *([verb] if verb else []), "--help"]
    program = f"import sys\nsys.argv = {arguments!r}\nfrom upres.__main__ import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    assert loaded_by(program).isdisjoint((*HEAVY, "numpy", "rich"))


@pytest.mark.parametrize(
    "module",
    (
        *("evaluate", "pairs", "upscale", "batch", "catalog", "weights", "graph", "architectures", "interpolate", "resize", "metrics"),
        *("degrade", "kernels", "compose", "api"),
    ),
)
def test_the_core_loads_no_torch(module: str) -> None:
    assert loaded_by(f"import upres.{module}").isdisjoint(("torch", "onnxruntime", "onnx", "typer", "scipy", "skimage", "httpx"))


@pytest.mark.parametrize("module", ["graph", "architectures", "engines", "weights"])
def test_networks_know_nothing_of_pictures(module: str) -> None:
    assert "pyvips" not in loaded_by(f"import upres.{module}")
