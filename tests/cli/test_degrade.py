"""`upres degrade`, as it is typed."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from upres.cli.main import app
from upres.degradation.apply import draw_plan, load_recipe, run_plan, sharpened
from upres.images.io import Picture, read_picture, write_picture
from upres.images.resize import imresize


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "more/c.png")):
        coarse = np.random.default_rng(number).random((12, 10, 3), dtype=np.float32)
        write_picture(Picture(np.clip(imresize(coarse, size=(49, 42)), 0, 1)), folder / name)
    return folder


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["degrade", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def pixels(path: Path) -> np.ndarray:
    return read_picture(path).pixels


def test_a_picture_is_the_plan_of_its_seed_and_index(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "lr.png"
    code, words, _ = run(photos / "a.png", "-o", out, "--recipe", "real-esrgan", "--seed", 7, "--index", 3, "--json")
    assert code == 0
    plan = draw_plan(load_recipe("real-esrgan"), seed=7, index=3, scale=4)
    printed = json.loads(words)
    assert {key: printed[key] for key in plan} == plan and printed["picture"].endswith("a.png")
    hr = pixels(photos / "a.png")[:48, :40]
    assert np.array_equal(pixels(out), run_plan(sharpened(hr, plan), plan)) and pixels(out).shape == (12, 10, 3)


def test_a_printed_plan_gives_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    code, words, _ = run(photos, "-r", "-o", tmp_path / "lr", "--recipe", "bsrgan", "--seed", 1, "-s", 2, "--json")
    assert code == 0 and len(words.splitlines()) == 3
    plans = tmp_path / "plans.jsonl"
    plans.write_text(words)
    assert run(photos, "-r", "-o", tmp_path / "again", "--replay", plans)[0] == 0
    for name in ("a.png", "b.png", "more/c.png"):
        assert (tmp_path / "lr" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_pictures_of_a_folder_are_numbered(photos: Path, tmp_path: Path) -> None:
    assert run(photos, "-o", tmp_path / "lr", "--seed", 2)[0] == 0
    plan = draw_plan(load_recipe("real-esrgan"), seed=2, index=1, scale=4)
    hr = pixels(photos / "b.png")[:48, :40]
    assert np.array_equal(pixels(tmp_path / "lr" / "b.png"), run_plan(sharpened(hr, plan), plan))


def test_a_broken_picture_is_named_and_the_rest_goes_on(photos: Path, tmp_path: Path) -> None:
    (photos / "aa.png").write_bytes(b"no picture")
    (photos / "ab.png").write_bytes(b"")
    code, _, words = run(photos, "-o", tmp_path / "lr")
    assert code == 3 and "aa.png" in words and "ab.png" in words
    assert sorted(p.name for p in (tmp_path / "lr").iterdir()) == ["a.png", "b.png"]


def test_results_are_kept_unless_told_otherwise(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "lr.png"
    run(photos / "a.png", "-o", out)
    first = out.read_bytes()
    code, _, words = run(photos / "a.png", "-o", out, "--seed", 5)
    assert code == 0 and "exists and was kept: --overwrite replaces it" in words and out.read_bytes() == first
    assert run(photos / "a.png", "-o", out, "--seed", 5, "--overwrite")[0] == 0 and out.read_bytes() != first


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--recipe", "reel-esrgan"], 2, "unknown degradation recipe 'reel-esrgan', did you mean 'real-esrgan'"),
        (["--recipe", "none.toml"], 3, "none.toml cannot be read"),
        (["-s", "64"], 2, ""),
        (["--seed", "-1"], 2, ""),
        (["--replay", "none.jsonl"], 3, "--replay none.jsonl cannot be read"),
        (["--replay", "none.jsonl", "--seed", "0"], 2, "--seed contradicts --replay none.jsonl"),
        (["--replay", "none.jsonl", "--recipe", "wild"], 2, "--recipe contradicts --replay"),
    ],
)
def test_bad_arguments_end_before_anything_is_written(
    photos: Path, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    found, _, said = run(photos / "a.png", "-o", tmp_path / "lr.png", *arguments)
    assert found == code and words in said and not (tmp_path / "lr.png").exists()


def test_outputs_that_are_inputs_and_pictures_too_small_are_refused(photos: Path, tmp_path: Path) -> None:
    code, _, words = run(photos / "a.png", "-o", photos / "a.png", "--overwrite")
    assert code == 2 and "which is an input" in words
    write_picture(Picture(np.zeros((3, 50, 3), np.float32)), tmp_path / "thin.png")
    code, _, words = run(tmp_path / "thin.png", "-o", tmp_path / "lr.png")
    assert code == 3 and "thin.png is 50x3, too small to be downscaled by 4" in words
    empty = tmp_path / "empty"
    empty.mkdir()
    code, _, words = run(empty, "-o", tmp_path / "lr")
    assert code == 3 and "holds no picture" in words


def test_plans_and_pictures_must_be_as_many(photos: Path, tmp_path: Path) -> None:
    plans = tmp_path / "plans.jsonl"
    plans.write_text(json.dumps(draw_plan(load_recipe("wild"), seed=0, index=0, scale=4)))
    code, _, words = run(photos, "-o", tmp_path / "lr", "--replay", plans)
    assert code == 2 and "holds 1 plans for 2 pictures" in words
    plans.write_text("[]")
    code, _, words = run(photos / "a.png", "-o", tmp_path / "lr", "--replay", plans)
    assert code == 3 and f"--replay {plans}, line 1: a degradation plan: expected an object, got []" in words
    for text, said in (
        ('{"scale": 0, "steps": []}', "line 1: a degradation plan: scale must be a whole number"),
        (
            '{"scale": 4, "steps": [{"op": "blurr"}]}',
            "line 1: step 1 of a degradation plan: unknown op 'blurr', did you mean 'blur'?",
        ),
        ("{", "line 1 is not JSON"),
        ("", "holds no plan"),
    ):
        plans.write_text(text)
        code, _, words = run(photos / "a.png", "-o", tmp_path / "lr.png", "--replay", plans)
        assert code == 3 and said in words and not (tmp_path / "lr.png").exists()


def test_where_nothing_can_be_written_is_said_first(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    code, _, words = run(photos / "a.png", "-o", tmp_path / "file" / "x" / "lr.png")
    assert code == 5 and "cannot write to the folder" in words
    code, _, words = run(photos / "a.png", "-o", "-")
    assert code == 2 and "writes files, not standard output" in words
    code, _, words = run("-", "-o", tmp_path / "lr.png")
    assert code == 2 and "reads files, not standard input" in words


def test_transparency_is_left_out_with_a_word(tmp_path: Path) -> None:
    pixels_, alpha = np.full((16, 16, 3), 0.5, np.float32), np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    write_picture(Picture(pixels_, alpha=alpha), tmp_path / "clear.png")
    code, _, words = run(tmp_path / "clear.png", "-o", tmp_path / "lr.png", "--recipe", "bicubic")
    assert (
        code == 0 and "clear.png: transparency is dropped" in words and read_picture(tmp_path / "lr.png").alpha is None
    )


def test_gray_stays_gray(tmp_path: Path) -> None:
    write_picture(Picture(np.full((16, 16, 1), 0.5, np.float32)), tmp_path / "gray.png")
    assert run(tmp_path / "gray.png", "-o", tmp_path / "lr.png", "--recipe", "wild")[0] == 0
    assert pixels(tmp_path / "lr.png").shape == (4, 4, 1)
