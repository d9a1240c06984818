"""scripts/software-vulkan on machines that lack something. Nothing is installed: apt-get is a stand-in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "software-vulkan"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the script is for a POSIX shell")


class Machine:
    """A PATH with nothing on it but `id`, and `apt-get` where it is given: a line of shell, `$drivers` being the folder
    of drivers.
    """

    def __init__(self, folder: Path, *, user: int = 0, apt_get: str | None = None) -> None:
        self.programs, self.drivers, self.log = folder / "programs", folder / "drivers", folder / "log"
        for made in (self.programs, self.drivers):
            made.mkdir()
        self._program("id", f"echo {user}")
        if apt_get is not None:
            self._program("apt-get", f'echo "$*" >>{self.log}; drivers={self.drivers}; {apt_get}')

    def _program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.programs / name).chmod(0o755)

    def run(self) -> tuple[int, str]:
        environment = {"PATH": str(self.programs), "VULKAN_DRIVER_FOLDERS": str(self.drivers)}
        done = subprocess.run(["/bin/sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False)
        assert done.stdout == ""
        return done.returncode, done.stderr

    def asked(self) -> list[str]:
        return [line.partition("-o DPkg::Lock::Timeout=60 ")[2] for line in self.log.read_text().splitlines()]


def test_root_installs_the_driver_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path, apt_get=": >$drivers/lvp_icd.x86_64.json")
    assert machine.run() == (0, "software-vulkan: installing libvulkan1 mesa-vulkan-drivers\n")
    assert machine.asked() == ["install -y -qq --no-install-recommends libvulkan1 mesa-vulkan-drivers"]
    assert machine.run() == (0, "")
    assert len(machine.asked()) == 1


def test_the_list_of_packages_is_renewed_where_it_is_old(tmp_path: Path) -> None:
    known = 'case "$*" in *update*) : >$drivers/new ;; *) [ -e $drivers/new ] && : >$drivers/lvp_icd.json ;; esac'
    machine = Machine(tmp_path, apt_get=known)
    assert machine.run()[0] == 0
    assert [line.split()[0] for line in machine.asked()] == ["install", "update", "install"]


def test_anyone_else_is_told_the_command(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000, apt_get="exit 9")
    code, said = machine.run()
    assert code == 1
    assert "WILL BE SKIPPED until you run: sudo apt install libvulkan1 mesa-vulkan-drivers" in said
    assert not machine.log.exists()


@pytest.mark.parametrize(
    ("apt_get", "words"),
    [
        (None, "no apt-get here"),
        ("echo no network >&2; exit 100", "apt-get could not install libvulkan1 mesa-vulkan-drivers (see above)"),
        ("exit 0", "there is no driver in software among them"),
    ],
)
def test_what_fails_is_said_loudly(apt_get: str | None, words: str, tmp_path: Path) -> None:
    code, said = Machine(tmp_path, apt_get=apt_get).run()
    assert code == 1
    assert words in said
    assert "TESTS OF VULKAN WILL BE SKIPPED" in said
    assert ("no network" in said) == (apt_get is not None and "network" in apt_get)
