"""Which pictures belong together, what is refused, and that all of it is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import noise, picture
from upres.errors import InputError, UsageError
from upres.images.io import write_picture
from upres.images.pairing import base_name, check_scale, check_sizes, common_size, find_pairs


def folder(path: Path, **sizes: tuple[int, int]) -> Path:
    path.mkdir(exist_ok=True)
    for stem, (height, width) in sizes.items():
        write_picture(picture(noise(height, width)), path / f"{stem}.png")
    return path


def test_pictures_without_lr_by_name_and_nothing_else(tmp_path: Path) -> None:
    hr = folder(tmp_path / "hr", b=(8, 8), a=(8, 8))
    (hr / "notes.txt").write_text("x")
    (hr / ".hidden.png").write_text("x")
    (hr / "folder.png").mkdir()
    assert [(pair.name, pair.lr) for pair in find_pairs(hr, None, 4)] == [("a.png", None), ("b.png", None)]


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ("baby", "baby"),
        ("baby", "babyx4"),
        ("baby", "baby_x4"),
        ("baby", "baby-X4"),
        ("baby_HR", "baby_LR"),
        ("a_HR", "a"),
        ("a", "a_LRx4"),
        ("0801", "0801x4m"),
        ("0801", "0801x4w1"),
        ("baby", "baby_LRBI_x4"),
        ("img_001_SRF_4_HR", "img_001_SRF_4_LR"),
        ("Canon_001_HR", "Canon_001_LR4"),
        ("photo_GT", "photo_lq"),
        ("HR_0001", "LR_0001"),
        ("a_SR", "a_LR"),
    ],
)
def test_suffixes_that_the_field_uses(tmp_path: Path, high: str, low: str) -> None:
    hr, lr = folder(tmp_path / "hr", **{high: (8, 8)}), folder(tmp_path / "lr", **{low: (2, 2)})
    assert [pair.lr for pair in find_pairs(hr, lr, 4)] == [lr / f"{low}.png"]


def test_the_same_name_wins_over_a_suffix(tmp_path: Path) -> None:
    hr = folder(tmp_path / "hr", a=(8, 8), ax4=(8, 8))
    lr = folder(tmp_path / "lr", a=(2, 2), ax4=(2, 2))
    assert [pair.lr for pair in find_pairs(hr, lr, 4)] == [lr / "a.png", lr / "ax4.png"]


def test_pictures_without_a_partner_are_named(tmp_path: Path) -> None:
    hr = folder(tmp_path / "hr", a=(8, 8), b=(8, 8))
    with pytest.raises(
        InputError,
        match=r"(?s)hr and .*lr do not match at x4; expected one LR picture for each .*\n"
        r"  b\.png has no LR picture in .*lr$",
    ):
        find_pairs(hr, folder(tmp_path / "lr", a=(2, 2)), 4)
    with pytest.raises(InputError, match=r"c\.png has no HR picture in .*hr$"):
        find_pairs(hr, folder(tmp_path / "lr", b=(2, 2), c=(2, 2)), 4)
    with pytest.raises(InputError, match=r"a\.png has no LR picture in .*x2\n  ax2\.png has no HR picture in .*one$"):
        find_pairs(folder(tmp_path / "one", a=(8, 8)), folder(tmp_path / "x2", ax2=(2, 2)), 4)


def test_two_lr_pictures_for_one_are_refused(tmp_path: Path) -> None:
    hr, lr = folder(tmp_path / "hr", a=(8, 8)), folder(tmp_path / "lr", ax4=(2, 2), a_x4=(2, 2))
    with pytest.raises(InputError, match=r"a\.png matches several LR pictures in .*: a_x4\.png, ax4\.png; keep one"):
        find_pairs(hr, lr, 4)


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError, match=r"the HR folder .*empty contains no pictures; expected files ending in .*\.png"
    ):
        find_pairs(tmp_path / "empty", None, 4)
    with pytest.raises(InputError, match=r"the HR folder .*missing does not exist or is not a folder"):
        find_pairs(tmp_path / "missing", None, 4)
    with pytest.raises(InputError, match=r"the LR folder .*empty contains no pictures"):
        find_pairs(folder(tmp_path / "hr", a=(8, 8)), tmp_path / "empty", 4)


def test_sizes_fit_where_hr_is_cropped_to_a_multiple(tmp_path: Path) -> None:
    hr, lr = folder(tmp_path / "hr", a=(43, 50)), folder(tmp_path / "lr", a=(10, 12))
    pairs = find_pairs(hr, lr, 4)
    assert check_sizes(pairs, 4) == (pairs, {})


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    pairs = find_pairs(folder(tmp_path / "hr", a=(43, 50)), folder(tmp_path / "lr", a=(12, 12)), 4)
    words = r"1 of 1 LR pictures do not match scale 4: a\.png is 50 x 43, so LR must be 12 x 10 \(or up to 13 x 11\), "
    words += "but it is 12 x 12"
    with pytest.raises(InputError, match=words):
        check_sizes(pairs, 4)


@pytest.mark.parametrize(
    ("hr", "lr", "scale", "common"),
    [
        ((129, 131), (64, 65), 2, (64, 65)),  # rounded down, as most sets do
        ((129, 131), (65, 66), 2, (64, 65)),  # rounded up, as MATLAB's imresize does
        ((129, 131), (65, 65), 2, (64, 65)),
        ((128, 128), (65, 64), 2, None),
        ((129, 131), (63, 65), 2, None),
        ((10, 7), (10, 7), 1, (10, 7)),
    ],
)
def test_lr_may_be_rounded_down_or_up(
    hr: tuple[int, int], lr: tuple[int, int], scale: int, common: tuple[int, int] | None
) -> None:
    assert common_size(hr, lr, scale) == common


def test_affixes_alone_are_a_name() -> None:
    assert [base_name(stem, 4) for stem in ("x4", "HR", "LR4", "bax2", "HR_HR")] == ["x4", "HR", "LR4", "bax2", "HR"]


def test_one_lr_picture_serves_one_hr_picture(tmp_path: Path) -> None:
    hr, lr = folder(tmp_path / "hr", a_HR=(8, 8), a_GT=(8, 8)), folder(tmp_path / "lr", a=(2, 2))
    with pytest.raises(InputError, match=r"a\.png is the LR picture of both a_GT\.png and a_HR\.png; keep one$"):
        find_pairs(hr, lr, 4)


@pytest.mark.parametrize(("side", "fits"), [(19, False), (20, True)])
def test_a_picture_too_small_for_ssim_fails_alone(tmp_path: Path, side: int, fits: bool) -> None:
    pairs = find_pairs(folder(tmp_path / "hr", a=(side, 60), b=(60, 60)), None, 4)
    good, failed = check_sizes(pairs, 4)
    assert [pair.name for pair in good] == (["a.png", "b.png"] if fits else ["b.png"])
    assert failed == (
        {} if fits else {"a.png": "60 x 19 is too small to measure at scale 4; expected at least 20 x 20"}
    )


def test_a_picture_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    hr = folder(tmp_path / "hr", a=(40, 40))
    (hr / "bad.png").write_bytes(b"")
    good, failed = check_sizes(find_pairs(hr, None, 4), 4)
    assert [pair.name for pair in good] == ["a.png"]
    assert list(failed) == ["bad.png"]
    assert "bad.png" in failed["bad.png"]


@pytest.mark.parametrize("scale", [0, -4, 17])
def test_a_scale_out_of_range_is_refused(scale: int) -> None:
    with pytest.raises(UsageError, match=f"`scale` must be an integer from 1 to 16, got {scale}"):
        check_scale(scale)
