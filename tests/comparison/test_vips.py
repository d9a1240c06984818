"""Text as masks, and lossless WebP."""

from __future__ import annotations

import numpy as np
import pyvips

from tests.comparison.made import random_levels
from upres.comparison.vips import clean, draw_text, fit_text, lossless_webp, text_width


def test_text_is_drawn_and_measured() -> None:
    mask = draw_text("PSNR", 13.0)
    assert mask.coverage.max() > 200 and 5 < mask.coverage.shape[0] < 16
    assert text_width("PSNR", 26.0) > 1.7 * text_width("PSNR", 13.0)
    assert text_width("PSNR", 13.0, bold=True) > text_width("PSNR", 13.0)
    assert draw_text("<b>&amp;", 13.0).coverage.shape[1] > draw_text("b", 13.0).coverage.shape[1] * 4  # no markup


def test_long_text_is_shortened_in_the_middle() -> None:
    assert fit_text("short", 500, 13.0) == "short"
    fitted = fit_text("beginning_" * 9 + "end", 120, 13.0)
    assert fitted.startswith("beg") and fitted.endswith("end") and "…" in fitted
    assert text_width(fitted, 13.0) <= 120
    assert text_width("", 13.0) == 0


def test_names_that_are_no_text_become_text() -> None:
    assert clean("a\nb\udcff\t\x00") == "a b?  "


def test_webp_keeps_every_level() -> None:
    levels = random_levels(33, 47)
    decoded = pyvips.Image.new_from_buffer(lossless_webp(levels), "").numpy()
    np.testing.assert_array_equal(decoded, levels)
