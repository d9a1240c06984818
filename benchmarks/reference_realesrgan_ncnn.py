"""The way realesrgan-ncnn-vulkan cuts and pads a picture, with ncnn on the CPU: tiles of 200 px that read 10 px more on
each side, mirrored at the border, and all threads in each layer.

    python benchmarks/reference_realesrgan_ncnn.py IN.png OUT.png MODEL.param MODEL.bin

Written for comparison, from the description of what that program does; the codec is the one that upres uses, with the
same settings. ncnn is loaded as it comes, without our settings of its threads.
"""

from __future__ import annotations

import sys

import ncnn
import numpy as np
import pyvips

TILE, PREPAD = 200, 10


def main() -> None:
    source, target, param, weights = sys.argv[1:]
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    if net.load_param(param) or net.load_model(weights):
        sys.exit("ncnn refuses the model")
    image = pyvips.Image.new_from_file(source).numpy()[:, :, :3].astype(np.float32) / 255.0
    lr = np.pad(np.transpose(image, (2, 0, 1)), ((0, 0), (PREPAD, PREPAD), (PREPAD, PREPAD)), mode="reflect")
    height, width = image.shape[:2]
    result: np.ndarray | None = None
    scale = 0
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            rows, columns = min(TILE, height - top), min(TILE, width - left)
            tile = np.ascontiguousarray(lr[:, top : top + rows + 2 * PREPAD, left : left + columns + 2 * PREPAD])
            extractor = net.create_extractor()
            extractor.input(net.input_names()[0], ncnn.Mat(tile).clone())
            _, mat = extractor.extract(net.output_names()[0])
            sr = np.array(mat)
            scale = sr.shape[2] // tile.shape[2]
            if result is None:
                result = np.empty((height * scale, width * scale, 3), np.uint8)
            kept = sr[:, PREPAD * scale : (PREPAD + rows) * scale, PREPAD * scale : (PREPAD + columns) * scale]
            levels = (np.clip(np.transpose(kept, (1, 2, 0)), 0, 1) * 255.0).round().astype(np.uint8)
            result[top * scale : (top + rows) * scale, left * scale : (left + columns) * scale] = levels
    pyvips.Image.new_from_array(result).copy(interpretation="srgb").pngsave(
        target, compression=2, filter=pyvips.enums.ForeignPngFilter.UP
    )


if __name__ == "__main__":
    main()
