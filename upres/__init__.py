"""upres: train, measure and run ESRGAN super-resolution.

The public names are loaded when first used: `import upres` alone loads neither torch nor an engine nor an image codec.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upres.api import Cancelled as Cancelled
    from upres.api import Upscaler as Upscaler
    from upres.catalog import MODELS as MODELS
    from upres.catalog import load_graph as load_graph
    from upres.errors import UpresError as UpresError
    from upres.graph import Graph as Graph
    from upres.picture import Picture as Picture
    from upres.picture import read_picture as read_picture
    from upres.picture import write_picture as write_picture
    from upres.target import TargetSize as TargetSize

    __version__: str

__all__ = [
    "MODELS",
    "Cancelled",
    "Graph",
    "Picture",
    "TargetSize",
    "UpresError",
    "Upscaler",
    "load_graph",
    "read_picture",
    "write_picture",
]

_HOME = {
    "Cancelled": "upres.api",
    "MODELS": "upres.catalog",
    "Graph": "upres.graph",
    "Picture": "upres.picture",
    "TargetSize": "upres.target",
    "Upscaler": "upres.api",
    "UpresError": "upres.errors",
    "load_graph": "upres.catalog",
    "read_picture": "upres.picture",
    "write_picture": "upres.picture",
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
