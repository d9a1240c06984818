"""Files through rows and through whole pictures give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import upres
from tests.tiny import compact
from upres.engines.sample_picture import sample
from upres.errors import InputError, OutputError, UsageError
from upres.images.io import Picture, encode_picture, read_header, read_picture, write_picture, writing_notes
from upres.images.said_colors import adobe_rgb
from upres.upscaling import upscale_file as module
from upres.upscaling.output_size import OutputSize
from upres.upscaling.tiled_run import Cancelled
from upres.upscaling.upscale_file import plan_file, upscale_file
from upres.upscaling.upscaler import Upscaler

PIXELS = np.ascontiguousarray(np.moveaxis(sample(3, 75, 52)[0], 0, 2))
ALPHA = np.clip(np.random.default_rng(0).random((75, 52), dtype=np.float32) * 1.5 - 0.3, 0.0, 1.0)
ALPHA[20:40, 10:40] = 0.0
PICTURES = {
    "color": Picture(PIXELS, dpi=(72.0, 72.0), texts=(("Comment", "a text"),)),
    "gray": Picture(PIXELS[:, :, :1]),
    "12 bits in 16": Picture((np.rint(PIXELS * 4095) / 65535).astype(np.float32), depth=16),
    "transparent": Picture(PIXELS, ALPHA),
    "gray and transparent": Picture(PIXELS[:, :, :1], ALPHA),
    "half transparent everywhere": Picture(PIXELS, np.full((75, 52), 0.5, np.float32)),
    "wide gamut": Picture(PIXELS, depth=16, icc=adobe_rgb()),
}
WEAK: dict[str, Any] = {"width": 8, "depth": 4, "strength": 0.01}
MODELS = {"one": compact(4, **WEAK), "chain": (compact(2, **WEAK), compact(1, **WEAK))}


@pytest.fixture(autouse=True)
def by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_BYTES", 0)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("model", MODELS)
def test_the_file_is_that_of_the_whole_picture(name: str, model: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out"
    write_picture(PICTURES[name], source)
    with Upscaler(MODELS[model], engine="ncnn", threads=2, tile_px=24) as upscaler:
        sizes = (None, OutputSize(factor=3.3), OutputSize(factor=1.0), OutputSize(width=40))
        for size, form in zip(sizes, ("png", "jpeg", "tiff", "png"), strict=True):
            assert plan_file(upscaler, read_header(source), size or OutputSize(), form).by_rows
            notes = upscale_file(source, target, upscaler, size=size, format=form)
            whole = upscaler(read_picture(source), size=size)
            assert target.read_bytes() == encode_picture(whole, form)
            assert sorted(notes) == sorted((*whole.notes, *writing_notes(whole, form)))


@pytest.mark.parametrize("options", [{"tta": True}, {"wrap": True}, {"color_lock": True}, {"blend": 0.5}])
def test_options_that_need_the_whole_picture_have_it(options: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    write_picture(PICTURES["color"], source)
    header = read_header(source)
    with Upscaler(MODELS["one"], engine="ncnn", **options) as upscaler:
        assert not plan_file(upscaler, header, OutputSize(), "png").by_rows
        upscale_file(source, tmp_path / "out.png", upscaler)
        expected = encode_picture(upscaler(read_picture(source)), "png")
        assert (tmp_path / "out.png").read_bytes() == expected
    with Upscaler(MODELS["one"], engine="ncnn", memory_bytes=1 << 20, **options) as small:
        (option,) = options
        with pytest.raises(InputError, match=f"needs .* of memory.*`{option}` needs the whole picture in memory"):
            plan_file(small, header, OutputSize(), "png")


def test_small_pictures_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    source = tmp_path / "in.png"
    write_picture(PICTURES["color"], source)
    with Upscaler(MODELS["one"], engine="ncnn") as upscaler:
        assert not plan_file(upscaler, read_header(source), OutputSize(), "png").by_rows


def test_it_is_a_public_function(tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.webp"
    write_picture(PICTURES["color"], source)
    told: list[tuple[int, int]] = []
    options = upres.UpscaleOptions(tile_px=24)
    upres.upscale_file(source, target, "compact-x2", scale=2, options=options, progress=lambda *now: told.append(now))
    assert read_picture(target).pixels.shape == (150, 104, 3)
    assert told[-1] == (150 * 104, 150 * 104)


def test_it_can_be_cancelled_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    write_picture(PICTURES["color"], source)
    calls = iter([False, False, True])
    with Upscaler(MODELS["one"], engine="ncnn", tile_px=24) as upscaler, pytest.raises(Cancelled):
        upscale_file(source, tmp_path / "out.png", upscaler, cancel=lambda: next(calls, True))
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_what_it_refuses(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    write_picture(PICTURES["color"], source)
    with pytest.raises(UsageError, match="`scale` and `size` exclude each other"):
        upscale_file(source, tmp_path / "a.png", scale=2, size=OutputSize(factor=2))
    with pytest.raises(OutputError, match=r"expected a suffix of .*; got \.gif"):
        upscale_file(source, tmp_path / "a.gif")
    with Upscaler(MODELS["one"], engine="ncnn") as upscaler:
        with pytest.raises(UsageError, match="an Upscaler has its options"):
            upscale_file(source, tmp_path / "a.png", upscaler, options=upres.UpscaleOptions())
        with pytest.raises(InputError, match="more than the limit of 100"):
            upscale_file(source, tmp_path / "a.png", upscaler, max_pixels=100)
    source.write_text("no picture")
    with pytest.raises(InputError, match="expected one of PNG"):
        upscale_file(source, tmp_path / "a.png")
    source.write_bytes(b"")
    with pytest.raises(InputError):
        upscale_file(source, tmp_path / "a.png")
