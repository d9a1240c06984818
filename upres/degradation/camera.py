"""Camera noise: converts a picture back to sensor data, adds sensor noise, and develops it again.

T. Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019: its camera matrices, gains, tone curve and
noise model. BSRGAN's camera stage has other matrices and a demosaicing network; this one replaces it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

# XYZ -> camera, as published with the paper, without names. The second to fourth are Adobe's matrices for these
# cameras; the first must then be the phone, the remaining one of the four cameras of the Darmstadt noise data set.
CAMERAS: Final = {
    "Huawei Nexus 6P": ((1.0234, -0.2969, -0.2266), (-0.5625, 1.6328, -0.0469), (-0.0703, 0.2188, 0.6406)),
    "Sony A7R": ((0.4913, -0.0541, -0.0202), (-0.613, 1.3513, 0.2906), (-0.1564, 0.2151, 0.7183)),
    "Olympus E-M10": ((0.838, -0.263, -0.0639), (-0.2887, 1.0725, 0.2496), (-0.0627, 0.1427, 0.5438)),
    "Sony RX100 IV": ((0.6596, -0.2079, -0.0562), (-0.4782, 1.3016, 0.1933), (-0.097, 0.1581, 0.5181)),
}
_RGB_TO_XYZ: Final = np.array(  # sRGB, D65
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_GAMMA: Final = 2.2
_BRIGHT: Final = 0.9  # above this, inverse gains are blended towards 1 so that white stays white


def draw_camera(rng: np.random.Generator) -> dict[str, Any]:
    """Draw a camera stage: weights of the four matrices, gains, shot and read noise (variances; section 3.1, equation
    3).
    """
    weights = rng.random(len(CAMERAS))
    log_shot = float(rng.uniform(math.log(1e-4), math.log(1.2e-2)))
    log_read = 2.18 * log_shot + 1.20 + float(rng.normal(0.0, 0.26))
    return {
        "weights": (weights / weights.sum()).tolist(),
        "rgb_gain": float(1.0 / rng.normal(0.8, 0.1)),
        "red_gain": float(rng.uniform(1.9, 2.4)),
        "blue_gain": float(rng.uniform(1.5, 1.9)),
        "shot": float(np.exp(log_shot)),
        "read": float(np.exp(log_read)),
        "seed": int(rng.integers(1 << 62)),
    }


def camera_noise(image: Array, parameters: Mapping[str, Any]) -> Array:
    """`image` float32 `h w c` in [0,1], developed from a noisy RGGB mosaic of itself; gray is processed as three equal
    channels.

    With `shot` and `read` of 0 only the loss from the mosaic remains.
    """
    rng = np.random.default_rng(parameters["seed"])
    matrix = _camera_matrix(parameters["weights"])
    gains = (np.array([parameters["red_gain"], 1.0, parameters["blue_gain"]]) * parameters["rgb_gain"]).astype(
        np.float32
    )
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image

    # inverse of 3 x^2 - 2 x^3
    smooth = np.float32(0.5) - np.sin(np.arcsin(1.0 - 2.0 * np.clip(rgb, 0.0, 1.0)) / np.float32(3.0))
    linear = np.maximum(smooth, np.float32(1e-8)) ** np.float32(_GAMMA)
    raw = np.clip(_without_gains(linear @ matrix.T.astype(np.float32), gains), 0.0, 1.0)

    height, width = raw.shape[:2]
    mosaic = _mosaic(np.pad(raw, ((2, 2 + height % 2), (2, 2 + width % 2), (0, 0)), mode="reflect"))
    deviation = np.sqrt(np.float32(parameters["shot"]) * mosaic + np.float32(parameters["read"]))
    noisy = mosaic + rng.standard_normal(mosaic.shape, dtype=np.float32) * deviation
    balanced = np.clip(noisy * _mosaic(np.broadcast_to(gains, (*noisy.shape, 3))), 0.0, 1.0)
    rgb_raw = _demosaic(balanced)[1 : 1 + height, 1 : 1 + width]

    developed = np.clip(rgb_raw @ np.linalg.inv(matrix).T.astype(np.float32), np.float32(1e-8), 1.0)
    encoded = developed ** np.float32(1.0 / _GAMMA)
    result = encoded * encoded * (3.0 - 2.0 * encoded)
    return np.asarray(result.mean(axis=2, keepdims=True) if image.shape[2] == 1 else result, np.float32)


def _camera_matrix(weights: list[float]) -> Wide:
    """Linear RGB -> camera, with rows that sum to 1: gray stays gray."""
    xyz_to_camera = np.tensordot(np.array(weights), np.array(list(CAMERAS.values())), axes=1)
    matrix = xyz_to_camera @ _RGB_TO_XYZ
    return matrix / matrix.sum(axis=1, keepdims=True)


def _without_gains(image: Array, gains: Array) -> Array:
    """image / gains, but bright gray is preserved, so that clipped highlights remain white (section 3.3)."""
    gray = image.mean(axis=2, keepdims=True)
    mask = np.maximum((gray - _BRIGHT) / (1.0 - _BRIGHT), 0.0) ** 2
    inverse = 1.0 / gains
    return np.asarray(image * np.maximum(mask + (1.0 - mask) * inverse, inverse), np.float32)


def _mosaic(image: Array) -> Array:
    """`h w 3`, even sides -> `h w`: red at even rows and columns, blue at odd ones, green elsewhere."""
    mosaic = image[..., 1].copy()
    mosaic[0::2, 0::2] = image[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = image[1::2, 1::2, 2]
    return mosaic


def _demosaic(mosaic: Array) -> Array:
    """`h w` -> `h-2 w-2 3`, without the outer pixels. Bilinear: a missing color is the mean of its nearest samples."""
    red, blue = np.zeros_like(mosaic), np.zeros_like(mosaic)
    red[0::2, 0::2] = mosaic[0::2, 0::2]
    blue[1::2, 1::2] = mosaic[1::2, 1::2]
    green = mosaic - red - blue
    cross = green[:-2, 1:-1] + green[2:, 1:-1] + green[1:-1, :-2] + green[1:-1, 2:]
    return np.stack(
        [_tent(red), np.asarray(green[1:-1, 1:-1] + cross * np.float32(0.25), np.float32), _tent(blue)], axis=2
    )


def _tent(plane: Array) -> Array:
    """The sum over 3 x 3 with weights 1/2 1 1/2 in both directions: linear interpolation of samples with zeros in
    between.
    """
    across = plane[:, 1:-1] + (plane[:, :-2] + plane[:, 2:]) * np.float32(0.5)
    return np.asarray(across[1:-1] + (across[:-2] + across[2:]) * np.float32(0.5), np.float32)
