"""Animated AVIF against FFmpeg, which reads and writes it on its own."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from upres.errors import InputError, OutputError
from upres.images import avif_sequence
from upres.images.animation import count_frames, encode_animation, read_animation
from upres.images.io import Picture, read_picture
from upres.system.priority import no_real_time

DELAYS = (100, 200, 30, 40)


def pictures(*, alpha: bool) -> list[Picture]:
    rows, columns = np.mgrid[0:40, 0:60].astype(np.float32)
    found = []
    for number in range(4):
        waves = [0.5 + 0.3 * np.sin(0.1 * (rows + 3 * number) + 0.08 * columns + channel) for channel in range(3)]
        veil = np.clip((rows + 5 * number) / 60, 0.0, 1.0)  # half transparent
        found.append(Picture(np.stack(waves, axis=2).astype(np.float32), veil if alpha else None))
    return found


@pytest.mark.parametrize("plays", [0, 1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_frames_times_repetitions_and_transparency_survive(plays: int, alpha: bool) -> None:
    data = encode_animation(pictures(alpha=alpha), DELAYS, plays, "avif")
    assert count_frames(data) == 4
    animation = read_animation(data)
    assert animation.delays_ms == DELAYS
    assert animation.plays == plays
    with av.open(io.BytesIO(data)) as file:
        track = next(stream for stream in file.streams.video if stream.frames == 4)
        theirs = list(file.decode(track))
    times = [frame.pts * frame.time_base for frame in theirs]
    assert times == [Fraction(time, 1000) for time in (0, 100, 300, 330)]
    for index, wanted in enumerate(pictures(alpha=alpha)):
        found = animation.picture(index)
        assert np.abs(found.pixels - wanted.pixels).mean() < 0.01
        decoded = theirs[index].to_ndarray(format="rgb24").astype(np.float32) / 255
        assert np.abs(found.pixels - decoded).mean() < 0.01
        assert (found.alpha is None) == (wanted.alpha is None)
        if found.alpha is not None and wanted.alpha is not None:
            assert np.abs(found.alpha - wanted.alpha).mean() < 0.01


@pytest.mark.parametrize("bits", [8, 10])
def test_a_file_of_ffmpeg_is_read(bits: int) -> None:
    file = io.BytesIO()
    with no_real_time(), av.open(file, "w", format="avif") as container:
        track = container.add_stream("libsvtav1", rate=10, options={"crf": "10", "preset": "10"})
        track.width, track.height, track.pix_fmt = 64, 64, "yuv420p" if bits == 8 else "yuv420p10le"
        for number in range(3):
            levels = np.full((64, 64, 3), 60 + 40 * number, np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(levels, "rgb24")))
        container.mux(track.encode())
    animation = read_animation(file.getvalue())
    assert animation.delays_ms == (100, 100, 100)
    assert [round(float(frame.mean())) for frame in animation.frames] == pytest.approx([60, 100, 140], abs=3)
    assert ("its 10 bits were read as 8" in animation.first.notes) == (bits == 10)


def test_a_profile_goes_along() -> None:
    profile = Image.open(io.BytesIO(encode_animation(pictures(alpha=False), DELAYS, 0, "png"))).info.get("icc_profile")
    assert profile is None
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames = [Picture(one.pixels, None, icc=icc) for one in pictures(alpha=False)]
    assert read_animation(encode_animation(frames, DELAYS, 0, "avif")).first.icc == icc


def test_damage_is_told() -> None:
    data = encode_animation(pictures(alpha=True), DELAYS, 0, "avif")
    for length in (len(data) - 200, len(data) * 3 // 4):
        with pytest.raises(InputError):
            read_animation(data[:length])


def test_without_pillow_the_first_frame_is_read_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_animation(pictures(alpha=False), DELAYS, 0, "avif")
    monkeypatch.setattr(avif_sequence, "is_available", lambda: False)
    assert count_frames(data) == 1
    notes = " ".join(read_picture(data).notes)
    assert "only the first of 4 frames was read; all frames of an animated AVIF need Pillow 11.3" in notes
    assert "pip install 'upres[formats]'" in notes
    with pytest.raises(OutputError, match=r"cannot write an animation as avif: .*pip install 'upres\[formats\]'"):
        encode_animation(pictures(alpha=False), DELAYS, 0, "avif")
