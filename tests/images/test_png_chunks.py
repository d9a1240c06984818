from __future__ import annotations

import io

import numpy as np
from PIL import Image

from upres.images.io import read_header, read_picture
from upres.images.png_chunks import chunk, with_early_exif


def test_exif_behind_the_pixels_turns_the_picture_as_exif_before_them() -> None:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (10, 20, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    png = stream.getvalue()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    block = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    end = png.rindex(b"IEND") - 4
    early, late = png[:33] + block + png[33:], png[:end] + block + png[end:]
    assert with_early_exif(png) == png
    wanted, found = read_picture(early), read_picture(late)
    assert (read_header(late).height, read_header(late).width) == (20, 10)
    np.testing.assert_array_equal(found.pixels, wanted.pixels)
    assert (found.exif, found.notes) == (wanted.exif, ())
    assert sorted(with_early_exif(late)) == sorted(late)
