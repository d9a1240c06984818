"""The public names of `upres`: a name is added or taken away here on purpose, or not at all."""

from __future__ import annotations

import pytest

import upres

PUBLIC = [
    "MODELS",
    "Cancelled",
    "EngineOptions",
    "Graph",
    "OutputSize",
    "Picture",
    "UpresError",
    "UpscaleOptions",
    "Upscaler",
    "load_graph",
    "read_picture",
    "write_picture",
]


def test_the_public_names() -> None:
    assert upres.__all__ == PUBLIC
    assert dir(upres) == sorted([*PUBLIC, "__version__"])


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_had_and_is_documented(name: str) -> None:
    thing = getattr(upres, name)
    if callable(thing):
        assert thing.__doc__
        assert thing.__module__.startswith("upres.")
        assert thing.__name__ == name


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'upres' has no attribute 'upscayl'"):
        upres.upscayl  # noqa: B018
