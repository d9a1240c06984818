"""An evaluation: its figures against scikit-image's and published ones, its columns, and what is left out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from tests.oracles.literal_imresize import imresize_literal
from tests.tiny import FakeRunner, compact, gray_graph, noise, picture
from upres.errors import EngineError, InputError, ModelError, UsageError
from upres.evaluation.evaluate import evaluate
from upres.evaluation.measures import lr_psnr, measure
from upres.evaluation.pictures import crop_to_multiple
from upres.evaluation.tables import format_table
from upres.images.io import Picture, quantize, read_picture, write_picture
from upres.images.pairing import find_pairs
from upres.images.resize import imresize
from upres.upscaling.upscaler import Upscaler


def nearest(scale: int = 2, **faults: object) -> Upscaler:
    """With `faults` the network is at fault, not the engine: what runs bad tiles again has them too."""
    runner, reference = (FakeRunner(scale, **faults) for _ in range(2))  # type: ignore[arg-type]
    return Upscaler(compact(scale), runner=runner, reference=reference)


def smooth(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.clip(imresize(noise(8, 9, channels, seed), size=(height, width)), 0, 1)


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    """Two pictures, one of them of odd size."""
    path = tmp_path / "hr"
    path.mkdir()
    write_picture(picture(smooth(41, 51)), path / "a.png")
    write_picture(picture(smooth(40, 36, seed=1)), path / "b.png")
    return path


def levels(path: Path) -> np.ndarray:
    return quantize(read_picture(path).pixels, 8)


def psnr_rgb(sr: np.ndarray, hr: np.ndarray, border: int) -> float:
    inside = (slice(border, -border), slice(border, -border))
    return float(peak_signal_noise_ratio(hr[inside], sr[inside], data_range=255))


def literal_uint8(image: np.ndarray, factor: float) -> np.ndarray:
    size = (round(image.shape[0] * factor), round(image.shape[1] * factor))
    planes = [imresize_literal(image[..., channel].astype(np.float64), size, (factor, factor)) for channel in range(3)]
    return np.clip(np.floor(np.stack(planes, axis=-1) + 0.5), 0, 255).astype(np.uint8)


def test_the_whole_protocol_against_other_programs(hr: Path) -> None:
    result = evaluate(find_pairs(hr, None, 2), {"nearest": nearest()}, scale=2)
    image = levels(hr / "a.png")[:40, :50]
    lr = literal_uint8(image, 0.5)
    assert result.scores["bicubic"]["a.png"].psnr_rgb == pytest.approx(
        psnr_rgb(literal_uint8(lr, 2.0), image, 2), abs=1e-9
    )
    enlarged = lr.repeat(2, axis=0).repeat(2, axis=1)
    assert result.scores["nearest"]["a.png"].psnr_rgb == pytest.approx(psnr_rgb(enlarged, image, 2), abs=1e-9)
    assert result.scores["nearest"]["a.png"] == measure(enlarged, image, border=2)
    assert list(result.scores) == ["bicubic", "nearest"]
    assert result.failed == {}


def test_a_real_engine_gives_the_figures_of_its_network(hr: Path) -> None:
    upscaler = Upscaler(compact(2, strength=0.0), engine="ncnn")
    result = evaluate(find_pairs(hr, None, 2), {"ours": upscaler, "nearest": nearest()}, scale=2)
    upscaler.close()
    assert result.scores["ours"] == result.scores["nearest"]  # with its last layer at 0 the network is nearest neighbor
    assert result.protocol["engines"]["ours"].startswith("ncnn ")


def test_lr_that_is_given_is_used(hr: Path, tmp_path: Path) -> None:
    lr = tmp_path / "lr"
    lr.mkdir()
    write_picture(picture(np.full((20, 25, 3), 0.5)), lr / "ax2.png")
    write_picture(picture(np.full((20, 18, 3), 0.5)), lr / "b.png")
    result = evaluate(find_pairs(hr, lr, 2), {}, scale=2)
    flat = np.full((40, 50, 3), 128, np.uint8)
    assert result.scores["bicubic"]["a.png"].psnr_rgb == pytest.approx(
        psnr_rgb(flat, levels(hr / "a.png")[:40, :50], 2), abs=1e-9
    )
    assert result.protocol["lr"] == "read from a folder, cropped to HR / 2"


def test_the_mean_is_over_the_pictures(hr: Path) -> None:
    result = evaluate(find_pairs(hr, None, 2), {"nearest": nearest()}, scale=2)
    for name, mean in result.means().items():
        rows = list(result.scores[name].values())
        assert len(rows) == 2
        assert mean.psnr_y == pytest.approx((rows[0].psnr_y + rows[1].psnr_y) / 2, abs=1e-12)
        assert mean.ssim_rgb == pytest.approx((rows[0].ssim_rgb + rows[1].ssim_rgb) / 2, abs=1e-12)


def test_cropping_keeps_the_top_left() -> None:
    image = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    np.testing.assert_array_equal(crop_to_multiple(image, 4), image[:4, :8])


def test_gray_is_run_and_measured_as_three_channels(tmp_path: Path) -> None:
    for name, channels in (("gray", 1), ("rgb", 3)):
        (tmp_path / name).mkdir()
        pixels = smooth(40, 40, 1)
        write_picture(picture(pixels.repeat(channels, axis=2)), tmp_path / name / "a.png")
    networks = {"rgb network": nearest(), "gray network": Upscaler(gray_graph(), engine="torch")}
    gray, rgb = (evaluate(find_pairs(tmp_path / name, None, 2), networks, scale=2).scores for name in ("gray", "rgb"))
    assert gray == rgb
    assert gray["gray network"] == gray["rgb network"]


def test_16_bit_is_measured_in_8_bit(tmp_path: Path) -> None:
    for name, depth in (("deep", 16), ("flat", 8)):
        (tmp_path / name).mkdir()
        write_picture(picture(smooth(40, 40), depth=depth), tmp_path / name / "a.png")
    deep, flat = (evaluate(find_pairs(tmp_path / name, None, 2), {}, scale=2).scores for name in ("deep", "flat"))
    assert deep["bicubic"]["a.png"].psnr_y == pytest.approx(flat["bicubic"]["a.png"].psnr_y, abs=0.01)


def test_transparency_is_said_to_be_left_out(tmp_path: Path) -> None:
    write_picture(picture(smooth(40, 40), smooth(40, 40)[..., 0].astype(np.float32)), tmp_path / "a.png")
    assert evaluate(find_pairs(tmp_path, None, 2), {}, scale=2).notes == ["a.png: transparency is not measured"]


def test_a_picture_that_one_model_fails_on_is_in_no_row(hr: Path) -> None:
    bad = nearest(spoil_call=0)
    result = evaluate(find_pairs(hr, None, 2), {"good": nearest(), "bad": bad}, scale=2)
    assert {name: list(images) for name, images in result.scores.items()} == {
        key: ["b.png"] for key in ("bicubic", "good", "bad")
    }
    assert list(result.failed) == ["a.png"]
    assert result.failed["a.png"].startswith("bad: fake 1 returned NaN or infinity")
    assert result.protocol["pictures"] == 1


def test_no_picture_measured_is_an_error(hr: Path) -> None:
    broken = nearest(spoil_call=0, error=EngineError("no memory"))
    (hr / "b.png").unlink()
    with pytest.raises(InputError, match=r"none of the 1 pictures could be measured: a\.png: broken: .*no memory"):
        evaluate(find_pairs(hr, None, 2), {"broken": broken}, scale=2)


def test_a_refused_model_is_not_a_bad_picture(hr: Path) -> None:
    with pytest.raises(ModelError, match="refused"):
        evaluate(find_pairs(hr, None, 2), {"bad": nearest(spoil_call=0, error=ModelError("refused"))}, scale=2)


def test_a_model_of_another_scale_is_refused_before_any_runs(hr: Path) -> None:
    first, second = nearest(2), nearest(4)
    with pytest.raises(
        UsageError, match=r"model four has scale 4, but `scale` is 2; use `scale=4`, or a model of scale 2"
    ):
        evaluate(find_pairs(hr, None, 2), {"two": first, "four": second}, scale=2)
    assert isinstance(first.runner, FakeRunner)
    assert first.runner.calls == []
    with pytest.raises(UsageError, match="cannot be named bicubic"):
        evaluate(find_pairs(hr, None, 2), {"bicubic": first}, scale=2)


def test_the_scale_of_a_chain_is_that_of_all_its_networks(hr: Path) -> None:
    def chain() -> Upscaler:
        return Upscaler([compact(2), compact(2)], runner=FakeRunner())

    result = evaluate(find_pairs(hr, None, 4), {"chain": chain()}, scale=4)
    assert list(result.scores["chain"]) == ["a.png", "b.png"]
    with pytest.raises(UsageError, match="model chain has scale 4, but `scale` is 2; use `scale=4`"):
        evaluate(find_pairs(hr, None, 2), {"chain": chain()}, scale=2)


def test_tiles_that_were_run_again_are_noted(hr: Path) -> None:
    upscaler = Upscaler(compact(2, strength=0.0), runner=FakeRunner(spoil_call=0), threads=1)
    result = evaluate(find_pairs(hr, None, 2), {"card": upscaler}, scale=2)
    assert list(result.scores["card"]) == ["a.png", "b.png"]
    assert [note.partition(";")[0] for note in result.notes] == [
        "a.png, card: fake 1 (fp32 on cpu) returned 1 of 1 tiles with NaN or infinity"
    ]


def test_rounded_luma_is_another_protocol(hr: Path) -> None:
    plain, rounded = (evaluate(find_pairs(hr, None, 2), {}, scale=2, round_luma=flag) for flag in (False, True))
    assert plain.means()["bicubic"].psnr_y != rounded.means()["bicubic"].psnr_y
    assert plain.means()["bicubic"].psnr_rgb == rounded.means()["bicubic"].psnr_rgb
    assert "not rounded" in plain.protocol["y"] and "rounded to whole levels" in rounded.protocol["y"]
    assert "PSNR (Y, rounded, border 2)" in format_table(rounded)


def test_lr_psnr_is_of_lr_and_the_reduced_sr(hr: Path, tmp_path: Path) -> None:
    result = evaluate(find_pairs(hr, None, 2), {"nearest": nearest()}, scale=2, lr_psnr=True)
    lr = literal_uint8(levels(hr / "a.png")[:40, :50], 0.5)
    again = {
        "bicubic": literal_uint8(literal_uint8(lr, 2.0), 0.5),
        "nearest": literal_uint8(lr.repeat(2, axis=0).repeat(2, axis=1), 0.5),
    }
    for name, reduced in again.items():
        expected = peak_signal_noise_ratio(lr, reduced, data_range=255)
        assert result.scores[name]["a.png"].lr_psnr == pytest.approx(expected, abs=1e-9)
    lines = format_table(result).splitlines()
    assert lines[2] == "LR-PSNR: RGB, LR against the MATLAB-equal cubic reduction of SR in 8 bit, no border"
    assert lines[4].endswith("  LR-PSNR (RGB)") and lines[-1].split()[-1] == f"{result.means()['nearest'].lr_psnr:.2f}"
    assert result.reference == {} and "hr" not in result.to_json()
    assert lr_psnr(again["bicubic"].repeat(2, axis=0).repeat(2, axis=1), lr) < 60
    flat = np.full((8, 8, 3), 77, np.uint8)
    assert lr_psnr(flat.repeat(2, axis=0).repeat(2, axis=1), flat) == math.inf


def test_progress_counts_pictures(hr: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(find_pairs(hr, None, 2), {}, scale=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


# Known answers.

PUBLISHED_PSNR_Y = {"Set5": 28.43, "Set14": 26.09, "BSD100": 25.96}  # cubic x4, Y, border 4


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED_PSNR_Y)
def test_bicubic_of_the_standard_sets(assets: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # two thirds of the time, and the test below measures it
    monkeypatch.setattr("upres.evaluation.measures.ssim", lambda *_, **__: 1.0)
    folder = assets / "data" / "test" / name
    mean = evaluate(find_pairs(folder, None, 4), {}, scale=4).means()["bicubic"]
    assert mean.psnr_y == pytest.approx(PUBLISHED_PSNR_Y[name], abs=0.01)


@pytest.mark.slow
def test_bicubic_ssim_of_set5_is_the_published_one_with_rounded_luma(assets: Path) -> None:
    folder = assets / "data" / "test" / "Set5"
    mean = evaluate(find_pairs(folder, None, 4), {}, scale=4, round_luma=True).means()["bicubic"]
    assert mean.ssim_y == pytest.approx(0.8104, abs=0.0005)


def test_a_picture_is_a_picture() -> None:
    """The helper of these tests builds the real class, so what is measured here went through the real door."""
    assert isinstance(picture(noise(2, 2)), Picture)
