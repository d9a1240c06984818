"""upres: train, measure and run ESRGAN super-resolution.

The public names are imported when they are first used: `import upres` alone loads neither torch nor an engine nor an
image codec.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upres.engines.options import EngineOptions as EngineOptions
    from upres.errors import DataError as DataError
    from upres.errors import EngineError as EngineError
    from upres.errors import InputError as InputError
    from upres.errors import ModelError as ModelError
    from upres.errors import OutOfMemoryError as OutOfMemoryError
    from upres.errors import OutputError as OutputError
    from upres.errors import UpresError as UpresError
    from upres.errors import UsageError as UsageError
    from upres.export.export import export_model as export_model
    from upres.graph.graph import Graph as Graph
    from upres.images.io import Picture as Picture
    from upres.images.io import read_picture as read_picture
    from upres.images.io import write_picture as write_picture
    from upres.images.isolation import isolated as isolated
    from upres.metrics.psnr_ssim import psnr as psnr
    from upres.metrics.psnr_ssim import ssim as ssim
    from upres.models.catalog import list_models as list_models
    from upres.models.load import load_model as load_model
    from upres.upscaling.options import UpscaleOptions as UpscaleOptions
    from upres.upscaling.output_size import OutputSize as OutputSize
    from upres.upscaling.tiled_run import Cancelled as Cancelled
    from upres.upscaling.upscale_file import upscale_file as upscale_file
    from upres.upscaling.upscaler import Upscaler as Upscaler

    __version__: str

# Each public name and the module that defines it.
_HOME = {
    "Cancelled": "upres.upscaling.tiled_run",
    "DataError": "upres.errors",
    "EngineError": "upres.errors",
    "EngineOptions": "upres.engines.options",
    "Graph": "upres.graph.graph",
    "InputError": "upres.errors",
    "ModelError": "upres.errors",
    "OutOfMemoryError": "upres.errors",
    "OutputError": "upres.errors",
    "OutputSize": "upres.upscaling.output_size",
    "Picture": "upres.images.io",
    "UpresError": "upres.errors",
    "UpscaleOptions": "upres.upscaling.options",
    "Upscaler": "upres.upscaling.upscaler",
    "UsageError": "upres.errors",
    "export_model": "upres.export.export",
    "isolated": "upres.images.isolation",
    "list_models": "upres.models.catalog",
    "load_model": "upres.models.load",
    "psnr": "upres.metrics.psnr_ssim",
    "read_picture": "upres.images.io",
    "ssim": "upres.metrics.psnr_ssim",
    "upscale_file": "upres.upscaling.upscale_file",
    "write_picture": "upres.images.io",
}

__all__ = [
    "Cancelled",
    "DataError",
    "EngineError",
    "EngineOptions",
    "Graph",
    "InputError",
    "ModelError",
    "OutOfMemoryError",
    "OutputError",
    "OutputSize",
    "Picture",
    "UpresError",
    "UpscaleOptions",
    "Upscaler",
    "UsageError",
    "export_model",
    "isolated",
    "list_models",
    "load_model",
    "psnr",
    "read_picture",
    "ssim",
    "upscale_file",
    "write_picture",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("upres")
    if name not in _HOME:
        raise AttributeError(f"module 'upres' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
