"""Fine-tuning: which network a model is, which pictures are set aside, and what the comparison says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.training.made import draw_photographs
from upres.errors import DataError, ModelError, UsageError
from upres.images.io import Picture, read_picture, write_picture
from upres.images.resize import imresize
from upres.models.load import load_model
from upres.training.finetune import (
    adversarial,
    config_for,
    set_aside,
    shape_of,
    steps_within,
)
from upres.training.networks.generators import build_generator


@pytest.mark.parametrize("name", ["compact-x4", "photo-x4"])
def test_the_settings_of_a_model_are_read_off_its_weights(name: str) -> None:
    model = load_model(name)
    net = build_generator(config_for(model, 16))
    state = model.state_dict()
    import torch

    net.load_plain({key: torch.from_numpy(np.array(array)) for key, array in state.items()})
    for key, tensor in net.merged_state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), state[key], atol=1e-6)


def test_models_that_cannot_be_trained_or_would_be_spoilt_are_known(tmp_path: Path) -> None:
    from tests.oracles.networks import RRDBNet, state_of
    from upres.weights.read import write_safetensors

    write_safetensors(
        tmp_path / "r.safetensors", state_of(RRDBNet(colors=3, width=8, growth=4, blocks=2, ups=2, unshuffle=1)), {}
    )
    shape = shape_of(load_model(tmp_path / "r.safetensors"))
    assert shape == {"scale": 4, "channels": 3, "network": "rrdb", "width": 8, "growth": 4, "depth": 2}
    assert adversarial(load_model("compact-gan-x4")) and not adversarial(load_model("compact-x4"))
    with pytest.raises(ModelError, match=r"is a chain of 2 networks|cannot train"):
        shape_of(load_model("compact-x2>compact-x2"))


def test_a_fifth_is_set_aside_and_pairs_are_registered(tmp_path: Path) -> None:
    whole = draw_photographs(tmp_path / "whole", 7, 128, 136)
    for folder in ("hr", "lr"):
        (tmp_path / folder).mkdir()
    for path in whole.iterdir():
        levels = np.rint(read_picture(path).pixels * 255).astype(np.uint8)
        small = imresize(levels[4:124, 2:122], 0.5)  # LR begins 2 pixels lower and 1 further right than HR
        write_picture(Picture(levels[:120, :120] / np.float32(255)), tmp_path / "hr" / path.name)
        write_picture(Picture(small / np.float32(255)), tmp_path / "lr" / path.name)
    said: list[str] = []
    patch = set_aside(tmp_path / "hr", tmp_path / "lr", tmp_path / "out", 2, said.append)
    assert patch == 48 and "LR was 2.2" in said[0] and "4 pictures to train on, 3 set" in said[1]
    held, trained = (sorted(p.name for p in (tmp_path / "out" / one / "hr").iterdir()) for one in ("held_out", "train"))
    assert held == ["00002_2.png", "00003_3.png", "00004_4.png"] and len(trained) == 4 and not set(held) & set(trained)
    for one in ("train", "held_out"):
        for path in (tmp_path / "out" / one / "hr").iterdir():
            hr, lr = (
                np.rint(read_picture(p).pixels * 255).astype(np.uint8)
                for p in (path, path.parent.parent / "lr" / path.name)
            )
            inner = (slice(3, -3), slice(3, -3))
            assert np.abs(imresize(hr, 0.5)[inner].astype(float) - lr[inner]).mean() < 1.0


def test_without_lr_files_pictures_are_linked_and_broken_ones_named(tmp_path: Path) -> None:
    folder = draw_photographs(tmp_path / "hr", 7)
    (folder / "0.png").write_bytes(b"torn")
    said: list[str] = []
    assert set_aside(folder, None, tmp_path / "out", 2, said.append) == 32
    assert "left out" in said[0] and "0.png" in said[0]
    assert (tmp_path / "out" / "train" / "hr" / "00001_1.png").read_bytes() == (folder / "1.png").read_bytes()
    for path in list(folder.iterdir())[:2]:
        path.unlink()
    with pytest.raises(DataError, match="holds 5 pictures: fine-tuning needs at least 6, 3 of them set aside"):
        set_aside(folder, None, tmp_path / "other", 2, said.append)


def test_the_steps_fit_into_the_time() -> None:
    assert steps_within(30, 0.5) == 3060
    with pytest.raises(UsageError, match=r"`minutes=1` is enough for 5 steps of 9.0 s, .* give at least 4"):
        steps_within(1, 9.0)


def test_an_adversarial_fine_tuning_takes_the_losses_of_the_recipe_at_gentler_rates() -> None:
    config, pixels = (config_for(load_model("compact-gan-x4"), 24, gan=gan) for gan in (True, False))
    assert config.adversarial and not pixels.adversarial and config.network == "compact" and not config.branched
    assert (config.discriminator, config.features, config.gan_loss) == ("patch", "vgg19-conv3_1", "relativistic")
    assert config.judge not in ("", config.features) and config.learning_rate == pixels.learning_rate / 2
