"""Options of upscaling in one value: ranges, and keywords that replace fields."""

from __future__ import annotations

import dataclasses
import math

import pytest

from upres.engines.options import EngineOptions
from upres.errors import UsageError
from upres.upscaling.options import OPTION_FIELDS, UpscaleOptions


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"blend": 3.0}, r"`blend` must be in \[0, 1\] .*, got 3$"),
        ({"blend": math.nan}, r"`blend` must be in \[0, 1\] .*, got nan"),
        ({"denoise": -0.5}, r"`denoise` must be in \[0, 1\] .*, got -0.5"),
        ({"denoise_with": "twin"}, "`denoise_with` has no effect without `denoise`"),
        ({"tile_px": 0}, "`tile_px` must be at least 1, got 0"),
        ({"memory_bytes": 0}, "`memory_bytes` must be at least 1, got 0"),
        ({"engine": "onyx"}, r"`engine` must be one of auto, .*; got 'onyx', did you mean 'onnx'\?"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(keywords: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        UpscaleOptions().replace(**keywords)


def test_keywords_replace_fields_here_and_of_the_engine() -> None:
    options = UpscaleOptions(tta=True, engine_options=EngineOptions(engine="onnx", threads=3))
    changed = options.replace(blend=0.5, threads=1, exact=True)
    assert changed == UpscaleOptions(tta=True, blend=0.5, engine_options=EngineOptions("onnx", threads=1, exact=True))
    assert options.replace() == options
    other = options.replace(engine_options=EngineOptions("torch"), threads=2)
    assert other.engine_options == EngineOptions("torch", threads=2)


def test_an_unknown_keyword_is_refused_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="unknown option 'tilepx', did you mean 'tile_px'"):
        UpscaleOptions().replace(tilepx=3)
    with pytest.raises(TypeError, match="unknown option 'thread', did you mean 'threads'"):
        UpscaleOptions().replace(thread=3)


def test_no_two_options_share_a_name_and_none_can_be_changed() -> None:
    assert len(set(OPTION_FIELDS)) == len(OPTION_FIELDS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        UpscaleOptions().tta = True  # type: ignore[misc]
