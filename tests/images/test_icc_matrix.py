from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image

from upres.images.icc import is_srgb
from upres.images.icc_matrix import Levels, MatrixProfile, read_matrix_profile
from upres.images.io import encode_picture, quantize, read_picture

D50 = (0.9642, 1.0, 0.8249)
# Primaries as they stand in the profiles of their makers, adapted to D50: rows are rXYZ, gXYZ, bXYZ.
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)

ARRAY = NDArray[np.float64]


def built_in(name: str) -> bytes:
    return bytes(pyvips.Operation.call("profile_load", name))


def s15(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def curv(*numbers: int) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(f">I{len(numbers)}H", len(numbers), *numbers)


def para(form: int, *values: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", form, 0) + s15(*values)


def profile(tags: dict[bytes, bytes], space: bytes = b"XYZ ") -> bytes:
    """A screen's RGB profile of version 4 (ICC.1:2022, 7.2 and 7.3)."""
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = b"\0\0\0\0\x04\x20\0\0mntrRGB " + space + bytes(12) + b"acsp" + bytes(28) + s15(*D50) + bytes(48)
    return struct.pack(">I", 128 + len(table) + len(body)) + header + table + body


def matrix_tags(primaries: tuple[tuple[float, ...], ...], curve: bytes) -> dict[bytes, bytes]:
    colors = {
        name: b"XYZ \0\0\0\0" + s15(*values)
        for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    }
    words = {
        name: b"mluc\0\0\0\0\0\0\0\x01\0\0\0\x0cenUS\0\0\0\x08\0\0\0\x1c\0t\0e\0s\0t" for name in (b"desc", b"cprt")
    }
    return {
        **words,
        b"wtpt": b"XYZ \0\0\0\0" + s15(*D50),
        **colors,
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }


def power_table(count: int, gamma: float) -> bytes:
    return curv(*(round(65535 * (i / (count - 1)) ** gamma) for i in range(count)))


PROFILES: dict[str, Callable[[], bytes]] = {
    "p3": lambda: built_in("p3"),
    "type 3": lambda: profile(matrix_tags(P3, para(3, *SRGB_CURVE))),
    "adobe": lambda: profile(matrix_tags(ADOBE, curv(563))),
    "prophoto": lambda: profile(matrix_tags(PROPHOTO, curv(461))),
    "romm": lambda: profile(matrix_tags(PROPHOTO, para(3, 1.8, 1.0, 0.0, 1 / 16, 16 * 0.001953))),
    "table": lambda: profile(matrix_tags(P3, power_table(1024, 2.2))),
    "short table": lambda: profile(matrix_tags(ADOBE, power_table(16, 1.8))),
    "linear": lambda: profile(matrix_tags(P3, curv())),
}


def opened(icc: bytes) -> MatrixProfile:
    found = read_matrix_profile(icc)
    assert found is not None
    return found


def cube(step: int) -> NDArray[np.uint8]:
    ladder = np.arange(0, 256, step).astype(np.uint8)
    return np.stack(np.meshgrid(ladder, ladder, ladder), axis=-1).reshape(len(ladder), -1, 3)


def fine_colors() -> NDArray[np.uint16]:
    """16 bits, evenly and crowded towards black."""
    noise = np.random.default_rng(5).random((60, 1000, 3))
    noise[30:] **= 5.0
    noise[:2] = np.repeat(np.linspace(0.0, 1.0, 2000).reshape(2, 1000, 1), 3, axis=2)
    return np.rint(noise * 65535).astype(np.uint16)


def there_and_back(icc: bytes, levels: Levels) -> NDArray[np.int64]:
    exact = opened(icc)
    back = quantize(exact.from_srgb(exact.to_srgb(levels)), 16 if levels.dtype == np.uint16 else 8)
    return np.abs(back.astype(np.int64) - levels)


@pytest.mark.parametrize("name", PROFILES)
def test_every_level_of_8_bits_comes_back(name: str) -> None:
    assert there_and_back(PROFILES[name](), cube(5)).max() == 0


@pytest.mark.parametrize("name", ["p3", "type 3", "romm", "linear"])
def test_every_level_of_16_bits_comes_back(name: str) -> None:
    assert there_and_back(PROFILES[name](), fine_colors()).max() == 0


@pytest.mark.parametrize("name", ["adobe", "prophoto"])
def test_a_power_is_exact_in_16_bits_too_but_beside_full_light(name: str) -> None:
    levels = fine_colors()
    moved = there_and_back(PROFILES[name](), levels)
    assert moved.max() <= 32  # float32 beside full light, where the curve is steepest
    assert moved[levels >= 2048].max() == 0
    assert moved[:2].max() == 0  # grays
    assert (moved > 0).mean() < 0.05


def test_colors_are_those_of_little_cms() -> None:
    icc = built_in("p3")
    levels = cube(15)
    image = pyvips.Image.new_from_array(levels).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    theirs = image.icc_transform("srgb", embedded=True, intent="relative", depth=16).numpy() / 65535.0
    ours = opened(icc).to_srgb(levels)
    inside = (ours >= 0.0).all(axis=2) & (ours <= 1.0).all(axis=2)
    assert 0.4 < inside.mean() < 0.5
    assert np.abs(ours - theirs)[inside].max() < 1 / 255
    assert np.abs(ours - theirs)[inside].mean() < 0.1 / 255
    assert (theirs[~inside].min(), theirs[~inside].max()) == (0.0, 1.0)  # theirs is clipped, ours goes on
    assert ours.min() < -0.3


def test_the_reddest_red_of_p3_is_the_published_one() -> None:
    """CSS Color 4, its example of color(display-p3 1 0 0) in sRGB: 1.0930, -0.2267, -0.1501."""
    red = opened(PROFILES["type 3"]()).to_srgb(np.array([[[255, 0, 0]]], np.uint8))
    np.testing.assert_allclose(red[0, 0], [1.0930, -0.2267, -0.1501], atol=2e-3)


@pytest.mark.parametrize(
    ("curve", "meant"),
    [
        (curv(), lambda x: x),
        (curv(512), lambda x: x**2),
        (curv(0, 16384, 65535), lambda x: np.interp(x, [0.0, 0.5, 1.0], [0.0, 16384 / 65535, 1.0])),
        (para(0, 2.5), lambda x: x**2.5),
        (para(1, 2.0, 1.25, -0.25), lambda x: np.where(x >= 0.2, (1.25 * x - 0.25) ** 2, 0.0)),
        (para(2, 2.0, 1.125, -0.125, 0.0625), lambda x: np.where(x >= 1 / 9, (1.125 * x - 0.125) ** 2, 0.0) + 0.0625),
        (para(3, 2.0, 0.75, 0.25, 0.5, 0.125), lambda x: np.where(x >= 0.125, (0.75 * x + 0.25) ** 2, 0.5 * x)),
        (
            para(4, 2.0, 0.75, 0.25, 0.5, 0.125, -0.125, -0.0693359375),
            lambda x: np.where(x >= 0.125, (0.75 * x + 0.25) ** 2 - 0.125, x / 2 - 0.0693359375),
        ),
    ],
)
def test_each_kind_of_curve_is_read_as_the_standard_words_it(curve: bytes, meant: Callable[[ARRAY], ARRAY]) -> None:
    x = np.linspace(0.0, 1.0, 257)
    found = opened(profile(matrix_tags(P3, curve))).curves[1]
    np.testing.assert_allclose(found.decode(x), meant(x), atol=2e-5)
    rises = np.diff(meant(x), prepend=-1.0) > 0.0
    np.testing.assert_allclose(found.encode(found.decode(x))[rises], x[rises], atol=1e-9)


def test_colors_beyond_the_file_are_brought_to_its_edge_by_quantize_alone() -> None:
    beyond = np.array([[[1.5, -0.4, 0.2], [-2.0, 3.0, 0.0]]], np.float32)
    found = opened(PROFILES["adobe"]()).from_srgb(beyond)
    assert np.isfinite(found).all()
    assert found.max() > 1.0
    assert quantize(found, 8).tolist()[0][1][1] == 255


def test_srgb_is_srgb_however_its_curve_is_written() -> None:
    primaries = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
    steps = np.arange(1024) / 1023
    table = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    assert is_srgb(profile(matrix_tags(primaries, curv(*np.rint(table * 65535).astype(int)))))
    assert is_srgb(profile(matrix_tags(primaries, para(3, *SRGB_CURVE))))
    assert not is_srgb(profile(matrix_tags(primaries, curv(461))))
    assert not is_srgb(PROFILES["type 3"]())


def test_a_look_up_table_is_left_to_the_library() -> None:
    tags = matrix_tags(P3, curv(563))
    del tags[b"gTRC"]
    assert read_matrix_profile(profile({**tags, b"A2B0": bytes(32)})) is None
    with pytest.raises(ValueError, match="damaged: no gTRC"):
        read_matrix_profile(profile(tags))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({b"rXYZ": b"XYZ \0\0\0\0" + s15(1.0)}, "rXYZ is not a color"),
        ({b"gXYZ": b"XYZ \0\0\0\0" + s15(*P3[0])}, "the primaries"),
        ({b"bXYZ": b"XYZ \0\0\0\0" + s15(99.0, 99.0, 99.0)}, "the primaries do not add up to white"),
        ({b"gTRC": b"text\0\0\0\0none"}, "gTRC is not a curve"),
        ({b"gTRC": b"curv"}, "gTRC is not a curve"),
        ({b"gTRC": curv(1, 2, 3)[:-2]}, "gTRC is truncated"),
        ({b"bTRC": para(5, 1.0)}, "bTRC is truncated or of unknown type"),
        ({b"bTRC": para(3, 2.4)}, "bTRC is truncated or of unknown type"),
        ({b"bTRC": curv(0)}, "bTRC has exponent 0"),
        ({b"bTRC": para(0, -1.0)}, "bTRC has exponent -1"),
        ({b"rTRC": para(1, 2.0, 0.0, 1.0)}, "rTRC decreases"),
        ({b"rTRC": curv(65535, 30000, 0)}, "rTRC does not increase"),
        ({b"rTRC": curv(7, 7, 7)}, "rTRC does not increase"),
        ({b"rTRC": para(3, 30000.0, 30000.0, 1.0, 1.0, 0.0)}, "rTRC is out of range"),
    ],
)
def test_what_is_wrong_is_told(change: dict[bytes, bytes], words: str) -> None:
    with pytest.raises(ValueError, match=f"damaged: {words}"):
        read_matrix_profile(profile({**matrix_tags(P3, curv(563)), **change}))


@pytest.mark.slow
def test_no_damage_to_a_profile_is_more_than_a_note() -> None:
    """600 profiles with bytes changed, cut or filled, as the profile of a TIFF: read with or without them, and written
    again.
    """
    rng = np.random.default_rng(11)
    levels = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    originals = [PROFILES[name]() for name in ("p3", "type 3", "adobe", "short table")]
    ignored = 0
    for turn in range(600):
        icc = bytearray(originals[turn % len(originals)])
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(0, len(icc)))
            icc[at] = int(rng.integers(0, 256)) if rng.random() < 0.7 else int(rng.choice([0, 127, 128, 255]))
        if rng.random() < 0.15:
            del icc[int(rng.integers(1, len(icc))) :]
        stream = io.BytesIO()
        Image.fromarray(levels).save(stream, "TIFF", icc_profile=bytes(icc))
        picture = read_picture(stream.getvalue())
        assert np.isfinite(picture.pixels).all()
        if picture.icc is None:
            ignored += 1
            assert [note.startswith("the color profile was ignored (") for note in picture.notes] == [True]
            np.testing.assert_array_equal(quantize(picture.pixels, 8), levels)
        else:
            assert picture.icc == bytes(icc)
            data = encode_picture(picture, "png")
            assert np.asarray(Image.open(io.BytesIO(data))).shape == levels.shape
    assert 100 < ignored < 500
