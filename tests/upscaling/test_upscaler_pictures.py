"""What an upscaler takes and gives: arrays of any kind, and images of Pillow."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.tiny import noise
from tests.upscaling.test_upscaler import enlarged, nearest
from upres.errors import InputError


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("kind", ["uint8", "uint16", ">u2", "float16", "float32", "float64"])
def test_arrays_come_back_as_what_they_were(shape: tuple[int, ...], kind: str) -> None:
    """Nearest neighbor, so every value comes back exactly; the alpha is held between its neighbors, which those are."""
    rng = np.random.default_rng(3)
    dtype = np.dtype(kind)
    top = np.iinfo(dtype).max if dtype.kind == "u" else 1
    array = (rng.random(shape) * top).astype(dtype)
    result = nearest()(array)
    assert result.dtype == dtype
    assert result.shape == (10, 14, *shape[2:])
    tolerance = 0 if dtype.kind == "u" else 1e-3 if kind == "float16" else 1e-6
    np.testing.assert_allclose(result.astype(np.float64), enlarged(array).astype(np.float64), rtol=0, atol=tolerance)


def test_arrays_that_are_not_contiguous_and_not_writeable() -> None:
    array = (noise(12, 10) * 255).astype(np.uint8)
    view = array[::-2, ::2, ::-1]
    view.flags.writeable = False
    before = view.copy()
    np.testing.assert_array_equal(nearest()(view), enlarged(before))
    np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (np.zeros((3, 20, 20), np.uint8), "got (3, 20, 20); move the channels to the end"),
        (np.zeros((2, 8, 8, 3), np.uint8), "got (2, 8, 8, 3)"),
        (np.zeros((0, 8, 3), np.uint8), "got (0, 8, 3)"),
        (np.zeros(8, np.uint8), "got (8,)"),
        (np.zeros((8, 8), np.int64), "got int64; convert with astype"),
        (np.zeros((8, 8), bool), "got bool"),
        (np.full((8, 8), 255.0), "got values from 255 to 255; divide by the maximum"),
        (np.full((8, 8), np.nan), "in [0, 1], got values from nan"),
        ("photo.png", "got builtins.str; upres.read_picture reads files"),
        ([[0.0]], "got builtins.list; numpy.asarray may convert it"),
    ],
)
def test_what_is_no_picture_is_refused(thing: object, words: str) -> None:
    with pytest.raises(InputError) as error:
        nearest()(thing)  # type: ignore[type-var]
    assert words in str(error.value)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pil_images_come_back_as_what_they_were(mode: str) -> None:
    image = Image.fromarray((noise(6, 5, 4) * 255).astype(np.uint8)).convert(mode)
    result = nearest()(image)
    assert isinstance(result, Image.Image)
    assert (result.mode, result.size) == (mode, (10, 12))
    np.testing.assert_array_equal(np.asarray(result), enlarged(np.asarray(image)))


def test_pil_images_of_16_bits_palettes_and_one_bit() -> None:
    deep = Image.fromarray((noise(6, 5, 1)[:, :, 0] * 65535).astype(np.uint16))
    result = nearest()(deep)
    assert result.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(result), enlarged(np.asarray(deep)))
    palette = Image.fromarray((noise(6, 5) * 255).astype(np.uint8)).quantize(8)
    assert nearest()(palette).mode == "RGB"
    np.testing.assert_array_equal(np.asarray(nearest()(palette)), enlarged(np.asarray(palette.convert("RGB"))))
    assert nearest()(Image.new("1", (4, 4), 1)).getpixel((3, 3)) == 255
    keyed = Image.new("RGB", (4, 4), (1, 2, 3))
    keyed.info["transparency"] = (1, 2, 3)
    result = nearest()(keyed)
    assert result.mode == "RGBA"
    assert np.asarray(result)[:, :, 3].max() == 0


def test_what_a_pil_image_carries_stays_with_it() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (4, 4), (10, 200, 30))
    file = io.BytesIO()
    image.save(file, "PNG", icc_profile=profile, dpi=(300, 300))
    result = nearest()(Image.open(file))
    assert result.info["icc_profile"] == profile
    assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_pil_images_that_are_refused() -> None:
    for mode in ("CMYK", "F", "I", "YCbCr"):
        with pytest.raises(
            InputError, match=f"PIL mode {mode} is not supported .expected L, LA, RGB, RGBA, I;16.; convert"
        ):
            nearest()(Image.new(mode, (4, 4)))
    file = io.BytesIO()
    Image.fromarray((noise(60, 60) * 255).astype(np.uint8)).save(file, "PNG")
    with pytest.raises(InputError, match="Pillow cannot decode the image"):
        nearest()(Image.open(io.BytesIO(file.getvalue()[:2000])))


@pytest.mark.slow
def test_without_pillow_nothing_of_it_is_loaded() -> None:
    program = (
        "import sys, numpy as np, upres; "
        "upres.Upscaler('compact-x2', engine='ncnn', threads=1)(np.zeros((4, 4, 3), np.uint8)); "
        "assert not {'PIL', 'torch', 'typer', 'scipy'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
