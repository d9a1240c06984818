from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from upres.cli import errors
from upres.cli.errors import exit_code_of, run_verb, verb_exit_code, words_for
from upres.errors import DataError, EngineError, InputError, ModelError, OutputError, UpresError, UsageError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (InputError("x"), 3),
        (EngineError("x"), 3),
        (DataError("x"), 3),
        (UpresError("x"), 3),
        (ModelError("x"), 4),
        (OutputError("x"), 5),
        (OSError(errno.ENOSPC, "No space left on device"), 5),
        (OSError(errno.EFBIG, "File too large"), 5),
        (OSError(errno.EROFS, "Read-only file system"), 5),
        (OSError(errno.EIO, "Input/output error"), 3),
        (OSError(errno.ENODEV, "No such device", "a.png"), 3),
        (BrokenPipeError(), 5),
        (MemoryError(), 3),
        (KeyboardInterrupt(), 130),
        (TypeError("x"), 1),
        (OSError(errno.EMFILE, "Too many open files"), 1),
        (ValueError("x"), 1),
    ],
)
def test_every_error_has_its_code_and_one_line(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(error) == code

    def work() -> int:
        raise error

    assert verb_exit_code(work) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == words_for(error) + "\n"
    assert captured.err.startswith("upres: ")
    assert captured.err.count("\n") == 1


def test_done_is_zero_and_a_code_passes_through() -> None:
    assert verb_exit_code(lambda: None) == 0
    assert verb_exit_code(lambda: 3) == 3
    with pytest.raises(SystemExit) as ended:
        run_verb(lambda: 5)
    assert ended.value.code == 5


def test_words_tell_the_remedy() -> None:
    assert words_for(OSError(errno.ENOSPC, "No space left on device", "a.png")) == (
        "upres: cannot write the output a.png: No space left on device; free some space and run the same command again"
    )
    assert "please report it" in words_for(TypeError("bad"))
    assert "TypeError: bad" in words_for(TypeError("bad"))
    assert "smaller --tile" in words_for(MemoryError("12 GB"))
    assert "(12 GB)" in words_for(MemoryError("12 GB"))


def fail() -> int:
    raise InputError("a.png: empty")


def test_a_traceback_only_with_debug(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    verb_exit_code(fail)
    assert "Traceback" not in capsys.readouterr().err
    verb_exit_code(fail, debug=True)
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setattr(errors, "_debug_everywhere", True)  # what `upres --debug VERB` does
    verb_exit_code(fail)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [typer.Exit(0), typer.BadParameter("x"), typer.Abort()])
def test_typers_own_ends_pass_through(error: Exception) -> None:
    def work() -> int:
        raise error

    with pytest.raises(type(error)):
        verb_exit_code(work)


def test_the_code_stands_after_a_signal_that_struck_while_a_dataclass_was_made(tmp_path: Path) -> None:
    (tmp_path / "struck.py").write_text("""
from upres.cli.errors import finish
try:
    exec("raise KeyboardInterrupt")
except KeyboardInterrupt:
    finish(143)
""")
    process = subprocess.run([sys.executable, "-m", "struck"], cwd=tmp_path, timeout=60)
    assert process.returncode == 143
