"""A network that only spandrel knows: probed in a process of its own, run by torch. The package itself is stood for by
a small fake.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.fake_spandrel import install
from upres.errors import ModelError, UsageError
from upres.graph.opaque import OpaqueModel
from upres.models.load import load_model
from upres.upscaling.upscaler import Upscaler


@pytest.fixture
def with_spandrel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For this process and for the probe's; what was imported of it goes with it."""
    (tmp_path / "site").mkdir()
    folder = install(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.delitem(sys.modules, "upres.engines.opaque.spandrel", raising=False)
    yield
    for name in ("spandrel", "upres.engines.opaque.spandrel"):
        sys.modules.pop(name, None)


def kernel() -> np.ndarray:
    """Half of a pixel and an eighth of each of its four neighbors."""
    weight = np.zeros((3, 3, 3, 3), np.float32)
    weight[np.arange(3), np.arange(3)] = np.array([[0, 0.125, 0], [0.125, 0.5, 0.125], [0, 0.125, 0]], np.float32)
    return weight


@pytest.mark.slow
@pytest.mark.usefixtures("with_spandrel")
def test_what_spandrel_knows_is_run(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"doubler.weight": kernel()}, path)
    model = load_model(str(path)).networks[0]
    assert isinstance(model, OpaqueModel)
    assert (model.kind, model.family, model.scale, model.receptive_field, model.macs_per_pixel) == (
        "spandrel",
        "Doubler",
        2,
        1,
        81.0,
    )
    what = "m.safetensors is a Doubler network, run by spandrel"
    assert model.notes[0].startswith(f"{what}: scale 2, 3 channels, values 0 to 1, receptive field 1 px")
    lr = np.random.default_rng(0).random((20, 14, 3), dtype=np.float32)
    framed = np.pad(lr, ((1, 1), (1, 1), (0, 0)))
    expected = 0.5 * lr + 0.125 * (framed[:-2, 1:-1] + framed[2:, 1:-1] + framed[1:-1, :-2] + framed[1:-1, 2:])
    for tile_px in (None, 8):
        found = Upscaler(model, threads=1, tile_px=tile_px).upscale_array(lr)
        np.testing.assert_allclose(found, expected.repeat(2, 0).repeat(2, 1), rtol=0, atol=1e-6)
    with pytest.raises(UsageError, match="runs on torch alone"):
        Upscaler(model, engine="ncnn")


@pytest.mark.slow
@pytest.mark.usefixtures("with_spandrel")
def test_what_spandrel_does_not_know_either(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"other.weight": kernel()}, path)
    with pytest.raises(
        ModelError, match=r"m.safetensors: spandrel does not know this architecture either \(no architecture fits\)"
    ):
        load_model(str(path))
