"""Architectures that only spandrel knows (SwinIR, DAT, RealPLKSR, ...), run by torch on the CPU.

`upres.weights.read` reads the weights without executing code from the file; spandrel detects the architecture by their
names.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingImports=false

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from upres.engines.failures import failure, reason_of
from upres.engines.opaque.program import Cost
from upres.engines.runner import threads_or_default
from upres.errors import EngineError, ModelError
from upres.graph.nodes import Array
from upres.system.packages import has_module, import_failure
from upres.weights.read import read_weights

try:
    import spandrel as _spandrel
    import torch
    from torch.utils.flop_counter import FlopCounterMode
except ImportError as error:
    missing = "torch" if has_module("spandrel") else "spandrel"
    raise import_failure("this network", "spandrel", missing, error) from error

_SPANDREL: Any = _spandrel
_FAILURES = (RuntimeError, ValueError, AssertionError, IndexError, KeyError, TypeError)


class SpandrelProgram:
    """A network in spandrel. See `Program`.

    Raises ModelError if spandrel does not know the architecture, or it is not for single images.
    """

    fixed = None
    takes_bytes = False
    memory_factor = 4.0  # relative to the largest input plus output of a module; memory inside modules is not seen
    grid_px = 1

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        state = {name: torch.from_numpy(np.array(array)) for name, array in read_weights(path).items()}
        self.parameters = sum(tensor.numel() for tensor in state.values())
        try:
            found: Any = _SPANDREL.ModelLoader(device="cpu").load_from_state_dict(state)
        except (_SPANDREL.UnsupportedModelError, *_FAILURES) as error:
            raise ModelError(
                f"model file {path}: spandrel does not know this architecture either ({reason_of(error)})"
            ) from error
        if not isinstance(found, _SPANDREL.ImageModelDescriptor):
            raise ModelError(
                f"model file {path}: {found.architecture.name} needs more inputs than one image, such as a mask"
            )
        self._model: Any = found.eval()
        self.family = str(found.architecture.name)
        self.name = f"spandrel {getattr(_SPANDREL, '__version__', '')}".strip() + f", torch {torch.__version__}"
        self.channels = (int(found.input_channels),)
        self._threads = threads_or_default(threads)

    def __call__(self, lr: Array) -> Array:
        if self._model is None:
            raise EngineError("this spandrel program is closed")
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                return self._model(torch.from_numpy(np.array(lr))).float().contiguous().numpy()
        except (*_FAILURES, MemoryError) as error:
            raise failure(self.name, lr, error) from error
        finally:
            torch.set_num_threads(before)

    def cost(self, lr: Array) -> Cost:
        """Multiply-adds counted by torch; `live_bytes` is the largest input plus output of a module."""
        peak = 0

        def watch(_: Any, inputs: Any, output: Any) -> None:
            nonlocal peak
            values = [value for value in (*inputs, output) if isinstance(value, torch.Tensor)]
            peak = max(peak, sum(4 * value.numel() for value in values))

        hooks = [module.register_forward_hook(watch) for module in self._model.model.modules()]
        try:
            with FlopCounterMode(display=False) as counter:
                self(lr)
        finally:
            for hook in hooks:
                hook.remove()
        return Cost(counter.get_total_flops() / 2.0, float(peak))

    def close(self) -> None:
        """Free the weights."""
        self._model = None
