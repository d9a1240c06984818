"""Engines raced in processes of their own: the fastest run counts, and a crash, a hang or a refusal is told."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.engines.autotune.test_choose import NCNN, ONNX, OPENVINO
from tests.tiny import compact
from upres.engines.autotune.fingerprint import this_machine
from upres.engines.autotune.race import Candidate, Measured, race
from upres.engines.autotune.worker import serve
from upres.graph.serialize import structure
from upres.system.child import answer_in


@pytest.mark.slow
def test_engines_are_measured_in_processes_of_their_own() -> None:
    """The real thing, with the engines that are installed here."""
    machine = this_machine()
    candidates = [candidate for candidate in (NCNN, ONNX, OPENVINO) if candidate.engine in machine.installed]
    missing = Candidate("ncnn", "vulkan:7", "fp32")
    results = race([*candidates, missing], structure(compact(2)), side=32, threads=1)
    assert [result.candidate for result in results] == [*candidates, missing]
    for result in results[:-1]:
        assert (result.error, result.broken) == ("", False)
        assert result.run_s is not None and result.load_s is not None and 0.0 < result.run_s < result.load_s
        assert sys.platform == "win32" or (result.peak_bytes is not None and result.peak_bytes > 10**7)
    assert results[-1].run_s is None and not results[-1].broken and missing.device in results[-1].error


def told(text: str) -> list[dict[str, Any]]:
    return [answer for answer in map(answer_in, text.splitlines()) if answer is not None]


def answers(program: str, **options: Any) -> Measured:
    """Of a race with one child, which is this program."""
    (result,) = race(
        [NCNN], structure(compact(2)), side=32, threads=1, program=[sys.executable, "-c", program], **options
    )
    return result


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it was ended by signal SIGSEGV"),
        ("import sys; sys.exit('driver too old')", "it ended with code 1 (driver too old)"),
        ("print('what a driver says')", "it ended with code 0"),
        (
            "import os; input(); print('upres-child {\"load_s\": 1}', flush=True); input(); os.abort()",
            "it was ended by signal SIGABRT",
        ),
    ],
)
def test_a_process_that_dies_is_told_by_how(program: str, words: str) -> None:
    result = answers(program)
    assert (result.error, result.broken, result.run_s) == (words, True, None)


@pytest.mark.parametrize("begin", ["", "input(); print('upres-child {\"load_s\": 1}', flush=True); "])
def test_a_process_that_hangs_is_ended(begin: str) -> None:
    result = answers(f"import time; {begin}time.sleep(60)", answer_s=1.0)
    assert (result.error, result.broken, result.run_s) == ("it did not answer within 1 s", True, None)


def test_who_comes_too_late_is_left_out_but_not_called_broken() -> None:
    result = answers("", budget_s=0.0)
    assert (result.error, result.broken) == ("no time was left to try it", False)


def test_the_fastest_run_counts() -> None:
    program = "import sys\nfor line, said in zip(sys.stdin, ['load_s', 'run_s', 'run_s', 'run_s']):\n"
    program += "    n = globals().get('n', 0) + 1\n"
    program += "    print('upres-child {\"%s\": %s}' % (said, [9, 3, 1, 2][n - 1]), flush=True)\n"
    program += "print('upres-child {\"peak_bytes\": 5}')"
    result = answers(program)
    assert (result.load_s, result.run_s, result.peak_bytes, result.error) == (9, 1, 5, "")


def test_a_refusal_is_an_answer(capfd: pytest.CaptureFixture[str]) -> None:
    import io

    request = {
        "structure": structure(compact(2)),
        "engine": "ncnn",
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "side": 16,
    }
    said = io.StringIO()
    serve(io.StringIO(json.dumps({**request, "device": "cuda"}) + "\n"), said)
    assert "has no device 'cuda'" in told(said.getvalue())[0]["error"]
    said = io.StringIO()
    serve(io.StringIO(json.dumps(request) + "\nrun\nrun\n"), said)
    assert [next(iter(answer)) for answer in told(said.getvalue())] == ["load_s", "run_s", "run_s", "peak_bytes"]
