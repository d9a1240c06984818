"""Options of engines on the command line, and what is told of them."""

from __future__ import annotations

import inspect
import logging
from typing import get_args

import pytest

from tests.tiny import FakeRunner
from upres.cli.engine_options import Engine, Precision, tell_measurements, words_for_engine
from upres.cli.evaluate import evaluate
from upres.cli.upscale import upscale
from upres.engines import options
from upres.engines.runner import Precision as Kept


def test_the_command_line_knows_what_the_library_knows() -> None:
    assert tuple(Engine) == options.ENGINES
    assert tuple(Precision) == options.PRECISIONS == ("auto", *get_args(Kept))


def test_evaluate_measures_alike_on_every_machine_unless_told_otherwise() -> None:
    defaults = {name: parameter.default for name, parameter in inspect.signature(evaluate).parameters.items()}
    assert (defaults["engine"], defaults["device"], defaults["precision"]) == (None, "cpu", "fp32")
    defaults = {name: parameter.default for name, parameter in inspect.signature(upscale).parameters.items()}
    assert (defaults["engine"], defaults["device"], defaults["precision"]) == ("auto", "auto", "auto")


def test_what_ran_is_told_shortly_where_it_is_the_plain_case() -> None:
    runner = FakeRunner()
    assert words_for_engine(runner) == "fake 1"
    runner.device, runner.precision = "cuda:0", "fp16"
    assert words_for_engine(runner) == "fake 1 on cuda:0 in fp16"


def test_measurements_are_told_on_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("upres.engines.autotune.choose")
    before = logger.level, list(logger.handlers)
    try:
        tell_measurements()
        tell_measurements()
        logger.info("ncnn %.1f s -> ncnn", 0.5)
        logger.debug("not for people")
        assert capsys.readouterr() == ("", "ncnn 0.5 s -> ncnn\n")
    finally:
        logger.level, logger.handlers = before
