"""Does every dependency of the core have a wheel for CPython 3.11 to 3.14 on Linux (x86-64, ARM), Windows and macOS?
Run by scripts/wheels.

What is needed comes from the installed metadata of upres and, through it, of what it depends on, with the markers of
each platform: pip evaluates those of the machine it runs on. pip then resolves it for each Python and platform in a dry
run. A package that only another platform needs is not installed here, so what it depends on in turn stays unknown;
colorama, on Windows, is one, and needs nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# Published as source alone. Pure Python, so every platform builds them without a compiler: the installed one is asked
# whether it is.
SOURCE_ONLY = ("pyvips",)
# Has had wheels for all of these for years: an index without any for a platform holds nothing for that platform.
WITNESS = "numpy"


@dataclass(frozen=True, slots=True)
class Platform:
    """`tags` are the wheel tags that such a machine takes, `markers` what its Python says in environment markers."""

    name: str
    tags: tuple[str, ...]
    markers: dict[str, str]


def _linux(machine: str) -> Platform:
    newest = 28  # glibc 2.28: Debian 10, RHEL 8
    tags = (*(f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)), f"manylinux2014_{machine}")
    return Platform(f"Linux {machine}", tags, _markers("linux", "Linux", "posix", machine))


def _macos(machine: str) -> Platform:
    return Platform(f"macOS {machine}", (f"macosx_11_0_{machine}",), _markers("darwin", "Darwin", "posix", machine))


def _markers(sys_platform: str, system: str, os_name: str, machine: str) -> dict[str, str]:
    return {"sys_platform": sys_platform, "platform_system": system, "os_name": os_name, "platform_machine": machine}


PLATFORMS = (
    _linux("x86_64"),
    _linux("aarch64"),
    Platform("Windows AMD64", ("win_amd64",), _markers("win32", "Windows", "nt", "AMD64")),
    _macos("arm64"),
    _macos("x86_64"),
)


def needed(root: str, python: str, platform: Platform) -> dict[str, str]:
    """By name, the requirements of the package `root` and of all that it needs there, without their markers."""
    environment = {key: str(value) for key, value in default_environment().items()} | platform.markers
    environment |= {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_version": f"{python}.0",
    }
    found: dict[str, set[str]] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(root, frozenset())]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for requirement in map(Requirement, requires):
            marker = requirement.marker
            if marker and not any(marker.evaluate(environment | {"extra": extra}) for extra in ("", *extras)):
                continue
            found.setdefault(canonicalize_name(requirement.name), set()).update(map(str, requirement.specifier))
            following = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return {name: name + ",".join(sorted(specifiers)) for name, specifiers in sorted(found.items())}


def impure(names: Sequence[str]) -> list[str]:
    """Those of the installed packages that hold compiled code."""
    return [name for name in names if "Root-Is-Purelib: true" not in (distribution(name).read_text("WHEEL") or "")]


def complaint(requirements: Sequence[str], python: str, platform: Platform) -> str:
    """What pip says against installing these wheels there, in one line; "" where it would install them."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += [
        "--no-deps",
        "--ignore-installed",
        "--only-binary=:all:",
        "--target",
        "unused",
        "--implementation",
        "cp",
    ]
    command += ["--python-version", python, *(f"--platform={tag}" for tag in platform.tags), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if not done.returncode:
        return ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return (errors or done.stderr.splitlines() or [f"pip ended with {done.returncode}"])[0].removeprefix("ERROR: ")


def not_served(words: str, platform: Platform) -> str:
    """Why the complaint `words` is about the index, which may be a mirror of a part or out of reach, and not about a
    package; "" if not.
    """
    found = re.search(r"requirement ([\w.-]+)", words)
    if found is None:
        return words
    name = found[1]
    # In any form that this machine could install, its source included.
    command = [sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", "--no-input", name]
    if subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).returncode:
        return f"it does not offer {name} to this machine either"
    if all(complaint([WITNESS], python, platform) for python in PYTHONS):
        return f"it holds no wheel of {WITNESS} for this platform"
    return ""


def main() -> int:
    """0 where no wheel is missing; what the index does not serve is not missing."""
    if compiled := impure(SOURCE_ONLY):
        print(f"{', '.join(compiled)}: published as source alone, and built with compiled code here")
        return 1
    jobs = [(platform, python) for platform in PLATFORMS for python in PYTHONS]

    def ask(job: tuple[Platform, str]) -> tuple[str, str]:
        platform, python = job
        wheels = [line for name, line in needed("upres", python, platform).items() if name not in SOURCE_ONLY]
        words = complaint(wheels, python, platform)
        return words, words and not_served(words, platform)

    with ThreadPoolExecutor(6) as pool:  # mostly waiting for the index
        answers = list(pool.map(ask, jobs))
    for (platform, python), (words, excuse) in zip(jobs, answers, strict=True):
        found = f"skipped, the package index does not serve it: {excuse}" if excuse else f"MISSING: {words}"
        print(f"{platform.name}, CPython {python}: {found if words else 'all wheels found'}")
    return int(any(words and not excuse for words, excuse in answers))


if __name__ == "__main__":
    sys.exit(main())
