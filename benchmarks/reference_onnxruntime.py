"""A picture through ONNX Runtime in the plainest way: one session, the whole picture.

    python benchmarks/reference_onnxruntime.py IN.png OUT.png MODEL.onnx

The codec is the one that upres uses, with the same settings.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import pyvips


def main() -> None:
    source, target, model = sys.argv[1:]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    image = pyvips.Image.new_from_file(source).numpy()[:, :, :3].astype(np.float32) / 255.0
    lr = np.ascontiguousarray(np.transpose(image, (2, 0, 1))[None])
    sr = session.run(None, {session.get_inputs()[0].name: lr})[0][0]
    pixels = (np.clip(np.transpose(sr, (1, 2, 0)), 0, 1) * 255.0).round().astype(np.uint8)
    pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").pngsave(
        target, compression=2, filter=pyvips.enums.ForeignPngFilter.UP
    )


if __name__ == "__main__":
    main()
