"""The catalog: names, paths, nearest names, and bundled models that are what their descriptions say."""

from __future__ import annotations

import hashlib
import os
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file
from upres.errors import ModelError, UsageError
from upres.models.add import add
from upres.models.catalog import MODELS, find, list_models, resolve
from upres.models.load import load_model
from upres.models.model import downloadable_models, store_folder
from upres.weights.read import write_safetensors


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user of this machine has added takes no part."""
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a bundled model, `compact-x2`, in a folder of its own."""
    folder = tmp_path / "models"
    folder.mkdir()
    path = compact_file(folder / "compact-x2.safetensors", 2)
    model = MODELS["compact-x2"]
    source = replace(model.files[0], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr("upres.models.model.BUNDLED", folder)
    monkeypatch.setitem(MODELS, "compact-x2", replace(model, family="compact", formats=((source,),)))
    return path


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_bundled_model_is_there_and_is_what_its_description_says(name: str) -> None:
    model = MODELS[name]
    assert (model.name, model.kind, model.license, model.page) == (name, "bundled", "Apache-2.0", "")
    assert model.purpose and model.training_data
    (path,) = model.local_files()
    assert path == resolve(name) and hashlib.sha256(path.read_bytes()).hexdigest() == model.files[0].sha256
    graph = load_model(name).graph
    assert (graph.scale, graph.family, graph.in_channels, graph.out_channels) == (model.scale, model.family, 3, 3)
    most = 700_000 if model.family == "residual" else 130_000
    assert graph.parameters <= most and path.stat().st_size < 3 * most
    with pytest.raises(FrozenInstanceError):
        model.scale = 3  # type: ignore[misc]


def test_a_bundled_model_resolves_and_loads(bundled: Path) -> None:
    assert resolve("compact-x2") == bundled
    assert (load_model("compact-x2").scale, load_model("compact-x2").family) == (2, "compact")


def test_a_changed_bundled_model_is_refused(bundled: Path) -> None:
    data = bytearray(bundled.read_bytes())
    expected = hashlib.sha256(data).hexdigest()
    data[-1] ^= 1
    bundled.write_bytes(data)
    for use in (resolve, load_model):
        words = rf"bundled model compact-x2: .* has the SHA-256 [0-9a-f]{{64}}; expected {expected}.*[Ii]nstall"
        with pytest.raises(ModelError, match=words):
            use("compact-x2")


def test_a_missing_bundled_model_is_refused(bundled: Path) -> None:
    bundled.unlink()
    with pytest.raises(
        ModelError, match=r"bundled model compact-x2: its file .* cannot be read \(No such file.*Install upres again"
    ):
        resolve("compact-x2")


def test_all_models_are_listed_and_can_be_narrowed(tmp_path: Path) -> None:
    add(str(compact_file(tmp_path / "mine.safetensors", 2)), license="MIT")
    store_folder().joinpath("BSRGAN.pth").write_bytes(b"here, whatever it is")
    found = {model.name: model for model in list_models()}
    assert list(found) == [*MODELS, "mine", *downloadable_models()]
    assert [found[name].kind for name in ("compact-x4", "mine", "BSRGAN")] == ["bundled", "added", "downloadable"]
    assert [model.name for model in list_models(local=True)] == [*MODELS, "mine", "BSRGAN"]
    assert {model.family for model in list_models(family="ESRGAN")} == {"rrdb"}  # by the name that others use, too
    assert {(model.family, model.scale) for model in list_models(family="compact", scale=2)} == {("compact", 2)}
    assert list_models(scale=3) == []
    with pytest.raises(UsageError, match=r"unknown family 'vdsr'; expected one of compact, residual, rrdb, span"):
        list_models(family="vdsr")


def test_an_unknown_name_gets_the_nearest_and_the_list() -> None:
    with pytest.raises(
        ModelError,
        match=r"'compct-x4'\. Did you mean compact-x4( or [^ ]+)*\? Bundled models: compact-gan-x4, compact-wild",
    ):
        resolve("compct-x4")
    with pytest.raises(
        ModelError, match=r"'zebra'\. Bundled models: .*; `upres models list` shows all models; the path"
    ) as caught:
        resolve("zebra")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("meant", "name"),
    [("realesrgan_x4plus", "RealESRGAN_x4plu"), ("4x-UltraSharp", "ultrasharp4x"), ("4x-Remacri", "4x_remacri")],
)
def test_the_nearest_name_is_found_in_any_case(meant: str, name: str) -> None:
    with pytest.raises(ModelError, match=f"(?i)did you mean .*{meant}"):
        resolve(name)


@pytest.mark.parametrize(
    ("name", "meant"), [("wild", "compact-wild-x4"), ("ultrasha", "4x-UltraSharp"), ("x4plus", "RealESRGAN_x4plus")]
)
def test_a_part_of_a_name_is_enough_for_a_suggestion(name: str, meant: str) -> None:
    with pytest.raises(ModelError, match=rf"unknown model '{name}'\. Did you mean (.* or )?{meant}( or .*)?\? "):
        resolve(name)


def test_names_are_those_of_any_case_and_every_alias() -> None:
    assert find("COMPACT-x4") is MODELS["compact-x4"]
    assert resolve("Compact-X4") == resolve("compact-x4")
    assert find("realesrgan-X4PLUS") == find("4x-realesrgan-x4plus") == downloadable_models()["RealESRGAN_x4plus"]
    assert find("RealESRGAN_x4plus.pth") is None  # a path


def test_a_file_without_folder_and_suffix_gets_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compact_file(tmp_path / "mine")
    with pytest.raises(ModelError, match=r"A file needs its folder or its suffix: \./FILE"):
        resolve("mine")
    assert resolve("./mine") == Path("mine")


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "mine.safetensors", 4)
    assert resolve(str(path)) == path
    assert load_model(str(path)).graph.scale == 4
    monkeypatch.chdir(tmp_path)
    assert resolve("mine.safetensors") == Path("mine.safetensors")
    for missing in ("none.pth", "./none", f"folder{os.sep}none", "none.SAFETENSORS"):
        with pytest.raises(ModelError, match=r"name a bundled model \(compact-gan-x4, compact-wild-x4, compact-x2, "):
            resolve(missing)


def test_an_unknown_network_is_refused_with_the_file_and_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    write_safetensors(path, {"strange.weight": np.ones((3, 3), np.float32)}, {})
    with pytest.raises(ModelError, match=r"model .*other\.safetensors: unknown network: .*strange\.weight"):
        load_model(str(path))


def test_real_weights_load(assets: Path) -> None:
    model = load_model(assets / "weights" / "realesr-animevideov3.pth")
    assert (model.scale, model.family) == (4, "compact")


def test_a_model_file_that_may_not_be_looked_at_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"it cannot be read \(File name too long\)\. Check its path and permissions"):
        resolve(str(tmp_path / ("n" * 300 + ".pth")))
