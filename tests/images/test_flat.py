"""Which pictures count as drawn in flat colors, and that only those are written without loss."""

from __future__ import annotations

import numpy as np
import pytest

from upres.images.flat import FlatShare, is_flat
from upres.images.io import encode_picture, read_picture
from upres.images.picture import Picture

RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 256, (64, 96, 3)).astype(np.uint8)
DRAWN = RNG.integers(0, 256, (4, 6, 3)).repeat(16, axis=0).repeat(16, axis=1).astype(np.uint8)


def test_the_share_of_blocks_decides() -> None:
    assert is_flat(DRAWN) and not is_flat(NOISE)
    mixed = NOISE.copy()
    mixed[:32] = 200
    assert is_flat(mixed)  # half of it
    mixed[24:32] = NOISE[24:32]
    assert not is_flat(mixed)
    assert not is_flat(DRAWN[:7]) and not is_flat(DRAWN[:, :5])  # no whole block


def test_bands_count_as_the_whole() -> None:
    share = FlatShare()
    assert not share.is_flat
    for top in range(0, 64, 24):
        share.add(DRAWN[top : top + 24])
    assert share.is_flat


@pytest.mark.parametrize("format", ["webp", "avif"])
def test_a_quality_that_is_asked_for_holds(format: str) -> None:
    picture = Picture((DRAWN / 255).astype(np.float32))
    exact, asked = (encode_picture(picture, format, quality=quality) for quality in (None, 30))
    np.testing.assert_array_equal(np.rint(read_picture(exact).pixels * 255), DRAWN)
    assert (np.rint(read_picture(asked).pixels * 255) != DRAWN).any()
    noise = Picture((NOISE / 255).astype(np.float32))
    assert (np.rint(read_picture(encode_picture(noise, format)).pixels * 255) != NOISE).any()
