"""Stands for the package spandrel in tests: the same names as 0.4, one architecture. Written into a folder that a probe
imports from.
"""

from __future__ import annotations

from pathlib import Path

_SOURCE = """
import torch
import torch.nn.functional as F

__version__ = "0.4.fake"


class UnsupportedModelError(Exception):
    pass


class _Architecture:
    name = "Doubler"


class ImageModelDescriptor:
    architecture, scale, input_channels, output_channels = _Architecture(), 2, 3, 3

    def __init__(self, state):
        self.model = torch.nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.model.load_state_dict({"weight": state["doubler.weight"]})

    def eval(self):
        self.model.eval()
        return self

    def __call__(self, lr):
        return F.interpolate(self.model(lr), scale_factor=2.0, mode="nearest")


class ModelLoader:
    def __init__(self, device):
        assert device == "cpu"

    def load_from_state_dict(self, state):
        if "doubler.weight" not in state:
            raise UnsupportedModelError("no architecture fits")
        return ImageModelDescriptor(state)
"""


def install(folder: Path) -> Path:
    (folder / "spandrel").mkdir()
    (folder / "spandrel" / "__init__.py").write_text(_SOURCE)
    return folder
