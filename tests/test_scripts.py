"""scripts/environment.sh on machines that lack something: what it finds, what it says. Nothing is installed: pip is a stand-in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import REPOSITORY

FAKE_PYTHON = """#!/bin/sh
# A Python as far as the scripts can tell: answers their questions and logs what it is asked to install.
case "$*" in
    *"version_info < (3, 11)"*) exit {old} ;;
    *"import ensurepip"*) exit {no_venv} ;;
    *-venv*) echo python3.12-venv ;;
    *"-m venv --clear"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python"; cp "$0" "$last/bin/upres" ;;
    *"-m pip"*) echo "pip $*" >>"{log}"; exit {no_network} ;;
    upscale*) echo "upres $*" ;;
esac
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the scripts are for a POSIX shell; the README has pip lines for Windows")


class Machine:
    """A checkout in a folder with a space in its name, and a PATH with nothing on it but what the script needs."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.programs, self.log = folder / "a tree", folder / "programs", folder / "log"
        self.tree.mkdir()
        self.programs.mkdir()
        shutil.copytree(REPOSITORY / "scripts", self.tree / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(REPOSITORY / name, self.tree / name)
        for name in ("cat", "cksum", "cp", "dirname", "mkdir", "rm"):
            found = shutil.which(name)
            assert found is not None
            (self.programs / name).symlink_to(found)

    def python(self, name: str, *, old: int = 0, no_venv: int = 0, no_network: int = 0) -> Path:
        path = self.programs / name
        path.write_text(FAKE_PYTHON.format(old=old, no_venv=no_venv, no_network=no_network, log=self.log))
        path.chmod(0o755)
        return path

    def run(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            ["/bin/sh", str(self.tree / "scripts" / "try"), *arguments],
            cwd=self.programs,
            env={"PATH": str(self.programs), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == code, result.stderr
        return result

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
    assert second.stderr == ""
    (line,) = machine.installed()
    assert line.endswith(f"-c {machine.tree}/constraints.txt -e {machine.tree}")


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
