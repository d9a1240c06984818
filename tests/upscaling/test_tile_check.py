"""What a broken engine gives is seen, and what working networks give on any picture is not called broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import zoom

from tests.tiny import noise
from upres import engines
from upres.engines.sample_picture import sample
from upres.models.load import load_model
from upres.upscaling.tile_check import BLOCK_PX, FAR, FLAT, NOT_FLAT, Fault, agree, find_fault

FAR_OFF: Fault = "far from its input's mean"


def enlarged(lr: np.ndarray, scale: int) -> np.ndarray:
    """By scipy's cubic spline: a working network that is not ours."""
    planes = [zoom(plane, scale, order=3, mode="nearest", grid_mode=True) for plane in lr[0]]
    return np.stack(planes)[None].astype(np.float32)


def made(height: int, width: int) -> dict[str, np.ndarray]:
    """Tiles (1, 3, h, w) that are hard on networks."""
    rows, columns = np.indices((height, width))
    checker, stripes = (rows + columns) % 2, columns % 2
    flat = {"black": (0, 0, 0), "white": (1, 1, 1), "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}
    planes = {"checker": checker, "stripes": stripes, "noise": noise(height, width, 1)[:, :, 0] > 0.5}
    tiles = {name: np.broadcast_to(plane, (1, 3, height, width)) for name, plane in planes.items()}
    tiles |= {
        name: np.broadcast_to(np.reshape(color, (1, 3, 1, 1)), (1, 3, height, width)) for name, color in flat.items()
    }
    tiles["color noise"] = np.moveaxis(noise(height, width), 2, 0)[None]
    tiles["faint noise"] = 0.5 + 0.005 * (tiles["color noise"] - 0.5)
    return {name: np.ascontiguousarray(tile, np.float32) for name, tile in tiles.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["compact-x2", "compact-x4", "srvgg-x4", "compact-wild-x4", "compact-gan-x4", "published", "published ncnn"]
)
def test_no_false_alarm(request: pytest.FixtureRequest, name: str) -> None:
    if name.startswith("published"):
        weights: Path = request.getfixturevalue("assets") / "weights"
        file = "RealESRGAN_General_x4_v3.param" if "ncnn" in name else "realesr-animevideov3.pth"
        graph = load_model(str(weights / file)).networks[0]
    else:
        graph = load_model(name).graph
    runner = engines.load(graph, engine="auto" if "ncnn" in name else "ncnn", threads=1, device="cpu", precision="fp32")
    for size in ((1, 1), (2, 3), (40, 48)):
        for what, lr in {**made(*size), "photograph": sample(3, *size)}.items():
            assert find_fault(lr, runner(lr)) is None, (what, size)
    runner.close()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 77, 3), (2, 139, 199)])
def test_one_value_that_is_not_finite_is_found(value: float, place: tuple[int, int, int]) -> None:
    lr = sample(3, 70, 100)
    sr = enlarged(lr, 2)
    assert find_fault(lr, sr) is None
    sr[0][place] = value
    assert find_fault(lr, sr) == "not finite"
    sr[0, place[0], place[1], 0] = -value  # two infinities must not make up for each other
    assert find_fault(lr, sr) == "not finite"


def test_what_overflows_in_sums_is_not_finite() -> None:
    lr = sample(3, 40, 40)
    assert find_fault(lr, np.full((1, 3, 80, 80), 3e38, np.float32)) == "not finite"


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, -3.0])
def test_one_color_for_a_picture_is_flat(scale: int, channels: int, level: float) -> None:
    lr = sample(channels, 50, 64)
    sr = np.full((1, channels, 50 * scale, 64 * scale), level, np.float32)
    sr += np.float32(FLAT / 4) * (np.indices(sr.shape).sum(axis=0) % 2).astype(np.float32)  # rounding, say
    assert find_fault(lr, sr) == "flat"


@pytest.mark.parametrize("lost", [(0, 2), (0, 1), (1,)])
def test_a_lost_channel_is_detected(lost: tuple[int, ...]) -> None:
    """Green, blue, magenta: each channel is judged alone, flat or not."""
    lr = sample(3, 64, 64)
    sr = enlarged(lr, 4)
    sr[:, lost] = 0.0
    assert find_fault(lr, sr) == "flat"
    sr[:, lost] = noise(256, 256, 1)[None, :, :, 0] * 0.1
    assert find_fault(lr, sr) == FAR_OFF


def test_half_a_tile_that_is_lost_is_found() -> None:
    """A hole that hardly shows in the mean of the whole tile."""
    lr = sample(3, 128, 128)
    sr = enlarged(lr, 2)
    bright = np.unravel_index(lr[0].mean(axis=0).argmax(), (128, 128))
    top, left = (int(at) // BLOCK_PX * BLOCK_PX * 2 for at in bright)
    sr[:, :, top : top + 2 * BLOCK_PX, left : left + 2 * BLOCK_PX] = 0.0
    assert np.abs(sr.mean(axis=(2, 3)) - lr.mean(axis=(2, 3))).max() < FAR
    assert find_fault(lr, sr) == FAR_OFF


def test_another_picture_is_found() -> None:
    lr = sample(3, 128, 128)
    assert find_fault(lr, enlarged(lr[:, :, ::-1, ::-1].copy(), 2)) == FAR_OFF
    assert find_fault(lr, enlarged(1.0 - lr, 2)) == FAR_OFF


def test_a_flat_answer_is_right_where_there_is_nothing_to_see() -> None:
    flat = np.full((1, 3, 40, 40), 0.3, np.float32)
    assert find_fault(flat, np.full((1, 3, 160, 160), 0.31, np.float32)) is None
    faint = flat + np.float32(NOT_FLAT) * (noise(40, 40).transpose(2, 0, 1)[None] - 0.5)  # a denoiser takes it away
    assert find_fault(faint, np.full((1, 3, 160, 160), 0.3, np.float32)) is None
    salted = flat.copy()
    salted[0, :, 7, 9] = 0.6  # one bright pixel
    assert find_fault(salted, np.full((1, 3, 160, 160), 0.3, np.float32)) is None


def test_overshoot_and_sharpening_are_no_fault() -> None:
    lr = sample(3, 64, 64)
    soft = enlarged(lr, 2)
    assert find_fault(lr, soft + 3.0 * (soft - soft.mean())) == FAR_OFF  # that is another contrast
    blurred = np.stack([np.roll(soft, shift, axis) for shift in (-2, 2) for axis in (2, 3)]).mean(
        axis=0, dtype=np.float32
    )
    sharp = soft + 4.0 * (soft - blurred)
    assert sharp.min() < -0.2
    assert sharp.max() > 1.2
    assert find_fault(lr, sharp) is None


def test_answers_agree_to_what_half_precision_costs() -> None:
    """bf16 keeps 8 bits of a value, fp16 11: these errors are those of numpy's own halves, and of bits cut off."""
    sr = enlarged(sample(3, 64, 64), 4) * np.float32(3.0)
    assert agree(sr.astype(np.float16).astype(np.float32), sr, 4)
    assert agree((sr.view(np.uint32) & 0xFFFF0000).view(np.float32), sr, 4)
    hole = sr.copy()
    hole[:, :, :64, :64] -= 0.5  # a quarter of a block
    assert not agree(hole, sr, 4)
    assert not agree(np.zeros_like(sr), sr, 4)
