"""`upres prepare`, as it is typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.made import draw_photographs
from upres.cli.main import app
from upres.training.data.shards import is_shards, open_shards

SMALL = ["--crop", "48", "--step", "32", "--smallest", "32", "--validation", "1"]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["prepare", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_photographs(tmp_path / "photos", 5)


def test_it_tells_what_it_made_and_what_it_left_out(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes(b"x")
    (photos / "again.png").write_bytes((photos / "0.png").read_bytes())
    code, out, err = run(photos, "-o", tmp_path / "s", *SMALL)
    assert code == 3 and "crops of 4 pictures, 1 validation pictures" in out and "in 1 shards" in out
    assert "1 pictures could not be read" in err
    assert "left out:" in err and "broken.png" in err and "again.png is an exact copy of 0.png" in err
    assert len(open_shards(tmp_path / "s").validation) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--scales", "1;2"], 2, "--scales takes factors such as 1,0.75,0.5, got '1;2'"),
        (["--crop", "8"], 2, "--crop must be at least 32"),
        (["--channels", "2"], 2, "--channels must be 1 or 3"),
        (["--exclude", "none"], 3, "none is not a folder: --exclude takes a folder of pictures"),
        (["--smallest", "48"], 0, ""),
    ],
)
def test_options(photos: Path, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    at = SMALL.index(arguments[0]) if arguments[0] in SMALL else len(SMALL)  # no option may be given twice
    found, _, err = run(photos, "-o", tmp_path / "s", *SMALL[:at], *SMALL[at + 2 :], *arguments)
    assert found == code and words in err and is_shards(tmp_path / "s") == (code == 0)


def test_a_folder_that_holds_something_is_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    code, _, err = run(photos, "-o", out, *SMALL)
    assert code == 5 and "holds other files" in err and (out / "mine.txt").exists()
    code, _, err = run(photos, "-o", photos / "0.png", *SMALL)
    assert code in (2, 5) and "0.png" in err
