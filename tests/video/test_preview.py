"""A preview: bicubic and every model beside each other, for so many seconds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.tiny import compact_file
from tests.video.made import make_video, packets_of
from tests.video.test_run import upscale, whole
from upres.errors import UsageError
from upres.images.resize import imresize
from upres.video.frames import layout_of, planes_of
from upres.video.preview import GAP_PX
from upres.video.request import VideoRequest


def test_columns_are_bicubic_and_the_models(tmp_path: Path) -> None:
    one, two = (
        str(compact_file(tmp_path / f"{name}.safetensors", strength=strength))
        for name, strength in (("nearest", 0.0), ("other", 0.02))
    )
    source = make_video(tmp_path / "in.mkv", 20, codec="ffv1", pix_fmt="gray", sound=True)
    out = tmp_path / "out.mkv"
    report = whole(
        upscale(source, one, out, preview_s=Fraction("0.2"), against=(two,), codec="ffv1", start_s=Fraction("0.4"))
    )
    assert report.frames == 5
    assert report.flicker is None
    assert 0 < len(packets_of(out, "audio")[0]) < len(packets_of(source, "audio")[0])
    layout = layout_of("gray")
    with av.open(str(source)) as before, av.open(str(out)) as after:
        lr = planes_of(list(before.decode(video=0))[10], layout)[0] / np.float32(255)
        row = planes_of(next(after.decode(video=0)), layout)[0] / np.float32(255)
    assert row.shape == (64, 3 * 96 + 2 * GAP_PX)
    bicubic, nearest, other = (row[:, left : left + 96] for left in (0, 96 + GAP_PX, 2 * (96 + GAP_PX)))
    assert np.abs(bicubic - np.clip(imresize(lr.astype(np.float32), size=(64, 96)), 0, 1)).max() < 0.01
    assert np.abs(nearest - lr.repeat(2, axis=0).repeat(2, axis=1)).max() < 0.01
    assert np.abs(other - nearest).max() > 0.005
    assert np.unique(row[:, 96 : 96 + GAP_PX]).tolist() == [np.float32(16 / 255)]  # black


def test_what_does_not_fit_together() -> None:
    with pytest.raises(UsageError, match=r"`preview` must be in \(0, 600\] seconds, got 0"):
        VideoRequest("in.mp4", preview_s=Fraction(0))
    with pytest.raises(UsageError, match="leave `end` out"):
        VideoRequest("in.mp4", preview_s=Fraction(3), end_s=Fraction(9))
    with pytest.raises(UsageError, match="`against` names models of a preview"):
        VideoRequest("in.mp4", against=("compact-x2",))
