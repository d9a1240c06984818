"""The conversion against the equations of H.273 written out sample by sample, and against libswscale."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from upres.video.yuv import LUMA_WEIGHTS, SITINGS, Coding, chroma_size, from_rgb, to_rgb


def literal_chroma_position(step: int, place: float, k: int) -> float:
    return k * step + (step - 1) * place


def literal_rgb(planes: list[np.ndarray], coding: Coding) -> np.ndarray:
    """Each sample by the book, in float64: nearest four chroma samples with Keys' kernel, from their positions."""

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    height, width = planes[0].shape
    kr, kb = LUMA_WEIGHTS[coding.matrix]
    kg = 1 - kr - kb
    unit = 2 ** (coding.depth - 8)
    place_y, place_x = SITINGS[coding.siting]
    result = np.zeros((height, width, 3))
    for y, x in itertools.product(range(height), range(width)):
        luma = float(planes[0][y, x])
        luma = luma / coding.top if coding.full else (luma - 16 * unit) / (219 * unit)
        chroma = []
        for plane in planes[1:]:
            total = 0.0
            span_y = range(-4, plane.shape[0] + 4)
            span_x = range(-4, plane.shape[1] + 4)
            for j in span_y:
                wy = kernel((y - literal_chroma_position(coding.step[0], place_y, j)) / coding.step[0])
                if not wy:
                    continue
                for i in span_x:
                    wx = kernel((x - literal_chroma_position(coding.step[1], place_x, i)) / coding.step[1])
                    if wx:
                        at = min(max(j, 0), plane.shape[0] - 1), min(max(i, 0), plane.shape[1] - 1)
                        total += wy * wx * float(plane[at])
            span = coding.top if coding.full else 224 * unit
            chroma.append((total - 128 * unit) / span)
        cb, cr = chroma
        red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
        result[y, x] = red, (luma - kr * red - kb * blue) / kg, blue
    return result


@pytest.mark.parametrize(
    "coding",
    [
        Coding("bt709", step=(2, 2), siting="left"),
        Coding("bt601", step=(2, 2), siting="center", full=True),
        Coding("bt2020", step=(2, 2), siting="topleft", depth=10),
        Coding("smpte240m", step=(1, 2), siting="top"),
        Coding("bt601", step=(2, 2), siting="bottomleft"),
        Coding("fcc", step=(1, 4), siting="left"),
        Coding("bt601", step=(4, 4), siting="center"),
        Coding("bt709", depth=16),
    ],
    ids=str,
)
def test_reading_is_the_literal_conversion_at_odd_sizes(coding: Coding) -> None:
    rng = np.random.default_rng(1)
    kind = np.uint8 if coding.depth == 8 else np.uint16
    sizes = [(7, 9), chroma_size(7, 9, coding), chroma_size(7, 9, coding)]
    planes = [rng.integers(0, coding.top + 1, size).astype(kind) for size in sizes]
    rgb, alpha = to_rgb(planes, coding)
    assert alpha is None
    assert rgb.dtype == np.float32
    np.testing.assert_allclose(rgb, literal_rgb(planes, coding), atol=2e-6)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_known_levels(depth: int, full: bool) -> None:
    coding = Coding("bt709", full=full, depth=depth)
    unit = 2 ** (depth - 8)
    black, white = (0, coding.top) if full else (16 * unit, 235 * unit)
    ends = np.array([[[0.0, 0, 0], [1, 1, 1]]], np.float32)
    luma, cb, cr = from_rgb(ends, None, coding)
    assert luma.tolist() == [[black, white]]
    assert cb.tolist() == cr.tolist() == [[128 * unit] * 2]
    red = np.array([[[1.0, 0, 0]]], np.float32)
    _, _, cr = from_rgb(red, None, coding)
    assert cr[0, 0] == (min(coding.top, math.floor(coding.top / 2 + 128 * unit + 0.5)) if full else 240 * unit)


@pytest.mark.parametrize("siting", SITINGS)
@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
def test_the_way_there_and_back_keeps_luma_and_smooth_chroma(siting: str, matrix: str) -> None:
    """No shift: a ramp of chroma comes back where it was, but for the half sample at the borders."""
    coding = Coding(matrix, step=(2, 2), siting=siting, depth=16)
    rows, columns = np.mgrid[0:24, 0:31]
    place_y, place_x = SITINGS[siting]
    chroma_rows, chroma_columns = np.mgrid[0:12, 0:16]
    ramp = 30000 + 400 * (chroma_columns * 2 + place_x) + 250 * (chroma_rows * 2 + place_y)
    planes = [(20000 + 500 * rows + 300 * columns).astype(np.uint16), ramp.astype(np.uint16), ramp.astype(np.uint16)]
    rgb, _ = to_rgb(planes, coding)
    again = from_rgb(rgb, None, coding)
    assert np.abs(again[0].astype(int) - planes[0]).max() <= 1
    inner = np.s_[2:-2, 2:-2]
    assert np.abs(again[1].astype(int) - planes[1])[inner].max() <= 2


@pytest.mark.parametrize("level", [(16, 128, 128), (81, 90, 240), (145, 54, 34), (235, 128, 128), (0, 0, 255)])
def test_a_flat_color_stays_flat_up_to_its_edges(level: tuple[int, int, int]) -> None:
    coding = Coding("bt601", step=(2, 2))
    planes = [np.full((5, 7), level[0], np.uint8), *(np.full((3, 4), one, np.uint8) for one in level[1:])]
    rgb, _ = to_rgb(planes, coding)
    assert np.ptp(rgb, axis=(0, 1)).max() < 1e-6
    assert [np.unique(plane).tolist() for plane in from_rgb(rgb, None, coding)] == [[one] for one in level]


def test_gray_rgb_and_alpha() -> None:
    rng = np.random.default_rng(2)
    gray = [rng.integers(0, 256, (3, 4)).astype(np.uint8)]
    pixels, _ = to_rgb(gray, Coding("gray", full=True))
    assert pixels.shape == (3, 4, 1)
    assert (from_rgb(pixels, None, Coding("gray", full=True))[0] == gray[0]).all()
    planes = [rng.integers(0, 1024, (3, 4)).astype(np.uint16) for _ in range(4)]
    coding = Coding("rgb", full=True, depth=10, alpha=True)
    pixels, alpha = to_rgb(planes, coding)
    np.testing.assert_allclose(pixels[:, :, 0], planes[2] / 1023, atol=1e-6)  # G, B, R
    back = from_rgb(pixels, alpha, coding)
    assert all((one == other).all() for one, other in zip(back, planes, strict=True))
    assert (from_rgb(pixels, None, coding)[3] == 1023).all()


@pytest.mark.parametrize(("name", "matrix"), [("ITU709", "bt709"), ("ITU601", "bt601")])
def test_libswscale_agrees(name: str, matrix: str) -> None:
    av = pytest.importorskip("av")
    rng = np.random.default_rng(3)
    smooth = np.cumsum(np.cumsum(rng.normal(0, 0.6, (3, 48, 64)), axis=1), axis=2)
    smooth = 128 + 40 * (smooth - smooth.mean(axis=(1, 2), keepdims=True)) / smooth.std(axis=(1, 2), keepdims=True)
    planes = [np.clip(plane, 40, 210).astype(np.uint8) for plane in smooth]
    frame = av.VideoFrame.from_ndarray(np.stack(planes), "yuv444p")
    theirs = frame.reformat(
        format="rgb24",
        src_colorspace=name,
        src_color_range="MPEG",
        dst_color_range="JPEG",
        interpolation=av.video.reformatter.Interpolation.BICUBIC | 0x40000,
    ).to_ndarray()  # 0x40000: SWS_ACCURATE_RND
    ours = np.clip(to_rgb(planes, Coding(matrix))[0], 0, 1) * 255
    assert np.abs(ours - theirs).max() < 2.0
    assert abs(float((ours - theirs).mean())) < 0.3
