"""A picture through OpenVINO in the plainest way: one compiled network, the whole picture, float32.

    python benchmarks/reference_openvino.py IN.png OUT.png MODEL.onnx

The codec is the one that upres uses, with the same settings.
"""

from __future__ import annotations

import sys

import numpy as np
import openvino
import pyvips


def main() -> None:
    source, target, model = sys.argv[1:]
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    network = openvino.Core().compile_model(model, "CPU", settings)
    image = pyvips.Image.new_from_file(source).numpy()[:, :, :3].astype(np.float32) / 255.0
    sr = network(np.ascontiguousarray(np.transpose(image, (2, 0, 1))[None]))[0][0]
    pixels = (np.clip(np.transpose(sr, (1, 2, 0)), 0, 1) * 255.0).round().astype(np.uint8)
    pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").pngsave(
        target, compression=2, filter=pyvips.enums.ForeignPngFilter.UP
    )


if __name__ == "__main__":
    main()
