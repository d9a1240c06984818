"""Animations against Pillow and FFmpeg, which read and compose them on their own."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from upres.errors import InputError, OutputError
from upres.images.animation import check_animated, count_frames, encode_animation, read_animation
from upres.images.io import Picture

DELAYS = (100, 200, 30, 40)


def pictures(alpha: bool = True) -> list[Picture]:
    found = []
    for number in range(4):
        pixels = np.zeros((20, 30, 3), np.float32)
        pixels[:, :, 0] = number / 5
        pixels[5:10, 5 + number : 10 + number, 1] = 1.0
        veil = np.ones((20, 30), np.float32)
        veil[:3] = 0.0
        found.append(Picture(pixels, veil if alpha else None))
    return found


def as_pillow(data: bytes) -> tuple[list[np.ndarray], list[float], int]:
    frames, delays = [], []
    with Image.open(io.BytesIO(data)) as image:
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGBA")))
            delays.append(image.info.get("duration", 0))
        return frames, delays, image.info.get("loop", -1)


@pytest.mark.parametrize("format", ["gif", "png", "webp"])
def test_frames_times_and_transparency_survive(format: str) -> None:
    data = encode_animation(pictures(), DELAYS, 3, format)
    assert count_frames(data) == 4
    animation = read_animation(data)
    assert animation.delays_ms == DELAYS
    assert animation.plays == 3
    for index, wanted in enumerate(pictures()):
        found = animation.picture(index)
        assert found.alpha is not None
        np.testing.assert_array_equal(found.alpha, wanted.alpha)
        tolerance = 0.51 / 255 if format != "webp" else 0.4  # WebP's edges of saturated color
        assert np.abs(found.pixels - wanted.pixels)[4:].max() <= tolerance
    theirs, delays, plays = as_pillow(data)
    assert len(theirs) == 4
    if format != "webp":  # Pillow gives the time of a WebP's frame when it is decoded
        assert delays == list(DELAYS)
    assert plays == (2 if format == "gif" else 3)  # Pillow counts a GIF's repetitions after the first time
    for index, frame in enumerate(theirs):
        ours = animation.frames[index]
        seen = frame[:, :, 3] > 0
        np.testing.assert_array_equal(ours[seen], frame[seen])


@pytest.mark.parametrize("disposal", [0, 1, 2])
@pytest.mark.parametrize("blend", [0, 1])
def test_partial_frames_of_png_are_composed_as_ffmpeg_does(disposal: int, blend: int) -> None:
    rng = np.random.default_rng(disposal)
    stills = [Image.fromarray(np.zeros((24, 32, 4), np.uint8))]
    for number in range(3):
        pixels = np.asarray(stills[0]).copy()
        top = 3 + 4 * number
        pixels[top : top + 9, 5 : 15 + number] = rng.integers(0, 256, (9, 10 + number, 4))
        if blend:  # FFmpeg rounds otherwise what is half transparent
            pixels[:, :, 3] = np.where(pixels[:, :, 3] > 100, 255, 0)
        stills.append(Image.fromarray(pixels))
    file = io.BytesIO()
    stills[0].save(
        file, "PNG", save_all=True, append_images=stills[1:], disposal=disposal, blend=blend, duration=[50, 60, 70, 80]
    )
    animation = read_animation(file.getvalue())
    assert list(animation.delays_ms) == as_pillow(file.getvalue())[1]
    with av.open(io.BytesIO(file.getvalue()), format="apng") as decoder:
        theirs = [frame.to_ndarray(format="rgba") for frame in decoder.decode(video=0)]
    for ours, frame in zip(animation.frames, theirs, strict=True):
        np.testing.assert_array_equal(ours[:, :, 3], frame[:, :, 3])
        seen = frame[:, :, 3] > 0
        np.testing.assert_array_equal(ours[seen], frame[seen])


def test_half_transparent_frames_of_png_are_composed_by_the_formula() -> None:
    """Of which Pillow makes an opaque or a darker picture: section 13.3 of PNG, in floats, is the measure."""
    rng = np.random.default_rng(5)
    below, above = (rng.integers(0, 256, (6, 8, 4)).astype(np.uint8) for _ in range(2))
    below[0], above[0, :, 3] = 0, 128  # half of a color over nothing
    file = io.BytesIO()
    with Image.fromarray(below) as first, Image.fromarray(above) as second:
        first.save(file, "PNG", save_all=True, append_images=[second], disposal=0, blend=[0, 1], duration=[40, 50])
    frames = read_animation(file.getvalue()).frames
    a, b = (one[:, :, 3:].astype(float) / 255 for one in (above, below))
    whole = a + b * (1 - a)
    color = (above[:, :, :3] * a + below[:, :, :3] * b * (1 - a)) / np.where(whole > 0, whole, 1)
    np.testing.assert_array_equal(frames[0], below)
    assert np.abs(frames[1][:, :, 3:] - 255 * whole).max() <= 0.501
    assert np.abs(frames[1][:, :, :3] - color).max() <= 0.501
    np.testing.assert_array_equal(frames[1][0], above[0])


def test_16_bits_and_gray() -> None:
    gray = [Picture(np.full((8, 9, 1), 0.1 + 0.123456 * number, np.float32), None, 16) for number in range(3)]
    animation = read_animation(encode_animation(gray, (10, 20, 30), 0, "png"))
    assert animation.plays == 0
    for index in range(3):
        found = animation.picture(index)
        assert found.pixels.shape == (8, 9, 1)
        assert np.abs(found.pixels - gray[index].pixels).max() < 1e-5


def test_stills_and_limits() -> None:
    still = io.BytesIO()
    Image.new("RGB", (4, 4)).save(still, "GIF")
    assert count_frames(still.getvalue()) == 1
    data = encode_animation(pictures(), DELAYS, 0, "gif")
    with pytest.raises(InputError, match="4 frames of 30 x 20, more than the limit of 1,000 pixels; use upres video"):
        read_animation(data, max_pixels=1000)
    with pytest.raises(OutputError, match="jpeg holds no animation; write one of gif, webp, png and avif"):
        check_animated("jpeg", 10, 10)
    with pytest.raises(OutputError, match="webp holds at most 16,383 pixels a side"):
        check_animated("webp", 10, 20_000)


@pytest.mark.parametrize("format", ["png", "webp"])
def test_a_cut_off_animation_is_refused(format: str) -> None:
    noisy = [Picture(np.random.default_rng(n).random((40, 50, 3)).astype(np.float32)) for n in range(4)]
    data = encode_animation(noisy, DELAYS, 0, format)
    with pytest.raises(InputError):
        read_animation(data[: len(data) * 2 // 3])


def test_a_gif_without_its_end_is_told() -> None:
    noisy = [Picture(np.random.default_rng(n).random((40, 50, 3)).astype(np.float32)) for n in range(4)]
    data = encode_animation(noisy, DELAYS, 0, "gif")
    assert read_animation(data).first.notes == ()
    notes = read_animation(data[: len(data) * 2 // 3]).first.notes
    assert "the GIF has no end: it may be cut off; the 3 frames that it has were read" in notes
