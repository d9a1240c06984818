"""Which Vulkan devices there are: asked in a process of its own, with a reason where there are none. No driver is
needed here.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.engines.ncnn.test_vulkan import run_python
from upres.engines.ncnn.devices import quiet, vulkan_devices

pytestmark = pytest.mark.vulkan  # with a driver and without


def test_asking_for_devices_is_light_and_prints_nothing() -> None:
    done = run_python(
        "import sys\n"
        "from upres.engines.ncnn.devices import vulkan_devices\n"
        "found, reason = vulkan_devices()\n"
        "print('ncnn' in sys.modules, bool(found) != bool(reason))\n"
    )
    assert (done.stdout.split(), done.stderr, done.returncode) == (["False", "True"], "", 0)


@pytest.mark.parametrize("loader", ["as installed", "missing"])
def test_without_a_driver_the_reason_and_the_remedy_are_told(loader: str, tmp_path: Path) -> None:
    # The list of drivers names none: to Vulkan that is a machine without one. The empty libraries hide the loader,
    # where there is one.
    for name in ("libvulkan.so", "libvulkan.so.1"):
        (tmp_path / name).touch()
    done = run_python(
        "from upres.engines.ncnn.devices import vulkan_devices\n"
        "from upres.engines.ncnn.runner import NcnnRunner\n"
        "from tests.tiny import compact\n"
        "print(vulkan_devices())\n"
        "try:\n"
        "    NcnnRunner(compact(2), device='vulkan')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n",
        VK_ICD_FILENAMES="/nonexistent.json",
        VK_DRIVER_FILES="/nonexistent.json",
        **({"LD_LIBRARY_PATH": str(tmp_path)} if loader == "missing" else {}),
    )
    if loader == "as installed" and "index=" in done.stdout:
        pytest.skip("ncnn found a driver by its file's name")
    first, second = done.stdout.splitlines()
    assert first.startswith('((), "no Vulkan device found; install')
    assert second.startswith("EngineError device 'vulkan': no Vulkan device found; install the GPU's driver, on")
    assert "sudo apt install libvulkan1 mesa-vulkan-drivers" in second
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="the drivers made up here are shell scripts")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "echo loading >&2; kill -SEGV $$",
            r"failed to list its devices: its process was ended by signal SIGSEGV \(load",
        ),
        ("exit 3", "its process ended with code 3; update it"),
        ("exec sleep 20", "did not answer within 0.3 s"),
        ("echo hello; echo 'upres-child {\"devices\": []}'; kill -SEGV $$", "no Vulkan device found"),
    ],
)
def test_a_driver_that_crashes_or_hangs_is_a_reason(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    found, reason = vulkan_devices(timeout_s=0.3 if "sleep" in script else 20)
    assert found == ()
    assert re.search(words, reason)


def test_what_others_write_while_ncnn_is_quiet_comes_out_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    hidden = bytearray()
    with quiet(hide=b"vkAllocateMemory failed", hidden=hidden):
        os.write(
            2,
            b"[0 llvmpipe (LLVM 15.0.6, 256 bits)]  queueC=0[1]\n"
            b"dlopen failed libvulkan.so.1\nload vulkan driver failed\n"
            b"vkAllocateMemory failed -2\nours\n",
        )
    assert capfd.readouterr().err == "ours\n"
    assert hidden == b"vkAllocateMemory failed -2\n"
