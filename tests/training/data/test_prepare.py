"""`prepare`: checked first, cut without gaps, copies once, split by picture, and nothing half done."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.training.made import draw_photographs
from upres.errors import DataError, OutputError, UsageError
from upres.images.io import Picture, write_picture
from upres.images.resize import imresize
from upres.training.config import TrainConfig
from upres.training.data import prepare as module
from upres.training.data.crops import Options, changes_255
from upres.training.data.images import read_levels
from upres.training.data.prepare import prepare
from upres.training.data.shards import INDEX, is_shards, open_shards
from upres.training.data.training_set import load_training_set

SMALL = Options(crop_px=48, step_px=32, smallest_px=32, validation=2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    draw_photographs(folder, 9)
    return folder


def names_in(out: Path) -> tuple[set[str], set[str]]:
    shards = open_shards(out)
    return {name for name, _ in shards.crops}, {name for name, _ in shards.validation}


def write_gray(path: Path, height: int = 64, width: int = 64, depth: int = 8, seed: int = 0) -> None:
    coarse = np.random.default_rng(seed).random((height // 4, width // 4, 1), dtype=np.float32)
    write_picture(Picture(np.clip(imresize(coarse, size=(height, width)), 0, 1), depth=depth), path)


def test_crops_are_the_pixels_of_their_pictures(photos: Path, tmp_path: Path) -> None:
    report = prepare([photos], tmp_path / "s", SMALL)
    index = json.loads((tmp_path / "s" / INDEX).read_text())
    shards = open_shards(tmp_path / "s")
    assert (
        report.crops == len(shards.crops) == len(index["crops"]) > 9 and report.pictures == 7 and report.validation == 2
    )
    for (name, levels), row in zip(shards.crops, index["crops"], strict=True):
        top, left = row[5:7]
        assert np.array_equal(levels, read_levels(photos / name)[top : top + 48, left : left + 48])
    assert index["options"]["crop_px"] == 48 and index["left_out"] == []


def test_the_split_is_by_picture_and_the_same_every_time(photos: Path, tmp_path: Path) -> None:
    prepare([photos], tmp_path / "a", SMALL)
    training, validation = names_in(tmp_path / "a")
    assert len(validation) == 2 and not training & validation
    for path in photos.glob("*.png"):
        path.rename(path.with_name(f"x_{path.name}"))  # names decide nothing
    prepare([photos], tmp_path / "b", SMALL)
    assert {f"x_{name}" for name in validation} == names_in(tmp_path / "b")[1]
    share = Options(crop_px=48, step_px=32, smallest_px=32, validation=0.12)
    assert prepare([photos], tmp_path / "c", share).validation == 1


def test_broken_small_and_doubled_pictures_are_named_and_the_rest_goes_on(photos: Path, tmp_path: Path) -> None:
    first = sorted(photos.glob("*.png"))[0]
    (photos / "more" / "empty.png").write_bytes(b"")
    (photos / "more" / "text.jpg").write_bytes(b"no picture")
    (photos / "more" / "cut.png").write_bytes(first.read_bytes()[:300])
    (photos / "more" / "same.png").write_bytes(first.read_bytes())
    image = read_levels(first)
    write_picture(
        Picture(imresize(image, 0.7)[:, ::-1].astype(np.float32) / np.float32(255)), photos / "more" / "near.png"
    )
    write_gray(photos / "more" / "tiny.png", 16, 60)
    report = prepare([photos], tmp_path / "s", SMALL)
    words = "\n".join(report.left_out)
    for name in ("empty.png", "text.jpg", "cut.png", "tiny.png is 60x16, smaller than `smallest_px=32`"):
        assert name in words
    assert (
        f"same.png is an exact copy of {first.name}" in words and f"near.png is nearly a copy of {first.name}" in words
    )
    assert len(report.left_out) == 6 and report.pictures + report.validation == 9


def test_test_pictures_are_kept_out(photos: Path, tmp_path: Path) -> None:
    test = tmp_path / "test"
    test.mkdir()
    chosen = sorted(photos.glob("*.png"))[3]
    write_picture(Picture(imresize(read_levels(chosen), 1.4).astype(np.float32) / np.float32(255)), test / "t.png")
    (test / "broken.png").write_bytes(b"x")
    report = prepare([photos], tmp_path / "s", SMALL, exclude=[test])
    assert len(report.left_out) == 1 and chosen.name in report.left_out[0] and "t.png (`exclude`)" in report.left_out[0]
    assert any("broken.png" in note for note in report.notes)
    assert chosen.name not in set.union(*names_in(tmp_path / "s"))


def test_flat_crops_are_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    image = np.full((96, 192, 3), 0.5, np.float32)
    image[:, 96:] = np.random.default_rng(0).random((96, 96, 3), dtype=np.float32)
    write_picture(Picture(image), folder / "half.png")
    report = prepare([folder], tmp_path / "s", Options(crop_px=48, step_px=48, smallest_px=32, validation=0))
    assert (report.crops, report.flat) == (4, 4)
    write_picture(Picture(np.full((96, 96, 3), 0.5, np.float32)), folder / "half.png")
    with pytest.raises(DataError, match="all crops are flat: a `flat_255` below 1 keeps more"):
        prepare([folder], tmp_path / "t", SMALL)
    assert not is_shards(tmp_path / "t")
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 50, axis=0)
    assert changes_255(ramp, [0, 30], 100) == pytest.approx([0.5, 0.5])  # one level a column, none a row


def test_gray_and_16_bit_stay_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, depth in enumerate((16, 8, 16, 16)):
        write_gray(folder / f"{i}.png", depth=depth, seed=i)
    prepare([folder], tmp_path / "s", SMALL)
    shards = open_shards(tmp_path / "s")
    assert (shards.channels, shards.depth) == (1, 16)
    found = next(levels for name, levels in (*shards.crops, *shards.validation) if name == "1.png")
    assert np.array_equal(found[:48, :48], read_levels(folder / "1.png")[:48, :48].astype(np.uint16) * 257)
    prepare([folder], tmp_path / "t", Options(48, 32, 32, validation=1, depth=8, channels=3))
    assert (open_shards(tmp_path / "t").channels, open_shards(tmp_path / "t").depth) == (3, 8)


def test_gray_and_color_are_not_mixed_without_being_told(photos: Path, tmp_path: Path) -> None:
    write_gray(photos / "gray.png")
    with pytest.raises(
        DataError, match=r"gray and color pictures are mixed: .*gray\.png is gray, .* `channels=3` .*`channels=1`"
    ):
        prepare([photos], tmp_path / "s", SMALL)
    assert not (tmp_path / "s").exists()
    assert prepare([photos], tmp_path / "s", Options(48, 32, 32, channels=3)).pictures == 8


def test_reduced_copies_are_cut_too(photos: Path, tmp_path: Path) -> None:
    one = prepare([photos], tmp_path / "a", SMALL)
    two = prepare([photos], tmp_path / "b", Options(48, 32, 32, validation=2, scales=(1.0, 0.5)))
    assert two.crops > one.crops
    rows = json.loads((tmp_path / "b" / INDEX).read_text())["crops"]
    row = next(row for row in rows if row[7] == 0.5)
    shards = open_shards(tmp_path / "b")
    found = shards.crops[rows.index(row)][1]
    expected = imresize(read_levels(photos / row[0]), 0.5)
    assert np.array_equal(found, expected[row[5] : row[5] + 48, row[6] : row[6] + 48])


def test_it_refuses_what_cannot_be_before_any_work(photos: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    cases: list[tuple[type[Exception], str, dict[str, object]]] = [
        (DataError, "holds no picture", {"folders": [empty]}),
        (DataError, "is not a folder", {"folders": [tmp_path / "none"]}),
        (UsageError, "is in .*photos, whose pictures are read", {"out": photos / "s"}),
        (UsageError, "`step_px` in \\[1, crop\\]", {"options": Options(crop_px=48, step_px=49, smallest_px=32)}),
        (UsageError, "`scales` must be in", {"options": Options(scales=(2.0,))}),
        (
            UsageError,
            "`validation` must be a number of pictures, or a share below 1, got 2.5",
            {"options": Options(validation=2.5)},
        ),
        (DataError, "none of the pictures can be used:", {"options": Options(crop_px=9000, smallest_px=9000)}),
    ]
    for kind, words, changes in cases:
        values: dict[str, object] = {"folders": [photos], "out": tmp_path / "s", "options": SMALL, **changes}
        with pytest.raises(kind, match=words):
            prepare(values["folders"], values["out"], values["options"])  # type: ignore[arg-type]
        assert not (tmp_path / "s").exists()


def test_what_is_there_is_not_lost(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    prepare([photos], out, SMALL)
    before = (out / INDEX).read_bytes()
    with pytest.raises(OutputError, match="already holds shards: use `overwrite=True` to replace them"):
        prepare([photos], out, SMALL)
    assert (out / INDEX).read_bytes() == before
    prepare([photos], out, Options(40, 32, 32), overwrite=True)
    assert (out / INDEX).read_bytes() != before and open_shards(out).crops
    (out / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other files"):
        prepare([photos], out, SMALL, overwrite=True)
    assert (out / "letter.txt").exists() and open_shards(out).crops


def test_a_killed_run_begins_afresh(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "s"
    real, calls = module._again, []

    def interrupted(entry: object) -> object:
        calls.append(entry)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(entry)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_again", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare([photos], out, SMALL)
    assert out.is_dir() and list(out.iterdir()) and not is_shards(out)
    monkeypatch.undo()
    prepare([photos], out, SMALL)
    assert len(open_shards(out).crops) > 9 and not list(out.glob(".*"))


def test_a_full_disk_is_an_error_of_the_output_and_the_next_run_clears_it(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    resource = pytest.importorskip("resource")  # limits of a process: not on Windows
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails with EFBIG
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(OutputError, match="the disk is full"):
            prepare([photos], out, SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert not is_shards(out) and any(out.iterdir())
    prepare([photos], out, SMALL)
    assert len(open_shards(out).crops) > 9 and not list(out.glob(".*"))


def test_shards_of_another_program_are_not_touched(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    out.mkdir()
    for name in ("shard_0000.bin", INDEX):
        (out / name).write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"holds other files \(index\.json, shard_0000\.bin\)"):
            prepare([photos], out, SMALL, overwrite=overwrite)
    assert all((out / name).read_text() == "{}" for name in ("shard_0000.bin", INDEX))


def test_alpha_is_left_out(photos: Path, tmp_path: Path) -> None:
    prepare([photos], tmp_path / "a", SMALL)
    for path in photos.glob("*.png"):
        image = read_levels(path).astype(np.float32) / np.float32(255)
        write_picture(
            Picture(image, alpha=np.linspace(0.5, 1, image[..., 0].size, dtype=np.float32).reshape(image.shape[:2])),
            path,
        )
    prepare([photos], tmp_path / "b", SMALL)
    assert open_shards(tmp_path / "a").fingerprint == open_shards(tmp_path / "b").fingerprint


def test_fewer_pictures_to_validate_on_than_asked_for_are_told(photos: Path, tmp_path: Path) -> None:
    report = prepare([photos], tmp_path / "s", Options(48, 32, 32, validation=5))
    assert report.validation == 2 and report.notes == [
        "2 pictures are kept for validation, not 5: at most a quarter of 9"
    ]


def test_a_picture_that_changes_meanwhile_is_an_error(photos: Path, tmp_path: Path) -> None:
    def change(stage: str, done: int, of: int) -> None:
        if stage == "checking" and done == of:
            draw_photographs(photos, 9, height=80)

    with pytest.raises(DataError, match="changed while it was being prepared"):
        prepare([photos], tmp_path / "s", SMALL, progress=change)


def test_training_reads_shards(photos: Path, tmp_path: Path) -> None:
    prepare([photos], tmp_path / "s", SMALL)
    config = TrainConfig(recipe="t", scale=2, patch_px=12, hr_scales=(1.0,))
    pictures = load_training_set(config, tmp_path / "s", None)
    assert len(pictures.pairs) == len(open_shards(tmp_path / "s").crops) and len(pictures.validation) == 2
    assert pictures.channels == 3 and all(pair.lr is None for pair in pictures.pairs)
