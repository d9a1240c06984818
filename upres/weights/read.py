"""Model files that name their weights, to arrays: without torch, and without running anything that a file says.

The content decides the format, never the name: `.safetensors` and both containers of `torch.save`. Everything else is
refused, with what it is.
"""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.weights.safetensors import SHA256_KEY as SHA256_KEY
from upres.weights.safetensors import read_safetensors
from upres.weights.safetensors import write_safetensors as write_safetensors
from upres.weights.sniff import recognize
from upres.weights.tensors import Origin

MAX_FILE_BYTES = 4 * 2**30  # a hundred times the largest network that we run


def read_weights(path: Path, *, discriminator: bool = False) -> dict[str, NDArray[np.generic]]:
    """The state dict in `path`: arrays by name, floats of any width as float32, integers and bool as stored, all
    finite.

    Of a checkpoint, what lies under the first of the wrappers of `torch_file.py` is taken (`params_ema`, `net_g`,
    `state_dict`, ...), or else the whole; with `discriminator` the first of those that hold a discriminator. Tied
    tensors are one array. Raises ModelError, and nothing else, for whatever is wrong with the file.
    """
    try:
        status = path.stat()
        data = path.read_bytes() if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE_BYTES else None
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte in it
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ModelError(f"model file {path}: it cannot be read ({reason}). Check its path and permissions") from error
    if data is not None:
        if not _is_safetensors(data):
            from upres.weights.ncnn_file import find_pair  # not needed for bundled models

            if find_pair(path) is not None:
                raise ModelError(
                    f"model file {path}: it is an ncnn network, whose weights have no names. upres.load_model reads it"
                )
        return parse_weights(data, str(path), discriminator=discriminator)
    found = "a folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size:,} bytes large"
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        found = "a device or a pipe"
    raise ModelError(
        f"model file {path}: it is {found}; expected a .safetensors or .pth file of at most {MAX_FILE_BYTES:,} bytes. "
        "Name the file"
    )


def _is_safetensors(data: bytes) -> bool:
    return data[8:9] == b"{" and data[4:8] == b"\0\0\0\0"  # a header of less than 4 GiB


def parse_weights(data: bytes, name: str, *, discriminator: bool = False) -> dict[str, NDArray[np.generic]]:
    """The state dict in the bytes of a model file that messages call `name`; the rest is as in `read_weights`."""
    origin = Origin(name, len(data))
    if _is_safetensors(data):
        return read_safetensors(data, origin)
    # not needed for bundled models
    from upres.weights.torch_file import DISCRIMINATOR_WRAPPERS, STREAM_START, WRAPPERS, read_stream, read_zip

    wrappers = DISCRIMINATOR_WRAPPERS if discriminator else WRAPPERS
    if data.startswith(b"PK\x03\x04"):
        return read_zip(data, origin, wrappers)
    if data.startswith(STREAM_START):
        return read_stream(data, origin, wrappers)
    found, remedy = recognize(data, name)
    raise origin.refuse(found, remedy=remedy)
