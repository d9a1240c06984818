"""The stages of a GAN run: its parent, its features, what it leaves behind, and resuming to the same bytes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")


from tests.training.made import draw_photographs, features_file  # noqa: E402
from tests.training.test_loop import CONFIG, _tensors  # noqa: E402
from upres.errors import DataError  # noqa: E402
from upres.training.loop import train  # noqa: E402
from upres.training.plan import PretrainedFiles, RunPlan  # noqa: E402

GAN = dataclasses.replace(
    CONFIG, recipe="compact-gan-x2", gan_weight=0.1, feature_weight=1.0, features="vgg19-conv3_1", discriminator="unet",
    discriminator_width=4, consistency_weight=1.0, patch_px=16, warmup_steps=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return features_file(tmp_path_factory.mktemp("features") / "features.safetensors")


@pytest.fixture(scope="module")
def finished(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run of CONFIG. Who trains on in it copies it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    train(RunPlan(CONFIG, photographs, out))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unet", "vgg"])
def test_a_stopped_gan_run_resumed_equals_never_stopped_in_every_tensor(
    photographs: Path, features: Path, tmp_path: Path, kind: str, unplotted: None
) -> None:
    config = dataclasses.replace(GAN, discriminator=kind, r1_weight=1.0, gradient_penalty_weight=1.0)
    sources = PretrainedFiles(features=features)
    train(RunPlan(config, photographs, tmp_path / "straight", sources=sources))
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(
            RunPlan(config, photographs, tmp_path / "halved", sources=sources),
            report=lambda p: seen.append(p.step),
            should_stop=lambda: len(seen) == 5,
        )
    train(RunPlan(config, photographs, tmp_path / "halved", sources=sources), resume=True)
    straight, halved = _tensors(tmp_path / "straight"), _tensors(tmp_path / "halved")
    assert straight.keys() == halved.keys()
    assert any(name.startswith("discriminator.adam/exp_avg_sq/") for name in straight)
    assert any(
        name.startswith("discriminator/") and ("weight_u" in name or "running_mean" in name) for name in straight
    )
    assert [name for name in straight if straight[name] != halved[name]] == []
    lines = [(tmp_path / run / "validation.jsonl").read_text().splitlines() for run in ("straight", "halved")]
    curves = [[json.loads(line)["psnr_y"] for line in run] for run in lines]
    assert curves[0] == curves[1] and len(curves[0]) == 2


@pytest.mark.slow
def test_a_gan_run_begins_with_its_parent_and_leaves_pictures_and_a_sweep(
    photographs: Path, finished: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upres.training import pretrained as run
    from upres.training.losses.feature_files import load_features

    monkeypatch.setattr(run, "fetch_features", lambda name, source: load_features(features))
    parent = finished / "model.safetensors"
    said: list[str] = []
    config = dataclasses.replace(GAN, judge="squeezenet1_1", steps=4, validate_every=2)
    train(
        RunPlan(config, photographs, tmp_path / "run", sources=PretrainedFiles(init=parent), validation=photographs),
        say=said.append,
    )
    files = (
        "model.safetensors",
        "best.safetensors",
        "validation.jsonl",
        "curves.png",
        "crops/step_000000004.png",
        "sweep.json",
    )
    for name in (*files, "sweep.png"):
        assert (tmp_path / "run" / name).is_file(), name
    assert any("features of the loss: vgg19-conv3_1" in words and "sha256" in words for words in said)
    last = json.loads((tmp_path / "run" / "validation.jsonl").read_text().splitlines()[-1])
    assert last["feature_distance"] > 0 and last["lr_psnr"] > 10 and len(last["color_shift_255"]) == 3
    rows = json.loads((tmp_path / "run" / "sweep.json").read_text())
    assert "psnr_y" in json.dumps(rows)
    with pytest.raises(DataError, match="another `init`"):
        train(
            RunPlan(
                config,
                photographs,
                tmp_path / "run",
                sources=PretrainedFiles(features=features),
                validation=photographs,
            ),
            resume=True,
        )


@pytest.mark.slow
def test_tensorboard_holds_what_must_be_watched(photographs: Path, features: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(
        RunPlan(
            dataclasses.replace(GAN, steps=2),
            photographs,
            tmp_path,
            sources=PretrainedFiles(features=features),
            validation=photographs,
        )
    )
    log = EventAccumulator(str(tmp_path / "tensorboard"))
    log.Reload()
    tags = set(log.Tags()["scalars"])
    assert {
        "discriminator/real",
        "discriminator/fake",
        "gradient_norm/generator",
        "gradient_norm/discriminator",
    } <= tags
    assert {f"loss/{name}" for name in ("pixel", "features", "gan", "consistency", "discriminator", "total")} <= tags
    assert "validation/lr_psnr" in tags and any(tag.startswith("validation/color_shift") for tag in tags)
    for section in ("data", "generator", "discriminator", "features"):
        assert f"milliseconds/{section}" in tags
    assert log.Tags()["images"]


def test_a_feature_network_that_cannot_be_had_is_replaced_with_a_word_or_refused(
    photographs: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unplotted: None
) -> None:
    from upres.errors import ModelError
    from upres.training import pretrained as run
    from upres.training.losses.feature_files import load_features

    def fetch(name: str, source: Path | None) -> object:
        if name == "vgg19":
            raise ModelError("vgg19-dcbb9e9d.pth cannot be had")
        return load_features(features)

    monkeypatch.setattr(run, "fetch_features", fetch)
    said: list[str] = []
    config = dataclasses.replace(GAN, features="vgg19", features_otherwise="vgg19-conv3_1", steps=1)
    train(RunPlan(config, photographs, tmp_path / "other"), say=said.append)
    assert any("cannot be had" in words and "vgg19-conv3_1" in words for words in said)
    assert any(words.startswith("features of the loss: vgg19-conv3_1") for words in said)
    with pytest.raises(ModelError, match="cannot be had"):
        train(RunPlan(dataclasses.replace(config, features_otherwise=""), photographs, tmp_path / "refused"))
