"""The scripts on machines that lack something: what they find, say and run. Nothing is installed: Python and pip are
stand-ins.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import REPOSITORY
from tests.conftest import pytest_collection_modifyitems

FAKE_PYTHON = """#!/bin/sh
# A Python as far as the scripts can tell: answers their questions and logs what it is asked to install.
case "$*" in
    *"version_info < (3, 11)"*) exit {old} ;;
    *"import ensurepip"*) exit {no_venv} ;;
    *-venv*) echo python3.12-venv ;;
    *"-m venv --clear"*)
        for last; do :; done
        mkdir -p "$last/bin" "$last/site"
        for name in python upres ruff pyright; do cp "$0" "$last/bin/$name"; done ;;
    *purelib*) venv=$(dirname "$(dirname "$0")"); echo "$venv/site" ;;
    *"-m pytest"*) echo "pytest $* extras=${{UPRES_EXTRAS:-}}"; exit {tests_fail} ;;
    check*) echo "ruff $*"; exit {tests_fail} ;;
    *--pythonpath*) echo "pyright $*" ;;
    *"-m pip"*) echo "pip $*" >>"{log}"; exit {no_network} ;;
    upscale*) echo "upres $*"; exit {upscale_fails} ;;
esac
"""

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="the scripts are for a POSIX shell; the README has pip lines for Windows"
)


class Machine:
    """A checkout in a folder with a space in its name, and a PATH with nothing on it but what the script needs."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.programs, self.log = folder / "a tree", folder / "programs", folder / "log"
        self.tree.mkdir()
        self.programs.mkdir()
        shutil.copytree(REPOSITORY / "scripts", self.tree / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(REPOSITORY / name, self.tree / name)
        for name in ("cat", "cksum", "cp", "dirname", "grep", "mkdir", "rm"):
            found = shutil.which(name)
            assert found is not None
            (self.programs / name).symlink_to(found)

    def python(self, name: str, **codes: int) -> Path:
        """A program that stands for Python; `codes` are the exit codes of FAKE_PYTHON that are not 0."""
        path = self.programs / name
        names = ("old", "no_venv", "no_network", "tests_fail", "upscale_fails")
        path.write_text(FAKE_PYTHON.format(log=self.log, **{**dict.fromkeys(names, 0), **codes}))
        path.chmod(0o755)
        return path

    def run(
        self, *arguments: str, script: str = "try", code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            ["/bin/sh", str(self.tree / "scripts" / script), *arguments],
            cwd=self.programs,
            env={"PATH": str(self.programs), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == code, result.stderr
        return result

    def set_extras(self, *packages: str) -> None:
        """What pyproject.toml names in its extra dev-extras; it has to name some."""
        path = self.tree / "pyproject.toml"
        text, count = re.subn(
            r"^dev-extras = \[.*\]$", f"dev-extras = {json.dumps(packages)}", path.read_text(), flags=re.MULTILINE
        )
        assert count == 1
        path.write_text(text)

    def installed(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_second_run_installs_nothing(machine: Machine) -> None:
    machine.python("python3")
    first = machine.run("a picture.png", "-s", "2")
    assert first.stdout == "upres upscale a picture.png -s 2\n"
    assert "making " in first.stderr
    second = machine.run()
    assert second.stdout == f"upres upscale {machine.tree}/examples/astronaut.png --overwrite\n"
    assert "making " not in second.stderr
    (line,) = machine.installed()
    assert line.endswith(f"-c {machine.tree}/constraints.txt -e {machine.tree}")


def test_how_to_go_on_is_told_where_it_is_not_done_yet(machine: Machine) -> None:
    machine.python("python3")
    words = machine.run().stderr
    assert words.endswith(f"To use it in this terminal: . '{machine.tree}/.venv-try/bin/activate'\n")
    assert machine.run(VIRTUAL_ENV=f"{machine.tree}/.venv-try").stderr == ""


def test_an_exit_code_of_upres_is_that_of_the_script(machine: Machine) -> None:
    machine.python("python3", upscale_fails=3)
    assert "activate" not in machine.run(code=3).stderr


def test_changed_dependencies_are_installed_again(machine: Machine) -> None:
    machine.python("python3")
    machine.run()
    with (machine.tree / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    machine.run()
    assert len(machine.installed()) == 2


def test_an_installation_that_failed_is_begun_again(machine: Machine) -> None:
    machine.python("python3", no_network=1)
    machine.run(code=1)
    machine.python("python3")
    assert machine.run().stdout.startswith("upres upscale")
    assert len(machine.installed()) == 2


def test_an_old_python3_is_passed_over(machine: Machine) -> None:
    machine.python("python3", old=1)
    machine.python("python3.12")
    assert machine.run().stdout.startswith("upres upscale")


def test_no_python_is_told_with_the_remedy(machine: Machine) -> None:
    machine.python("python3", old=1)
    words = machine.run(code=1).stderr
    assert "upres needs Python 3.11 or newer" in words
    assert "sudo apt install python3 python3-venv" in words


def test_a_named_python_is_the_only_one_asked(machine: Machine) -> None:
    machine.python("python3")
    assert "PYTHON=/no such/python is no Python 3.11 or newer." in machine.run(code=1, PYTHON="/no such/python").stderr
    named = machine.python("my python")
    assert machine.run(PYTHON=str(named)).stdout.startswith("upres upscale")


def test_a_missing_venv_module_names_the_package(machine: Machine) -> None:
    machine.python("python3", no_venv=1)
    assert "sudo apt install python3.12-venv" in machine.run(code=1).stderr


def test_the_tests_run_with_what_they_need(machine: Machine) -> None:
    machine.python("python3")
    assert machine.run("tests/images", "-x", script="test").stdout == "pytest -m pytest tests/images -x extras=\n"
    (line,) = machine.installed()
    assert line.endswith(f"-c {machine.tree}/constraints.txt -e {machine.tree}[dev]")
    fast = machine.run("--fast", "-x", script="test").stdout
    shared = "-n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0"
    assert fast == f"pytest -m pytest -m not slow {shared} -x extras=\n"
    assert machine.run(script="test").stdout == f"pytest -m pytest {shared} --durations=20 extras=\n"


def test_the_extras_are_installed_over_what_the_tests_have(machine: Machine) -> None:
    machine.python("python3")
    machine.set_extras("ray>=2")
    assert machine.run("--extras", "-x", script="test").stdout == "pytest -m pytest -m extras -x extras=1\n"
    assert [line.partition(" -e ")[2] for line in machine.installed()] == [
        f"{machine.tree}[dev]",
        f"{machine.tree}[dev-extras]",
    ]
    shown = (machine.tree / ".venv-extras" / "site" / "base.pth").read_text()
    assert shown == f"import site; site.addsitedir('{machine.tree}/.venv-test/site')\n"
    machine.run("--extras", script="test")
    assert len(machine.installed()) == 2
    assert machine.run(script="test").stdout.endswith("extras=\n")


def test_without_extras_there_is_nothing_to_run(machine: Machine) -> None:
    machine.python("python3", tests_fail=3)
    machine.set_extras()
    done = machine.run("--extras", script="test")
    assert done.stdout == ""
    assert "The extra dev-extras in pyproject.toml is empty" in done.stderr
    assert not (machine.tree / ".venv-extras").exists()


@pytest.mark.parametrize("with_extras", [False, True])
def test_tests_of_extras_are_skipped_elsewhere(
    with_extras: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPRES_EXTRAS", str(int(with_extras)))
    module = request.node.parent
    ordinary, marked = (
        pytest.Function.from_parent(module, name=name, callobj=lambda: None) for name in ("ordinary", "marked")
    )
    marked.add_marker("extras")
    pytest_collection_modifyitems([ordinary, marked])
    assert ordinary.get_closest_marker("skip") is None
    skip = marked.get_closest_marker("skip")
    assert (skip is None) == with_extras
    assert skip is None or skip.kwargs["reason"].endswith("run scripts/test --extras")


def test_the_exit_code_is_that_of_the_tests(machine: Machine) -> None:
    machine.set_extras("ray>=2")
    machine.python("python3", tests_fail=3)
    machine.run(script="test", code=3)
    machine.run("--extras", script="test", code=3)


@pytest.mark.parametrize("fails", [0, 1])
def test_every_check_runs_even_if_one_fails(fails: int, machine: Machine) -> None:
    machine.python("python3", tests_fail=fails)
    lines = machine.run(script="check", code=fails).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ruff", "pyright", "pytest"]
    # pyright would else take the configuration of a parent folder.
    assert lines[1] == f"pyright --project {machine.tree} --pythonpath .venv-test/bin/python"
