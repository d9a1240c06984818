"""TOML as we write it is TOML, by the standard library's reader."""

from __future__ import annotations

import dataclasses
import tomllib

import pytest

from upres.training.config import TrainConfig
from upres.training.run_file_text import setting_comments, toml_value


@pytest.mark.parametrize(
    "value", ['a"b\\c\n\t\x7f\x01é漢😀', "", True, 3, -1e-9, 1e300, float("inf"), [1.0, 0.5], ["a", "b"], []]
)
def test_values_are_read_again(value: object) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value


def test_bytes_of_a_name_that_is_not_utf8_are_marked() -> None:
    assert tomllib.loads(f"x = {toml_value('caf' + chr(0xDCE9))}")["x"] == "caf\ufffd"


def test_every_setting_is_shown_with_the_comment_of_its_source() -> None:
    found = setting_comments()
    assert [*found] == [f.name for f in dataclasses.fields(TrainConfig) if f.name not in ("recipe", "source")]
    assert found["batch"] == ("Data.", "samples per update, over all ranks")
    assert found["clip_norm"][1].startswith("of the generator's gradient; inf: off")
    assert {title for title, _ in found.values() if title} >= {"Generator.", "Optimization.", "The discriminator."}
