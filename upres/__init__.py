"""upres: train, measure and run ESRGAN super-resolution.

The public names are loaded when first used: `import upres` alone loads neither torch nor an engine nor an image codec.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upres.engines.options import EngineOptions as EngineOptions
    from upres.errors import UpresError as UpresError
    from upres.graph.graph import Graph as Graph
    from upres.images.io import Picture as Picture
    from upres.images.io import read_picture as read_picture
    from upres.images.io import write_picture as write_picture
    from upres.models.catalog import MODELS as MODELS
    from upres.models.catalog import load_graph as load_graph
    from upres.upscaling.options import UpscaleOptions as UpscaleOptions
    from upres.upscaling.output_size import OutputSize as OutputSize
    from upres.upscaling.upscaler import Cancelled as Cancelled
    from upres.upscaling.upscaler import Upscaler as Upscaler

    __version__: str

__all__ = [
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

_HOME = {
    "Cancelled": "upres.upscaling.upscaler",
    "MODELS": "upres.models.catalog",
    "EngineOptions": "upres.engines.options",
    "Graph": "upres.graph.graph",
    "Picture": "upres.images.io",
    "OutputSize": "upres.upscaling.output_size",
    "UpscaleOptions": "upres.upscaling.options",
    "Upscaler": "upres.upscaling.upscaler",
    "UpresError": "upres.errors",
    "load_graph": "upres.models.catalog",
    "read_picture": "upres.images.io",
    "write_picture": "upres.images.io",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("upres")
    if name not in _HOME:
        raise AttributeError(f"module 'upres' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
