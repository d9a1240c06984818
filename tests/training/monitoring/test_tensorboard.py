"""Watching: what TensorBoard can read back, crops that stay the same."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("matplotlib")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from tests.training.made import run_of  # noqa: E402
from upres.images.io import quantize, read_picture  # noqa: E402
from upres.metrics.psnr_ssim import psnr  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.data.images import Pair, make_pair  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.monitoring.contact_sheet import enlarge_nearest  # noqa: E402
from upres.training.monitoring.tensorboard import TrainingMonitor, Triple, choose_crops, cut  # noqa: E402
from upres.training.monitoring.validation import enlarge, validate  # noqa: E402

CONFIG = TrainConfig(recipe="test", scale=2)


class Blurred(nn.Module):
    """Enlarges by 2 and looks one pixel around; counts its pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect", bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 3, 3) / 9.0)
        self.seen = 0

    def forward(self, lr: Tensor) -> Tensor:
        self.seen += 1
        return self.conv(nn.functional.interpolate(lr, scale_factor=2, mode="nearest"))


def textured(top: int, left: int, height: int = 96, width: int = 128, side: int = 32, seed: int = 0) -> Pair:
    """A flat picture with a hard edge, and one square of texture."""
    image = np.full((height, width, 3), 60, np.uint8)
    image[:, width // 2 :] = 200
    image[top : top + side, left : left + side] = np.random.default_rng(seed).integers(0, 256, (side, side, 3))
    return make_pair(f"{seed}.png", image, 2)


def logged(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    return events.Reload()


def test_the_most_textured_part_is_chosen_on_the_grid_of_lr_pixels() -> None:
    pairs = [textured(30, 70), textured(0, 0, seed=1), textured(64, 96, seed=2)]
    assert choose_crops(pairs, 3, 32) == [(0, 30, 70), (1, 0, 0), (2, 64, 96)]
    assert choose_crops(pairs, 3, 33) == choose_crops(pairs, 3, 32)  # a multiple of the scale
    assert choose_crops([textured(31, 71)], 1, 32) in ([(0, y, x)] for y in (30, 32) for x in (70, 72))


def test_crops_are_spread_over_many_pictures_or_share_few_without_overlap() -> None:
    many = [textured(16, 16, seed=i) for i in range(9)]
    assert [index for index, _, _ in choose_crops(many, 3, 32)] == [0, 3, 6]
    few = choose_crops(many[:2], 5, 32)
    assert [index for index, _, _ in few] == [0, 0, 0, 1, 1]
    for a, (index, y, x) in enumerate(few):
        for other, v, u in few[:a]:
            assert index != other or abs(y - v) >= 32 or abs(x - u) >= 32
    assert len(choose_crops(many[:1], 50, 64)) == 2  # no room for more
    assert choose_crops([], 4, 32) == []


def test_a_picture_smaller_than_a_crop_is_taken_whole() -> None:
    small = textured(0, 0, 40, 48)
    assert choose_crops([small], 1, 128) == [(0, 0, 0)]
    (triple,) = cut(Blurred(), [small], [(0, 0, 0)], 128)
    assert triple.hr.shape == (40, 48, 3) and triple.lr.shape == (20, 24, 3) and triple.sr.shape == triple.hr.shape


def test_a_crop_has_its_true_surroundings_and_a_picture_is_enlarged_once() -> None:
    pairs, net = [textured(30, 70)], Blurred()
    triples = cut(net, pairs, [(0, 30, 70), (0, 4, 8)], 32)
    assert net.seen == 1
    whole = enlarge(net, pairs[0].lr)
    for triple, (y, x) in zip(triples, [(30, 70), (4, 8)], strict=True):
        np.testing.assert_array_equal(triple.sr, whole[y : y + 32, x : x + 32])
        np.testing.assert_array_equal(triple.hr, pairs[0].hr[y : y + 32, x : x + 32])
        np.testing.assert_array_equal(triple.lr, pairs[0].lr[y // 2 : y // 2 + 16, x // 2 : x // 2 + 16])
    assert not np.array_equal(enlarge(net, triples[0].lr), triples[0].sr)  # the border would have been different


def test_crops_are_drawn_as_lr_sr_hr_into_a_file_and_into_tensorboard(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    triple = Triple("a.png", *(rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (64, 128, 128)))
    with TrainingMonitor(run_of(CONFIG, tmp_path), 0) as monitor:
        monitor.crops(1000, [triple, dataclasses.replace(triple, name="b.png")])
    sheet = quantize(read_picture(tmp_path / "crops" / "step_000001000.png").pixels, 8)
    lines = [enlarge_nearest(image, factor)[100] for image, factor in ((triple.lr, 4), (triple.sr, 2), (triple.hr, 2))]
    for line in lines:
        hits = [
            (y, x)
            for y, x in np.argwhere((sheet == line[0]).all(axis=2))
            if np.array_equal(sheet[y, x : x + 256], line)
        ]
        assert len({x for _, x in hits}) == 1 and len({y for y, _ in hits}) >= 2  # once a row, in one column
    events = logged(tmp_path)
    (image,) = events.Images("validation/crops")
    assert (image.step, image.height, image.width) == (1000, *sheet.shape[:2])


def test_scalars_are_grouped_and_can_be_read_back(tmp_path: Path) -> None:
    with TrainingMonitor(run_of(CONFIG, tmp_path), 0) as monitor:
        monitor.scalars(1, {"anything/at all": 2.0, "not measured": None})
        monitor.step(
            3, {"pixel": 0.5, "D(real)": 1.5, "D(fake)": -1.5, "gradient norm/generator": 9.0}, 1e-4, {"data": 7.0}
        )
    events = logged(tmp_path)
    expected = {
        "anything/at_all": (1, 2.0), "loss/pixel": (3, 0.5), "discriminator/real": (3, 1.5),
        "discriminator/fake": (3, -1.5), "gradient_norm/generator": (3, 9.0), "learning_rate": (3, 1e-4),
        "milliseconds/data": (3, 7.0),
    }  # fmt: skip
    found = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert found.keys() == expected.keys()
    for tag, (step, value) in expected.items():
        assert found[tag] == [(step, pytest.approx(value))]


def test_what_was_logged_after_the_step_that_is_resumed_from_is_hidden(tmp_path: Path) -> None:
    for first, last in ((0, 8), (5, 6)):
        time.sleep(1.1 if first else 0.0)  # files are read in the order of their names: seconds, then a counter as text
        with TrainingMonitor(run_of(CONFIG, tmp_path), first) as monitor:
            for step in range(first + 1, last + 1):
                monitor.scalars(step, {"loss/pixel": float(first)})
    assert [(event.step, event.value) for event in logged(tmp_path).Scalars("loss/pixel")] == [
        (1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (5, 0.0), (6, 5.0),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_validation_is_logged_with_its_crops_and_curves(tmp_path: Path) -> None:
    pairs, net = [textured(30, 70), textured(8, 8, seed=1)], Blurred()
    quality = validate(net, pairs, scale=2)
    assert quality is not None
    with TrainingMonitor(run_of(CONFIG, tmp_path, held_out=pairs), 0, crops=2, crop_px=32) as monitor:
        monitor.validation(7, None, net)
        assert not (tmp_path / "crops").exists()
        (tmp_path / "validation.jsonl").write_text(json.dumps({"step": 8, **dataclasses.asdict(quality)}) + "\n")
        monitor.validation(8, quality, net)
    assert [p.name for p in (tmp_path / "crops").iterdir()] == ["step_000000008.png"] and (
        tmp_path / "curves.png"
    ).is_file()
    events = logged(tmp_path)
    assert events.Scalars("validation/psnr_y")[0].value == pytest.approx(quality.psnr_y)
    assert events.Scalars("validation/color_shift_255/green")[0].value == pytest.approx(quality.color_shift_255[1])
    assert not any(tag.startswith(("validation/niqe", "validation/feature")) for tag in events.Tags()["scalars"])


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    pairs, net = [textured(30, 70)], Blurred()
    quality = validate(net, pairs, scale=2)
    with TrainingMonitor(run_of(CONFIG, tmp_path, held_out=pairs, ranks=Ranks(1, 2)), 0) as monitor:
        monitor.step(1, {"pixel": 1.0}, 1e-4, {})
        monitor.validation(1, quality, net)
        monitor.crops(1, [Triple("a", pairs[0].lr, pairs[0].hr, pairs[0].hr)])
    assert list(tmp_path.iterdir()) == []


def test_the_figure_of_a_crop_is_its_psnr() -> None:
    from upres.training.monitoring.tensorboard import _row

    (triple,) = cut(Blurred(), [textured(30, 70)], [(0, 30, 70)], 32)
    assert [panel.note for panel in _row(triple)][1] == f"{psnr(triple.sr, triple.hr, border=0, luma=True):.2f} dB (Y)"


def test_without_tensorboard_and_matplotlib_it_says_so_once_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorboard", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    said: list[str] = []
    net, pair = Blurred(), textured(30, 70)
    with TrainingMonitor(run_of(CONFIG, tmp_path, held_out=[pair], say=said.append), 0) as monitor:
        monitor.step(1, {"pixel": 0.5, "total": 0.5}, 1e-3, {"data": 1.0})
        monitor.validation(1, validate(net, [pair], scale=2), net)
    assert [words.split(" ")[0] for words in said] == ["tensorboard", "matplotlib"] and "no scalars are logged" in said[
        0
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [(1, np.uint8), (1, np.uint16), (3, np.uint16)])
def test_gray_and_16_bit_crops_are_drawn_in_8_bits(kind: tuple[int, type], tmp_path: Path) -> None:
    channels, dtype = kind
    levels = textured(30, 70).hr[:, :, :channels]
    pair = make_pair("a", levels if dtype is np.uint8 else levels.astype(np.uint16) * np.uint16(257), 2)
    (triple,) = cut(Repeat(), [pair], choose_crops([pair], 1, 32), 32)
    assert triple.hr.shape == (32, 32, channels) and triple.hr.dtype == triple.sr.dtype == dtype
    with TrainingMonitor(run_of(CONFIG, tmp_path, held_out=[pair]), 0) as monitor:
        monitor.crops(1, [triple])
    sheet = quantize(read_picture(tmp_path / "crops" / "step_000000001.png").pixels, 8)
    expected = np.broadcast_to(levels[30:62, 70:102], (32, 32, 3)).repeat(8, axis=0).repeat(8, axis=1)
    shown = np.argwhere((sheet[: -256 + 1, : -256 + 1] == expected[0, 0]).all(axis=2))
    assert any(np.array_equal(sheet[y : y + 256, x : x + 256], expected) for y, x in shown)


class Repeat(nn.Module):
    """Enlarges by repeating pixels, whatever the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, lr: Tensor) -> Tensor:
        return nn.functional.interpolate(lr, scale_factor=2, mode="nearest")
