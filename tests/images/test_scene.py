"""OpenEXR and Radiance HDR: light through codes and back, judged by FFmpeg and OpenCV."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upres.errors import InputError
from upres.images.io import Picture, SceneLight, encode_picture, read_picture, writing_notes
from upres.images.scene import light_of

LIGHT = np.random.default_rng(3).gamma(0.6, 0.25, (24, 32, 3)).astype(np.float16)


def exr(tmp_path: Path, channels: dict[str, Any], **header: Any) -> bytes:
    library: Any = pytest.importorskip("OpenEXR")
    fields = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage, **header}
    library.File(fields, channels).write(str(tmp_path / "a.exr"))
    return (tmp_path / "a.exr").read_bytes()


def rgb(light: Any) -> dict[str, Any]:
    return {name: np.ascontiguousarray(light[:, :, place]) for place, name in enumerate("RGB")}


def decoded(data: bytes) -> dict[str, Any]:
    """Header and channels by the library itself, for what FFmpeg does not tell."""
    library: Any = pytest.importorskip("OpenEXR")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "b.exr").write_bytes(data)
        file = library.File(str(Path(folder) / "b.exr"), separate_channels=True)
        return {"header": file.header(), **{name: found.pixels for name, found in file.channels().items()}}


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("factor", [1.0, 4096.0, 1e-3])
def test_light_comes_back_also_above_white_and_below_zero(tmp_path: Path, kind: type, factor: float) -> None:
    light = (LIGHT.astype(np.float32) * np.float32(factor)).astype(kind)
    light[3, 4] = -0.25 * light[3, 4]
    picture = read_picture(exr(tmp_path, rgb(light)))
    assert picture.scene is not None and picture.format == "exr" and picture.depth == 16
    assert picture.scene.half == (kind is np.float16)
    assert np.log2(picture.scene.white) == round(np.log2(picture.scene.white))
    assert (picture.scene.white == 1.0) == (factor == 1.0)
    back = decoded(encode_picture(picture, "exr"))
    for place, name in enumerate("RGB"):
        assert back[name].dtype == kind
        np.testing.assert_allclose(back[name], light[:, :, place], rtol=2e-6 if kind is np.float32 else 0, atol=0)


def test_the_mapping_is_that_of_the_standard_and_is_said(tmp_path: Path) -> None:
    light = np.full((16, 16, 3), 0.5, np.float32)
    light[0, 0] = (0.0, 0.18, 1.0)
    light[1, 1] = 8.0
    picture = read_picture(exr(tmp_path, rgb(light)))
    # IEC 61966-2-1: 0.18 has the code 0.4613561, 0.5 has 0.7353570
    np.testing.assert_allclose(picture.pixels[0, 0], (0.0, 0.4613561, 1.0), atol=1e-6)
    np.testing.assert_allclose(picture.pixels[3, 3], 0.7353570, atol=1e-6)
    assert picture.notes == (
        "light v was enlarged as sRGB(v); 0.4% of the pixels are brighter than white and go around the network",
    )
    assert writing_notes(picture, "png") == ("png ends at white, and brighter light was cut off; write exr to keep it",)
    assert writing_notes(picture, "exr") == ()


def test_ffmpeg_reads_what_is_written() -> None:
    av: Any = pytest.importorskip("av")
    pytest.importorskip("OpenEXR")
    codes = np.random.default_rng(5).random((24, 32, 3), dtype=np.float32)
    data = encode_picture(Picture(codes, scene=SceneLight(4.0)), "exr")
    with av.open(io.BytesIO(data), format="exr_pipe") as file:
        frame = next(file.decode(video=0))
    planes = [np.frombuffer(bytes(plane), np.uint8) for plane in frame.planes]
    kind, size = (np.float32, 4) if "32" in frame.format.name else (np.float16, 2)
    shown = {}
    for name, raw, plane in zip("GBR", planes, frame.planes, strict=True):
        shown[name] = raw.reshape(24, plane.line_size)[:, : 32 * size].copy().view(kind)
    light = light_of(Picture(codes, scene=SceneLight(4.0)))
    for place, name in enumerate("RGB"):
        np.testing.assert_allclose(shown[name], light[:, :, place], rtol=1e-3)


def test_alpha_is_premultiplied_as_the_format_says(tmp_path: Path) -> None:
    light, alpha = LIGHT.astype(np.float32), np.linspace(0.25, 1, 32, dtype=np.float32)[None].repeat(24, axis=0)
    picture = read_picture(exr(tmp_path, {**rgb(light * alpha[:, :, None]), "A": alpha}))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, alpha)
    np.testing.assert_allclose(light_of(picture), light, rtol=1e-5)
    back = decoded(encode_picture(picture, "exr"))
    np.testing.assert_allclose(back["G"], light[:, :, 1] * alpha, rtol=1e-5)


def test_what_else_a_file_says(tmp_path: Path) -> None:
    primaries = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    channels = {**rgb(LIGHT), "Z": np.ones((24, 32), np.float32)}
    data = exr(tmp_path, channels, chromaticities=primaries, comments="of a scene", xDensity=72.0)
    picture = read_picture(data)
    assert picture.notes[:2] == (
        "the channels Z were not kept",
        "its primaries are not those of sRGB; exr keeps them, other formats do not know of them",
    )
    assert picture.texts == (("comments", "of a scene"),) and picture.dpi == (72.0, 72.0)
    header = decoded(encode_picture(picture, "exr"))["header"]
    np.testing.assert_allclose(header["chromaticities"], primaries, rtol=1e-6)
    assert header["comments"] == "of a scene" and header["xDensity"] == 72.0


def test_one_channel_of_luminance_and_values_that_are_none(tmp_path: Path) -> None:
    light = LIGHT[:, :, 0].astype(np.float32)
    light[2, 2], light[2, 3] = np.nan, np.inf
    picture = read_picture(exr(tmp_path, {"Y": light}))
    assert picture.pixels.shape == (24, 32, 1) and np.isfinite(picture.pixels).all()
    assert picture.notes[0].startswith("2 pixels are infinite or no numbers; they became")
    assert decoded(encode_picture(picture, "exr")).keys() == {"header", "Y"}


def test_files_without_colors_are_refused(tmp_path: Path) -> None:
    data = exr(tmp_path, {"Z": np.ones((4, 4), np.float32)})
    with pytest.raises(InputError, match="its channels are Z, expected R, G and B, or Y"):
        read_picture(data)
    for bad in (data[:40], b"v/1\x01" + bytes(60), b"#?RADIANCE\n\n", b"#?RADIANCE\n\n+Y 4 +X 4\n"):
        with pytest.raises(InputError, match="is damaged, or of a kind that is not read"):
            read_picture(bad)


def test_opencv_reads_the_hdr_that_is_written(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    cv2: Any = pytest.importorskip("cv2")
    codes = np.random.default_rng(6).random((24, 32, 3), dtype=np.float32)
    made = Picture(codes, scene=SceneLight(16.0))
    (tmp_path / "a.hdr").write_bytes(encode_picture(made, "hdr"))
    shown = cv2.imread(str(tmp_path / "a.hdr"), cv2.IMREAD_UNCHANGED)[:, :, ::-1]
    light = light_of(made)
    step = 2.0 ** (np.frexp(shown.max(axis=2, keepdims=True))[1] - 8)
    assert (np.abs(shown - light) / step).max() <= 0.51  # rounded, not cut off
    back = read_picture(tmp_path / "a.hdr")
    np.testing.assert_allclose(light_of(back), shown, rtol=1e-5)


def test_an_exposure_is_taken_out() -> None:
    pytest.importorskip("imagecodecs")
    data = encode_picture(Picture(np.full((8, 8, 3), 0.5, np.float32)), "hdr")
    told = data.replace(b"\n\n", b"\nEXPOSURE=2.0\n\n", 1)
    one, other = (light_of(read_picture(each)) for each in (data, told))
    np.testing.assert_allclose(other, one / 2, rtol=1e-6)
