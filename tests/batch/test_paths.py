from __future__ import annotations

from pathlib import Path

import pytest

from upres.batch.paths import Destination, InputFile, check_targets, choose_destination, find_pictures, make_folder
from upres.errors import OutputError, UsageError

SUFFIXES = {".png", ".jpg"}
FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(
    root: Path, inputs: list[str], *, recursive: bool = False, keep_out: Path | None = None, beside: bool = True
) -> list[str]:
    findings = find_pictures(inputs, recursive=recursive, suffixes=SUFFIXES, keep_out=keep_out, beside=beside)
    return [str(found.path.relative_to(root)) for found in findings.pictures if found.path is not None]


def test_a_folder_gives_its_pictures_in_order_and_counts_the_rest(tmp_path: Path) -> None:
    make(tmp_path, "b.PNG", "a.jpg", "notes.txt", ".hidden.png", "deep/c.png", ".git/d.png")
    findings = find_pictures([str(tmp_path)], recursive=False, suffixes=SUFFIXES, keep_out=None, beside=True)
    assert [found.path for found in findings.pictures] == [tmp_path / "a.jpg", tmp_path / "b.PNG"]
    skipped = ("hidden file", "file that is not a picture", "folder inside a folder (`recursive=True` includes them)")
    assert findings.left_out == dict.fromkeys(skipped, 1)


def test_recursion_keeps_the_tree_and_leaves_hidden_folders(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "deep/er/c.png", ".git/d.png")
    findings = find_pictures([str(tmp_path)], recursive=True, suffixes=SUFFIXES, keep_out=None, beside=True)
    assert [found.folder for found in findings.pictures] == [Path(), Path("deep/er")]
    assert findings.left_out == {}
    destination = Destination("png", folder=Path("out"))
    assert [str(destination.target(found, "_x4", ".png")) for found in findings.pictures] == [
        str(Path("out/a.png")),
        str(Path("out/deep/er/c.png")),
    ]


def test_the_output_folder_inside_the_input_is_not_walked(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "out/a.png", "other/b.png")
    assert names(tmp_path, [str(tmp_path)], recursive=True, keep_out=tmp_path / "out", beside=False) == [
        "a.png",
        str(Path("other/b.png")),
    ]


def test_earlier_results_beside_their_pictures_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a_x4.png", "a_x2.5.png", "a_640x480.png", "b_x4.png", "deep/a_x4.png")
    assert names(tmp_path, [str(tmp_path)], recursive=True) == ["a.jpg", "b_x4.png", str(Path("deep/a_x4.png"))]
    globbed = [str(path) for path in sorted(tmp_path.glob("*.*"))]
    assert names(tmp_path, globbed) == ["a.jpg", "b_x4.png"]
    assert names(tmp_path, [str(tmp_path / "a_x4.png")]) == ["a_x4.png"]  # named alone, it is meant
    assert len(names(tmp_path, [str(tmp_path)], beside=False)) == 5


def test_a_missing_file_is_kept_to_fail_by_name_and_a_double_one_is_dropped(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    gone, there = str(tmp_path / "gone.png"), str(tmp_path / "a.png")
    assert names(tmp_path, [there, gone, there, str(tmp_path / "." / "a.png")]) == ["a.png", "gone.png"]


@pytest.mark.parametrize(
    ("inputs", "out", "format_name", "expected"),
    [
        (["a.jpg"], None, None, Destination("png")),
        (["a.jpg"], None, "jpeg", Destination("jpeg")),
        (["a.jpg"], "b.jpg", None, Destination("jpeg", file=Path("b.jpg"))),
        (["a.jpg"], "b.WEBP", None, Destination("webp", file=Path("b.WEBP"))),
        (["a.jpg"], "b", None, Destination("png", folder=Path("b"))),
        (["a.jpg"], "b.d/", None, Destination("png", folder=Path("b.d"))),
        (["a.jpg", "b.jpg"], "v1.0", None, Destination("png", folder=Path("v1.0"))),
        (["-"], None, None, Destination("png", stdout=True)),
        (["a.jpg"], "-", "webp", Destination("webp", stdout=True)),
        (["-"], "b.png", None, Destination("png", file=Path("b.png"))),
    ],
)
def test_where_results_go(inputs: list[str], out: str | None, format_name: str | None, expected: Destination) -> None:
    assert choose_destination(inputs, out, format_name, FORMATS) == expected


@pytest.mark.parametrize(
    ("inputs", "out", "format_name", "words"),
    [
        (["a.jpg"], "b.bmp", None, r"`out=b\.bmp`: cannot write \.bmp; use \.png, .*or b\.bmp/ for a folder"),
        (["a.jpg"], "b.png", "jpeg", r"b\.png` has the suffix of png, but `format` is jpeg"),
        (["a.jpg"], None, "bmp", r"`format='bmp'` cannot be written; choose one of png, jpeg, webp"),
        (["a.jpg", "b.jpg"], "-", None, "writes one picture to standard output"),
        (["a.jpg", "-"], None, None, "standard input .* needs an output folder"),
    ],
)
def test_contradictions_are_refused(inputs: list[str], out: str | None, format_name: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose_destination(inputs, out, format_name, FORMATS)


def test_existing_things_decide_what_a_name_means(tmp_path: Path) -> None:
    make(tmp_path, "pics.d/a.png", "file")
    folder, file = tmp_path / "pics.d", tmp_path / "file"
    assert choose_destination(["a.jpg"], str(folder), None, FORMATS).folder == folder
    assert choose_destination([str(folder)], str(tmp_path / "new.d"), None, FORMATS).folder == tmp_path / "new.d"
    with pytest.raises(UsageError, match=r"is a file, but there are several results; name a folder"):
        choose_destination([str(folder)], str(file), None, FORMATS)


def test_of_two_inputs_with_one_output_the_second_fails_and_both_are_named() -> None:
    wanted = (("a.jpg", "out/a.png"), ("b.jpg", "out/b.png"), ("a.webp", "out/../out/a.png"))
    pairs = [(InputFile(Path(name)), Path(target)) for name, target in wanted]
    clashes = check_targets(pairs)
    assert list(clashes) == [2]
    assert str(clashes[2]).startswith("a.webp and a.jpg have the same output ")


def test_a_file_name_for_several_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"names one file for several results; name a folder"):
        choose_destination(["a.jpg", "b.jpg"], str(tmp_path / "one.jpg"), None, FORMATS | {".jpg": "jpeg"})


def test_an_input_is_never_an_output(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.jpg")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    for target in ("a.png", "link.png"):
        with pytest.raises(UsageError, match=r"would overwrite the input .*a\.png; choose another output"):
            check_targets([(InputFile(tmp_path / "b.jpg"), tmp_path / target), (InputFile(tmp_path / "a.png"), None)])


def test_a_folder_is_made_and_proven(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    make(tmp_path, "file")
    with pytest.raises(OutputError, match=r"cannot write to the folder .*below: Not a directory; choose another `out`"):
        make_folder(tmp_path / "file" / "below")


def test_a_path_that_may_not_be_looked_at_fails_later_by_itself(tmp_path: Path) -> None:
    """Path.is_dir raises where a folder may not be entered, and for a part of more than 255 bytes."""
    long = str(tmp_path / ("n" * 300) / "a.png")
    found = find_pictures([long], recursive=False, suffixes={".png"}, keep_out=None, beside=False)
    assert [one.path for one in found.pictures] == [Path(long)]
    assert choose_destination([long], long, None, {".png": "png"}).file == Path(long)
