"""The public names of `upres`: a name is added or taken away here on purpose, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import upres
from tests import REPOSITORY

ERRORS = [
    *(
        "Cancelled",
        "DataError",
        "EngineError",
        "InputError",
        "ModelError",
        "OutOfMemoryError",
        "OutputError",
        "UpresError",
        "UsageError",
    ),
]
TYPES = ["EngineOptions", "Graph", "OutputSize", "Picture", "UpscaleOptions", "Upscaler"]
FUNCTIONS = [
    "export_model",
    "isolated",
    "list_models",
    "load_model",
    "psnr",
    "read_picture",
    "ssim",
    "upscale_file",
    "write_picture",
]
PUBLIC = sorted([*ERRORS, *TYPES, *FUNCTIONS])


def test_the_public_names() -> None:
    assert upres.__all__ == PUBLIC
    assert dir(upres) == sorted([*PUBLIC, "__version__"])


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_had_and_is_documented(name: str) -> None:
    thing = getattr(upres, name)
    if callable(thing):
        assert thing.__doc__
        assert thing.__module__.startswith("upres.")
        assert thing.__name__ == name


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_on_the_page_of_the_api(name: str) -> None:
    assert f"upres.{name}" in (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_exceptions(name: str) -> None:
    assert issubclass(getattr(upres, name), Exception)
    assert (name == "Cancelled") != issubclass(getattr(upres, name), upres.UpresError)


def test_models_are_found_loaded_and_exported_by_public_names(tmp_path: Path) -> None:
    (found,) = [model for model in upres.list_models(family="residual", scale=2, local=True) if model.kind == "bundled"]
    model = upres.load_model(found.name)
    assert isinstance(model.graph, upres.Graph) and model.scale == 2
    done = upres.export_model(model, tmp_path / "net.safetensors")
    lr = np.random.default_rng(1).integers(0, 256, (16, 20, 3), np.uint8)
    first, second = (upres.Upscaler(source, engine="ncnn", threads=1)(lr) for source in (model, done.files[0]))
    assert (
        upres.psnr(first, second, border=2, luma=True) > 60.0
        and upres.ssim(first, second, border=2, luma=False) > 0.999
    )


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'upres' has no attribute 'upscayl'"):
        upres.upscayl  # noqa: B018
