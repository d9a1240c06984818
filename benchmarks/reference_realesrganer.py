"""The way Real-ESRGAN's RealESRGANer runs a picture on a CPU: torch eager, float32, NCHW, the whole picture, reflect
padding of 10.

    python benchmarks/reference_realesrganer.py IN.png OUT.png WEIGHTS compact|residual|rrdb

Written for comparison, from the description of what that program does; the codec is the one that upres uses, with the
same settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyvips
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.oracles.networks import RRDBNet, SRVGGNetCompact
from tests.oracles.residual import ResidualNet
from upres.weights.read import read_weights

PRE_PAD = 10


def main() -> None:
    source, target, weights, family = sys.argv[1:]
    state = {name: torch.from_numpy(np.array(array)) for name, array in read_weights(Path(weights)).items()}
    if family == "compact":
        convs = sum(value.ndim == 4 for value in state.values()) - 2
        net: torch.nn.Module = SRVGGNetCompact(width=len(state["body.0.bias"]), convs=convs)
    elif family == "residual":
        groups = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("groups."))
        length = sum(key.startswith("groups.0.") and key.endswith(".weight") for key in state)
        net = ResidualNet(width=len(state["head.bias"]), groups=groups, length=length)
    else:
        net = RRDBNet()
    net.load_state_dict(state, strict=True)
    net.eval()
    image = pyvips.Image.new_from_file(source).numpy()[:, :, :3].astype(np.float32) / 255.0
    with torch.no_grad():
        lr = F.pad(
            torch.from_numpy(np.transpose(image, (2, 0, 1))).unsqueeze(0), (0, PRE_PAD, 0, PRE_PAD), mode="reflect"
        )
        sr = net(lr)
        scale = sr.shape[2] // lr.shape[2]
        sr = sr[:, :, : sr.shape[2] - PRE_PAD * scale, : sr.shape[3] - PRE_PAD * scale]
        result = sr.squeeze().float().clamp_(0, 1).numpy()
    pixels = (np.transpose(result, (1, 2, 0)) * 255.0).round().astype(np.uint8)
    pyvips.Image.new_from_array(pixels).copy(interpretation="srgb").pngsave(
        target, compression=2, filter=pyvips.enums.ForeignPngFilter.UP
    )


if __name__ == "__main__":
    main()
