"""`upres interpolate` as its users run it, and the network that it writes in `upres upscale -n`."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file, compact_state, noise, picture
from upres.graph.architectures import graph_from_state_dict
from upres.images.io import read_picture, write_picture
from upres.models.catalog import MODELS, resolve
from upres.upscaling.upscaler import Upscaler
from upres.weights.read import read_weights

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two models of one shape in it."""
    compact_file(tmp_path / "psnr.safetensors", seed=1)
    compact_file(tmp_path / "gan.safetensors", seed=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(upres: Run) -> Run:
    return partial(upres, "interpolate")


def metadata(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack_from("<Q", data)[0]])["__metadata__"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_holds_the_network_and_says_where_it_comes_from(folder: Path, run: Run) -> None:
    out, err = run("psnr.safetensors", "gan.safetensors", "--alpha", 0.25, "-o", "between.safetensors")
    assert (out, err) == ("between.safetensors\n", "")
    assert names(folder) == ["between.safetensors", "gan.safetensors", "psnr.safetensors"]
    a, b = compact_state(seed=1), compact_state(seed=2)
    for name, tensor in read_weights(folder / "between.safetensors").items():
        assert tensor.dtype == np.float32
        np.testing.assert_allclose(tensor, 0.75 * a[name] + 0.25 * b[name], rtol=1e-6, atol=1e-8)
    facts = metadata(folder / "between.safetensors")
    assert facts["alpha"] == "0.25"
    for letter, name in (("a", "psnr.safetensors"), ("b", "gan.safetensors")):
        assert facts[f"{letter}.file"] == name
        assert facts[f"{letter}.sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_the_name_and_the_share_have_defaults(folder: Path, run: Run) -> None:
    out, _ = run("psnr.safetensors", "gan.safetensors")
    assert out == "psnr_gan_0.80.safetensors\n"
    assert metadata(folder / "psnr_gan_0.80.safetensors")["alpha"] == "0.8"


def test_the_network_runs_in_upres_upscale(folder: Path, run: Run, upres: Run) -> None:
    lr = noise(12, 16)
    write_picture(picture(lr), folder / "photo.png")
    run("psnr.safetensors", "gan.safetensors", "--alpha", 0.5, "-o", "half.safetensors")
    upres("upscale", "photo.png", "-n", "half.safetensors", "-o", "sr.png")
    a, b = compact_state(seed=1), compact_state(seed=2)
    mean = Upscaler(
        graph_from_state_dict({name: 0.5 * a[name] + 0.5 * b[name] for name in a}), engine="torch", threads=1
    )
    expected = np.clip(mean.upscale_array(read_picture(folder / "photo.png").pixels), 0.0, 1.0)
    sr = read_picture(folder / "sr.png").pixels
    assert sr.shape == (24, 32, 3)
    np.testing.assert_allclose(sr, expected, rtol=0, atol=0.51 / 255)


def test_house_models_go_by_name(folder: Path, run: Run) -> None:
    out, _ = run("compact-x4", "compact-x4", "--alpha", 0.3)
    assert out == "compact-x4_compact-x4_0.30.safetensors\n"
    house, mixed = read_weights(resolve("compact-x4")), read_weights(folder / out.strip())
    assert all(np.array_equal(mixed[name], tensor) for name, tensor in house.items())
    assert metadata(folder / out.strip())["a.sha256"] == MODELS["compact-x4"].files[0].sha256


def test_what_is_there_is_kept_unless_told_otherwise(folder: Path, run: Run) -> None:
    target = folder / "between.safetensors"
    target.write_bytes(b"mine")
    arguments = ("psnr.safetensors", "gan.safetensors", "-o", target)
    out, err = run(*arguments, code=5)
    assert out == "" and f"{target} exists; use --overwrite" in err
    assert target.read_bytes() == b"mine"
    run(*arguments, "--overwrite")
    assert set(read_weights(target)) == set(compact_state())
    assert names(folder) == ["between.safetensors", "gan.safetensors", "psnr.safetensors"]


def test_a_model_is_never_written_over(folder: Path, run: Run) -> None:
    before = (folder / "gan.safetensors").read_bytes()
    _, err = run("psnr.safetensors", "gan.safetensors", "-o", "gan.safetensors", "--overwrite", code=2)
    assert "is one of the input models; choose another name" in err
    assert (folder / "gan.safetensors").read_bytes() == before


def test_errors_have_their_codes_and_leave_nothing(folder: Path, run: Run) -> None:
    compact_file(folder / "wide.safetensors", width=6)
    a, b = "psnr.safetensors", "gan.safetensors"
    before = names(folder)
    for arguments, code, words in [
        ((a, b, "--alpha", 1.2), 2, "alpha must be in [0, 1], unless extrapolate is set; got 1.2"),
        ((a, b, "--alpha", "nan"), 2, "alpha must be in [0, 1], unless extrapolate is set; got nan"),
        ((a, b, "--alpha", "much"), 2, "--alpha"),
        ((a, b, "-o", "between.pth"), 2, "ends in .safetensors, got between.pth"),
        ((a, b, "-o", folder / "no" / "m.safetensors"), 5, "a folder that exists"),
        (
            (a, "wide.safetensors"),
            4,
            "'body.0.bias' is (4,) in psnr.safetensors and (6,) in wide.safetensors; expected networks",
        ),
        ((a, "srvgg-x4"), 4, "psnr.safetensors is compact x2, srvgg-x4 is compact x4"),
        ((a, "none.safetensors"), 4, "none.safetensors"),
        ((a, "compakt-x4"), 4, "Did you mean compact-x4"),
        ((a,), 2, "B"),
    ]:
        out, err = run(*arguments, code=code)
        assert words in err, err
        assert out == ""
    assert names(folder) == before


def test_extrapolation_has_to_be_asked_for(folder: Path, run: Run) -> None:
    out, _ = run("psnr.safetensors", "gan.safetensors", "--alpha", "-0.5", "--extrapolate")
    a, b = compact_state(seed=1), compact_state(seed=2)
    for name, tensor in read_weights(folder / out.strip()).items():
        np.testing.assert_allclose(tensor, 1.5 * a[name] - 0.5 * b[name], rtol=1e-6, atol=1e-7)
