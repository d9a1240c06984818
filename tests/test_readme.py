"""The READMEs keep their word: every `upres` command in a ```sh block runs, links lead somewhere, both languages show
the same commands.

A block behind `<!-- not run: reason -->` is not run. The commands of a README run in order, in one folder that holds a
part of the example photograph as `photo.png`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import REPOSITORY
from upres.images.io import Picture, read_picture, write_picture

ENGLISH, CHINESE = REPOSITORY / "README.md", REPOSITORY / "README.zh-CN.md"
_BLOCK = re.compile(r"(?P<skip><!-- not run: [^>]+ -->\s*\n)?^```sh\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


def commands(text: str, *, with_skipped: bool = False) -> list[str]:
    """Lines of ```sh blocks that begin with `upres `, a backslash at a line's end joined with the next line, comments
    cut off.
    """
    found: list[str] = []
    for block in _BLOCK.finditer(text):
        if with_skipped or not block["skip"]:
            lines = re.sub(r"\\\n\s*", "", block["body"]).splitlines()
            found += [re.sub(r"\s+#.*", "", line).strip() for line in lines if line.startswith("upres ")]
    return found


def local_links(text: str) -> list[str]:
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]


@pytest.mark.slow
def test_the_commands_of_the_readme_run(tmp_path: Path, example_photo: Path) -> None:
    part = np.ascontiguousarray(read_picture(example_photo).pixels[:80, :96])
    write_picture(Picture(part), tmp_path / "photo.png")
    for command in commands(ENGLISH.read_text(encoding="utf-8")):
        result = subprocess.run(
            ["sh", "-c", f'upres() {{ "$THIS_PYTHON" -m upres "$@"; }}\n{command}'],
            cwd=tmp_path,
            env={**os.environ, "THIS_PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert result.returncode == 0, f"{command}\n{result.stderr}"


def test_both_languages_show_the_same_commands() -> None:
    english, chinese = (commands(path.read_text(encoding="utf-8"), with_skipped=True) for path in (ENGLISH, CHINESE))
    assert english == chinese


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_local_links_lead_somewhere_and_nothing_is_left_open(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [target for target in local_links(text) if not (REPOSITORY / target).exists()] == []
    assert re.findall(r"@@\w*", text) == []


EXAMPLE = """
```sh
upres upscale photo.png   # a comment
pip install .
upres upscale photo.png \\
    -s 2
```
<!-- not run: it takes minutes -->
```sh
upres train compact-x4
```
```
upres is no command in a block without a language
```
[a](docs/a.md#part) [b](https://example.org) [c](#here)
"""


def test_commands_are_found() -> None:
    assert commands(EXAMPLE) == ["upres upscale photo.png", "upres upscale photo.png -s 2"]
    assert commands(EXAMPLE, with_skipped=True)[2:] == ["upres train compact-x4"]
    assert local_links(EXAMPLE) == ["docs/a.md"]
