from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from upres.batch import resume
from upres.batch.request import Request
from upres.errors import UsageError
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize

SETTINGS = {"model": "a>b", "tta": ""}


def left(folder: Path, **changes: object) -> Path:
    """What the last version without a journal left in a folder."""
    (folder / resume.NAME).write_text(json.dumps({"format": resume.FORMAT, "settings": SETTINGS} | changes))
    return folder


def test_the_same_settings_go_on(tmp_path: Path) -> None:
    resume.check(left(tmp_path), dict(SETTINGS), 3)
    resume.end(tmp_path)
    assert list(tmp_path.iterdir()) == []
    resume.check(tmp_path, {}, 3)
    resume.end(tmp_path)


def test_others_are_refused_by_name_while_there_are_results(tmp_path: Path) -> None:
    left(tmp_path)
    with pytest.raises(UsageError) as error:
        resume.check(tmp_path, {"model": "a", "blend": "0.5"}, 2)
    assert "2 results of an unfinished job" in str(error.value)
    assert "(`blend`: not set before, 0.5 now; `model`: a>b before, a now; `tta`: set before, not set now)" in str(
        error.value
    )
    resume.check(tmp_path, {}, 0)


def test_models_are_those_of_a_job_with_the_same_settings(tmp_path: Path) -> None:
    left(tmp_path, models={"in/web.jpg": "photo-x4"})
    assert resume.recorded_models(tmp_path, dict(SETTINGS)) == {"in/web.jpg": "photo-x4"}
    assert resume.recorded_models(tmp_path, {}) == {}
    assert resume.recorded_models(left(tmp_path, models=["photo-x4"]), dict(SETTINGS)) == {}


def test_the_format_before_it_had_a_number_is_read_exactly(tmp_path: Path) -> None:
    old = {"-n": "a>b", "--tta": "", "--scale": "2.5", "--long-side": "90", "--color-lock": "", "--blend": "0.5"}
    (tmp_path / resume.NAME).write_text(json.dumps({"what": "settings", "settings": old}))
    same = {"model": "a>b", "tta": "", "factor": "2.5", "long_side": "90", "color_lock": "", "blend": "0.5"}
    resume.check(tmp_path, same, 2)
    with pytest.raises(UsageError, match=r"`factor`: 2\.5 before, 3 now"):
        resume.check(tmp_path, same | {"factor": "3"}, 2)


def test_a_later_format_is_refused_by_its_number(tmp_path: Path) -> None:
    left(tmp_path, format=resume.FORMAT + 1)
    for kept in (0, 2):
        with pytest.raises(
            UsageError, match=r"\.upres-job\.json has format 3; this version of upres reads formats up to 2"
        ):
            resume.check(tmp_path, SETTINGS, kept)


@pytest.mark.parametrize(
    "torn", [b"", b"{", b"[]", b'{"settings": 3}', b'{"format": "x", "settings": {}}', b"\xff\xfe"]
)
def test_a_torn_journal_stops_nobody(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / resume.NAME).write_bytes(torn)
    resume.check(tmp_path, SETTINGS, 2)


def test_what_the_pixels_depend_on() -> None:
    plain = Request(("a.png",))
    assert plain.settings() == {}
    full = Request(
        ("a.png",),
        size=OutputSize(factor=2.5),
        model="x:1,y:1",
        options=UpscaleOptions(tta=True, blend=0.5, color_lock=True, wrap=True),
    )
    assert full.settings() == {
        "factor": "2.5",
        "model": "x:0.5,y:0.5",
        "tta": "",
        "color_lock": "",
        "wrap": "",
        "blend": "0.5",
    }
    same = UpscaleOptions().replace(engine="torch", threads=3, exact=True, tile_px=9, memory_bytes=1)
    assert Request(("b.png",), options=same, overwrite=True).settings() == {}
    twin = Request((), model="a", options=UpscaleOptions(denoise=0.25, denoise_with="b"))
    assert twin.settings() == {"model": "a:0.25,b:0.75"}


def test_a_job_with_other_settings_is_refused_while_one_runs(tmp_path: Path) -> None:
    lock = resume.hold(tmp_path, SETTINGS)
    with pytest.raises(UsageError, match=r"another upres job with other settings is writing to .*; wait for it"):
        resume.hold(tmp_path, {"model": "a"})
    lock.release()
    resume.hold(tmp_path, {"model": "a"}).release()
    assert list(tmp_path.iterdir()) == []


def test_jobs_with_the_same_settings_share_a_folder(tmp_path: Path) -> None:
    program = (
        "import json, sys\nfrom pathlib import Path\nfrom upres.batch import resume\n"
        "guard = resume.hold(Path(sys.argv[1]), json.loads(sys.argv[2]))\nprint('held', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path), json.dumps(SETTINGS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        resume.hold(tmp_path, dict(SETTINGS)).release()
        with pytest.raises(UsageError, match="another upres job"):
            resume.hold(tmp_path, {})
        other.kill()
    resume.hold(tmp_path, {}).release()  # what a killed one left is no lock
    assert list(tmp_path.iterdir()) == []
