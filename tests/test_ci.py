""".ci/run: every step runs, the exit code tells of any that failed, and pytest's closing line of the whole suite ends
the output.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import REPOSITORY

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the script is for a POSIX shell")

STEPS = ["test", "software-vulkan", "test -m vulkan", "chromium", "test --extras", "wheels", "docs", "check"]
CLOSING = {"test": "2000 passed, 9 skipped in 300.00s (0:05:00)", "test -m vulkan": "20 passed in 30.00s"}


def run_ci(folder: Path, *failing: str) -> subprocess.CompletedProcess[str]:
    """Each script is a stand-in that notes how it was called, and fails where it is called as one of `failing`."""
    (folder / ".ci").mkdir()
    (folder / "scripts").mkdir()
    shutil.copy(REPOSITORY / ".ci" / "run", folder / ".ci" / "run")
    for name in {step.split()[0] for step in STEPS}:
        lines = ["#!/bin/sh", f'call=$(echo {name} "$@")', f'echo "$call" >>"{folder}/calls"', 'case "$call" in']
        lines += [f'    "{step}") echo "{words}" ;;' for step, words in CLOSING.items()]
        lines += ["esac", 'case "$call" in', *(f'    "{step}") exit 3 ;;' for step in failing), "esac"]
        path = folder / "scripts" / name
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)
    return subprocess.run(["bash", str(folder / ".ci" / "run")], cwd="/", capture_output=True, text=True, check=False)


def test_all_steps_in_a_users_order(tmp_path: Path) -> None:
    done = run_ci(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines() == STEPS
    assert done.stdout.splitlines()[-2:] == ["All steps passed.", CLOSING["test"]]


@pytest.mark.parametrize("failing", [step for step in STEPS if step not in ("software-vulkan", "chromium")])
def test_a_step_that_fails_is_named_and_the_others_run(failing: str, tmp_path: Path) -> None:
    done = run_ci(tmp_path, failing)
    assert done.returncode == 1
    assert (tmp_path / "calls").read_text().splitlines() == STEPS
    called = "whole_suite" if failing == "test" else f"scripts/{failing}"
    assert done.stdout.splitlines()[-3:] == ["FAILED:", f"    {called}", CLOSING["test"]]


def test_without_a_driver_the_tests_of_vulkan_do_not_run_again(tmp_path: Path) -> None:
    done = run_ci(tmp_path, "software-vulkan")
    assert done.returncode == 0
    assert (tmp_path / "calls").read_text().splitlines() == [step for step in STEPS if step != "test -m vulkan"]
    assert "the tests of Vulkan were skipped" in done.stderr


def test_without_a_browser_the_other_extras_run(tmp_path: Path) -> None:
    done = run_ci(tmp_path, "chromium")
    assert done.returncode == 0
    assert (tmp_path / "calls").read_text().splitlines() == STEPS
    assert "the tests in a browser were skipped" in done.stderr
