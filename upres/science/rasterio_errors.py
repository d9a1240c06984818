"""rasterio, with its errors as ours and without its warnings about files that have no georeference."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false, reportMissingModuleSource=false

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from upres.errors import InputError
from upres.science.enlarge import Box
from upres.system.text import first_line, shown


@contextmanager
def opened(path: Path) -> Generator[Any]:
    """A TIFF open for reading, by GDAL's driver for it alone. Raises `InputError` for what it cannot read."""
    import rasterio
    from rasterio.errors import RasterioError, RasterioIOError

    with quiet():
        try:
            with (
                rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE"),
                rasterio.open(path.absolute(), driver="GTiff") as source,
            ):
                yield source
        except RasterioIOError as error:
            why = first_line(str(error.__cause__ or error))
            words = f"{shown(path)} is a damaged or unsupported TIFF ({why}); copy or download it again"
            raise InputError(words) from error
        except RasterioError as error:
            raise InputError(f"{shown(path)} cannot be read by GDAL: {first_line(str(error))}") from error


@contextmanager
def quiet() -> Generator[None]:
    """Without the warning that a file has no georeference, which many measured ones have not."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def window(box: Box) -> Any:
    """A box as rasterio's window."""
    from rasterio.windows import Window

    return Window(box.left, box.top, box.shape[1], box.shape[0])  # pyright: ignore[reportCallIssue]
