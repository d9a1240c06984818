"""How a network runs, as one value: the engine, its device, its precision."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from upres.engines.registry import DEVICES, check_device, check_installed, engines_with
from upres.errors import UsageError, nearest

ENGINES = ("auto", *DEVICES)
PRECISIONS = ("auto", "fp32", "fp16", "bf16")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How `engines.load` opens a network. Raises `UsageError`, naming the field, for a value out of range."""

    engine: str = "auto"  # one of ENGINES; "auto" is the fastest measured on this machine, else ncnn
    device: str = "auto"  # one of registry.DEVICES, such as "cuda:1"; narrows the choice of engine="auto"
    precision: str = "auto"  # of activations; "auto" is fp32 on CPUs, and fp16 on GPUs if test tiles agree with float32
    threads: int = 0  # at least 1, or 0 for one per core
    exact: bool = False  # tiles equal the untiled picture to the bit: ncnn then takes about twice as long
    expected_px: int | None = None  # LR pixels of all pictures to come; if None, engine="auto" never measures
    picture_px: int | None = None  # LR pixels of a typical one of them; default: all of expected_px

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            remedy = nearest(self.engine, ENGINES)
            raise UsageError(f"`engine` must be one of {', '.join(ENGINES)}; got {self.engine!r}{remedy}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"`precision` must be one of {', '.join(PRECISIONS)}; got {self.precision!r}")
        if self.threads < 0:
            raise UsageError(f"`threads` must be at least 0 (0 is one per core), got {self.threads}")
        for name, value in (("expected_px", self.expected_px), ("picture_px", self.picture_px)):
            if value is not None and value < 1:
                raise UsageError(f"`{name}` must be at least 1, got {value}")
        if self.engine != "auto":
            check_device(self.engine, self.device)
        elif self.device != "auto":
            engines_with(self.device)

    def check_installed(self) -> None:
        """Raises `EngineError`, with the remedy, if the engine, or every engine for the device, is not installed."""
        check_installed(self.engine, self.device)

    def replace(self, **keywords: Any) -> EngineOptions:
        """A copy with some fields changed. Raises `TypeError` for an unknown name, with the nearest one."""
        check_names(keywords, ENGINE_FIELDS)
        return replace(self, **keywords)


ENGINE_FIELDS = tuple(field.name for field in fields(EngineOptions))


def check_names(keywords: dict[str, Any], known: tuple[str, ...]) -> None:
    """Raise `TypeError` for the first keyword that is not `known`."""
    for name in keywords:
        if name not in known:
            raise TypeError(f"unknown option {name!r}{nearest(name, known)}; options are {', '.join(known)}")
