"""How `upres upscale` writes a JPEG: as the source, as asked, and of a size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from tests.cli.test_upscale import upscale
from tests.tiny import compact_file


def test_a_jpeg_follows_its_source_or_what_is_asked(tmp_path: Path) -> None:
    source, model = tmp_path / "a.jpg", compact_file(tmp_path / "tiny.pth")
    levels = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)
    Image.fromarray(levels).save(source, quality=60, subsampling="4:2:0")
    words = upscale(source, "-n", model, "-o", tmp_path / "b.jpg").stderr.decode()
    assert "written with quality 60, as the source; --quality 90 shows no blocks" in words
    with Image.open(source) as one, Image.open(tmp_path / "b.jpg") as other:
        assert one.quantization == other.quantization  # type: ignore[attr-defined]
        assert JpegImagePlugin.get_sampling(other) == 2
    target = tmp_path / "c.jpg"
    words = upscale(source, "-n", model, "-o", target, "--target-size", 8, "--chroma", "444").stderr.decode()
    assert "written with quality" not in words
    assert 6_000 < target.stat().st_size <= 8_000
    with Image.open(target) as image:
        assert JpegImagePlugin.get_sampling(image) == 0
    words = upscale(source, "-n", model, "-o", tmp_path / "d.jpg", "--target-size", 1, code=5).stderr.decode()
    assert "more than --target-size 1; choose a smaller size or a larger file" in words
    assert not (tmp_path / "d.jpg").exists()
    words = upscale(source, "-n", model, "--target-size", 100, code=2).stderr.decode()
    assert "--target-size needs a format with a quality (jpeg, webp, avif, heic, jxl), got png; set --format" in words
