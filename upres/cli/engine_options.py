"""Engines on the command line: the options that every verb which runs networks has, and what is told of them."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import say

if TYPE_CHECKING:
    from upres.engines.runner import Runner


class Engine(enum.StrEnum):
    """The engines that upscale; `auto` chooses the fastest."""

    auto = "auto"
    ncnn = "ncnn"
    torch = "torch"
    onnx = "onnx"
    openvino = "openvino"


class Precision(enum.StrEnum):
    """What activations are kept in; `auto` is fp32 on CPUs, and fp16 on GPUs where it agrees."""

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
        help="Where it runs: auto, cpu, cuda, vulkan, mps, ...; cuda:1 is the second one.",
        rich_help_panel=SPEED_PANEL,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision", help="Half precision is used only where test tiles agree with float32.", rich_help_panel=SPEED_PANEL
    ),
]


def plain(value: object) -> object:
    """The text of a choice, as the library takes it; anything else as it is."""
    return value.value if isinstance(value, enum.Enum) else value


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def tell_measurements() -> None:
    """Say on stderr when engines are measured, which takes seconds, and what came of it."""
    logger = logging.getLogger("upres.engines.autotune.choose")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Teller) for handler in logger.handlers):
        logger.addHandler(_Teller())


def words_for_engine(runner: Runner) -> str:
    """`"ncnn 1.0"`, and where it is not the CPU in float32, what it is: `"torch 2.13 on cuda:0 in fp16"`."""
    place = "" if runner.device == "cpu" else f" on {runner.device}"
    return runner.name + place + ("" if runner.precision == "fp32" else f" in {runner.precision}")
