"""The catalog: names, paths, nearest names, and house models that are what their cards say."""

from __future__ import annotations

import hashlib
import os
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file
from upres.errors import ModelError
from upres.models import catalog
from upres.models.catalog import MODELS, ModelCard, default_model, find, load_graph, resolve
from upres.models.model import known_models
from upres.weights.read import write_safetensors


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user of this machine has added takes no part."""
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """A catalog of one house model, `compact-x2`, that lies in tmp_path/models."""
    folder = tmp_path / "models"
    folder.mkdir()
    path = compact_file(folder / "compact-x2.safetensors", 2)
    card = replace(MODELS["compact-x2"], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(catalog, "FOLDER", folder)
    monkeypatch.setitem(MODELS, "compact-x2", card)
    return card


# Red until the trained models are delivered: `upres/models/bundled/*.safetensors`, and their sha256 in the literal.
@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_house_model_is_there_and_is_what_its_card_says(name: str) -> None:
    card = MODELS[name]
    data = (catalog.FOLDER / card.file).read_bytes()
    assert hashlib.sha256(data).hexdigest() == card.sha256
    graph = load_graph(name)
    assert (graph.scale, graph.family, graph.in_channels, graph.out_channels) == (card.scale, card.family, 3, 3)
    assert graph.parameters <= 130_000 and len(data) < 400_000


def test_cards_are_complete_and_frozen() -> None:
    for name, card in MODELS.items():
        assert card.name == name and card.file == f"{name}.safetensors" and card.scale in (2, 4)
        assert all((card.license, card.family, card.purpose, card.training_data))
        with pytest.raises(FrozenInstanceError):
            card.scale = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("factor", "name"), [(0.5, "compact-x2"), (1.5, "compact-x2"), (2, "compact-x2"), (2.01, "compact-x4"), (16, "compact-x4")]
)
def test_the_default_follows_the_factor(factor: float, name: str) -> None:
    assert default_model(factor) == name


def test_a_house_model_resolves_and_loads(house: ModelCard) -> None:
    assert resolve("compact-x2") == catalog.FOLDER / house.file
    assert (load_graph("compact-x2").scale, load_graph("compact-x2").family) == (2, "compact")


def test_a_changed_house_model_is_refused(house: ModelCard) -> None:
    path = catalog.FOLDER / house.file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for use in (resolve, load_graph):
        with pytest.raises(
            ModelError, match=rf"house model compact-x2: .* has the SHA-256 [0-9a-f]{{64}}; expected {house.sha256}.*[Ii]nstall"
        ):
            use("compact-x2")


def test_a_missing_house_model_is_refused(house: ModelCard) -> None:
    (catalog.FOLDER / house.file).unlink()
    with pytest.raises(ModelError, match=r"house model compact-x2: its file .* cannot be read \(No such file.*Install upres again"):
        resolve("compact-x2")


def test_a_house_model_without_a_sha256_in_its_card_is_refused(house: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "compact-x2", replace(house, sha256=""))
    with pytest.raises(ModelError, match=r"has the SHA-256 .*; expected one"):
        resolve("compact-x2")


def test_an_unknown_name_gets_the_nearest_and_the_list() -> None:
    with pytest.raises(
        ModelError, match=r"'compct-x4'\. Did you mean compact-x4( or [^ ]+)*\? House models: compact-gan-x4, compact-wild"
    ):
        resolve("compct-x4")
    with pytest.raises(ModelError, match=r"'zebra'\. House models: .*; `upres models list` has all; or give the path") as caught:
        resolve("zebra")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("meant", "name"), [("realesrgan_x4plus", "RealESRGAN_x4plu"), ("4x-UltraSharp", "ultrasharp4x"), ("4x-Remacri", "4x_remacri")]
)
def test_the_nearest_name_is_found_in_any_case(meant: str, name: str) -> None:
    with pytest.raises(ModelError, match=f"(?i)did you mean .*{meant}"):
        resolve(name)


def test_names_are_those_of_any_case_and_every_alias() -> None:
    assert find("COMPACT-x4") is MODELS["compact-x4"]
    assert resolve("Compact-X4") == resolve("compact-x4")
    assert find("realesrgan-X4PLUS") == find("4x-realesrgan-x4plus") == known_models()["RealESRGAN_x4plus"]
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
    assert load_graph(str(path)).scale == 4
    monkeypatch.chdir(tmp_path)
    assert resolve("mine.safetensors") == Path("mine.safetensors")
    for missing in ("none.pth", "./none", f"folder{os.sep}none", "none.SAFETENSORS"):
        with pytest.raises(ModelError, match=r"name a house model: compact-gan-x4, compact-wild-x4, compact-x2, "):
            resolve(missing)


def test_an_unknown_network_is_refused_with_the_file_and_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    write_safetensors(path, {"strange.weight": np.ones((3, 3), np.float32)}, {})
    with pytest.raises(ModelError, match=r"model .*other\.safetensors: unknown network: .*strange\.weight"):
        load_graph(str(path))


def test_real_weights_load(assets: Path) -> None:
    graph = load_graph(str(assets / "weights" / "realesr-animevideov3.pth"))
    assert (graph.scale, graph.family) == (4, "compact")
