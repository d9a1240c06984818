"""`Upscaler("auto")`: the model follows the picture, is opened once, and is told in the notes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inspection.made import as_picture, decoded, jpeg, texture
from tests.tiny import FakeRunner
from upres.errors import UsageError
from upres.upscaling import auto
from upres.upscaling.output_size import OutputSize
from upres.upscaling.upscaler import Upscaler

SCENE: NDArray[np.float32] = np.repeat(texture(96)[:, :, None], 3, axis=2)
CLEAN, WEB = as_picture(SCENE), as_picture(decoded(jpeg(SCENE, 40)))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were opened, in order; each enlarges 4 times, by a runner that repeats pixels."""
    names: list[str] = []
    real = auto.open_chain

    def open_chain(model: str, options: object, _: object, __: object) -> object:
        names.append(model)
        runner = FakeRunner(2 if model.endswith("x2") else 4)
        return real(model, options, runner, runner)  # type: ignore[arg-type]

    monkeypatch.setattr(auto, "open_chain", open_chain)
    return names


def test_each_picture_gets_the_model_that_fits_and_each_model_is_opened_once(opened: list[str]) -> None:
    upscaler = Upscaler("auto")
    assert opened == []
    notes = [upscaler(picture).notes[-1] for picture in (WEB, CLEAN, WEB)]
    assert notes == ["drawn, JPEG quality 40: photo-x4", "drawn: compact-x4", notes[0]]
    assert opened == ["photo-x4", "compact-x4"]
    assert upscaler.scale == 4


def test_the_size_counts_and_arrays_are_looked_at_too(opened: list[str]) -> None:
    upscaler = Upscaler("auto")
    assert upscaler(CLEAN, size=OutputSize(factor=2)).pixels.shape == (192, 192, 3)
    assert upscaler(WEB.pixels, scale=1).shape == (96, 96, 3)
    assert upscaler.upscale_array(CLEAN.pixels).shape == (384, 384, 3)
    assert opened == ["compact-x2", "photo-x4", "compact-x4"]


def test_before_the_first_picture_there_is_no_network(opened: list[str]) -> None:
    upscaler = Upscaler("auto")
    with pytest.raises(UsageError, match="no network before its first picture"):
        upscaler.plan(10, 10)
    upscaler(CLEAN)
    assert (upscaler.plan(10, 10).height, opened) == (40, ["compact-x4"])


def test_it_can_be_pickled(opened: list[str]) -> None:
    upscaler = Upscaler("auto", tta=False)
    upscaler(WEB)
    again: Upscaler = pickle.loads(pickle.dumps(upscaler))
    again(WEB)
    assert opened == ["photo-x4", "photo-x4"]


def test_without_a_model_the_faithful_one_is_used_whatever_the_picture() -> None:
    assert Upscaler(runner=FakeRunner(4))(WEB).notes == ()
