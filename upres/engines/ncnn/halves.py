"""Half precision of activations in ncnn: its options, and whether a CPU has it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from upres.engines.ncnn.arrays import Chunks, own_mat
from upres.engines.ncnn.library import ncnn


@cache
def cpu_keeps(precision: str) -> bool:
    """Whether ncnn stores activations in this half precision on this CPU, by a test: unsupported options are ignored.

    Seen: x86 supports bfloat16, not float16; ARM is said to support both.
    """
    net: Any = ncnn.Net()
    set_halves(net.opt, precision)
    program = "7767517\n2 2\nInput input 0 1 a\nConvolution conv 1 1 a b 0=4 1=1 6=16\n"
    fine = np.full((4, 8, 8), 1 + 2**-12, np.float32)  # rounds to 1 in either half precision
    weights = Chunks([np.zeros(1, np.float32), np.eye(4, dtype=np.float32)])
    if net.load_param_mem(program) != 0 or net.load_model(weights) != 0:
        return False
    extractor = net.create_extractor()
    extractor.input("a", own_mat(fine))
    failed, mat = extractor.extract("b")
    return failed == 0 and bool(np.all(np.array(mat) == 1))


def set_halves(options: Any, precision: str) -> None:
    """Turn on the options of one half precision, or of none for "fp32"."""
    of = {"fp16": ("fp16_packed", "fp16_storage", "fp16_arithmetic"), "bf16": ("bf16_packed", "bf16_storage")}
    for kind, names in of.items():
        for name in names:
            if hasattr(options, f"use_{name}"):  # options differ between versions of ncnn
                setattr(options, f"use_{name}", precision == kind)
