"""What does not fit in memory is refused by every verb before it is decoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tiny import compact_file, noise, picture
from upres.cli.main import app
from upres.images import read, room
from upres.images.io import write_picture


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["evaluate", "-s", "2", "-n", "{model}", "--hr", "{folder}"], id="evaluate"),
        pytest.param(["compare", "{picture}", "-n", "{model}", "-o", "{out}.png"], id="compare"),
        pytest.param(["inspect", "{picture}"], id="inspect"),
        pytest.param(["degrade", "{picture}", "-o", "{out}.png"], id="degrade"),
        pytest.param(["prepare", "{folder}", "-o", "{out}"], id="prepare"),
        pytest.param(["upscale", "{picture}", "-n", "{model}", "-o", "{out}.png"], id="upscale"),
    ],
)
def test_a_picture_above_the_memory_is_refused_before_it_is_decoded(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_picture(picture(noise(96, 96)), folder / "a.png")
    places = {"folder": folder, "picture": folder / "a.png", "out": tmp_path / "out"}
    places["model"] = compact_file(tmp_path / "tiny-x2.safetensors", 2)
    monkeypatch.setattr(room, "_WEIGHED_PIXELS", 100)
    monkeypatch.setattr(room, "usable_bytes", lambda: 50_000)
    monkeypatch.setattr(read, "_decode", lambda _: pytest.fail("it was decoded"))
    result = CliRunner().invoke(app, [one.format(**places) for one in arguments])
    assert result.exit_code == 3, result.output
    assert "has 96 x 96 pixels and needs" in result.output
    assert "make it smaller, or close other programs" in " ".join(result.output.split())
