"""Options and messages about engines, shared by all commands that run networks."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import say

if TYPE_CHECKING:
    from upres.batch.job import EngineUsed
    from upres.engines.runner import Runner


class Engine(enum.StrEnum):
    """The engines; `auto` chooses the fastest."""

    auto = "auto"
    ncnn = "ncnn"
    torch = "torch"
    onnx = "onnx"
    openvino = "openvino"


class Precision(enum.StrEnum):
    """The precision of activations; `auto` is fp32 on CPUs, and fp16 on GPUs if it agrees with fp32."""

    auto = "auto"
    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


SPEED_PANEL = "Speed and memory"
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Device: auto, cpu, cuda, vulkan, mps, ...; cuda:1 is the second GPU.",
        rich_help_panel=SPEED_PANEL,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="Precision of activations. Half precision is used only if test tiles agree with fp32.",
        rich_help_panel=SPEED_PANEL,
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine", help="Inference engine; auto measures once which is fastest here.", rich_help_panel=SPEED_PANEL
    ),
]
NiceOption = Annotated[bool, typer.Option("--nice", help="Let other programs go first.", rich_help_panel=SPEED_PANEL)]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Memory limit of the whole process, such as 2G or 512M. Default: 80 % of the free memory.",
        rich_help_panel=SPEED_PANEL,
    ),
]

# Of the verbs that compare models, whose results must not depend on the machine.
ComparedEngineOption = Annotated[
    Engine | None,
    typer.Option(
        "--engine",
        help="Inference engine. Default: ncnn on all machines, for comparable results.",
        rich_help_panel=SPEED_PANEL,
    ),
]
ThreadsOption = Annotated[
    int,
    typer.Option(
        "--threads", min=0, metavar="N", help="Threads for networks; 0: one per core.", rich_help_panel=SPEED_PANEL
    ),
]


def plain(value: object) -> object:
    """The string of an enum member, as the library takes it; other values unchanged."""
    return value.value if isinstance(value, enum.Enum) else value


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def tell_measurements() -> None:
    """Report on stderr when engines are measured, which takes seconds, with the result, and what will be slow."""
    for name in ("autotune.choose", "precision"):
        logger = logging.getLogger(f"upres.engines.{name}")
        logger.setLevel(logging.INFO)
        if not any(isinstance(handler, _Teller) for handler in logger.handlers):
            logger.addHandler(_Teller())


def words_for_engine(runner: Runner | EngineUsed) -> str:
    """`"ncnn 1.0"`, or with a device and precision other than CPU and fp32: `"torch 2.13 on cuda:0 in fp16"`."""
    place = "" if runner.device == "cpu" else f" on {runner.device}"
    return runner.name + place + ("" if runner.precision == "fp32" else f" in {runner.precision}")
