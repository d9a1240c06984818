"""What every test may ask for: the assets folder (test pictures, community weights) and the example photograph of the
repository.

Assets are research-only or large, so they are no part of the repository: tests that need them ask for the fixture
`assets` and are skipped, with a word, where the environment variable UPRES_ASSETS does not name the folder.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import REPOSITORY
from upres.engines.signal_stack import own_signal_stack

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # `import openvino` would tell Intel of every run of the tests


def pytest_configure() -> None:
    """Signals to stop that the shell has ignored (a background job, nohup) are tested as in the foreground."""
    defaults = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}  # Windows has no SIGHUP
    for name, default in defaults.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, default)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("UPRES_EXTRAS") != "1":
        skip = pytest.mark.skip(reason="needs packages of the extra dev-extras: run scripts/test --extras")
        for item in items:
            if item.get_closest_marker("extras"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def ordinary_scheduling() -> Iterator[None]:
    """A library that makes this thread a real-time one (SVT-AV1 does, for root) lets nothing else run."""
    yield
    if sys.platform == "linux" and os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail("the test left its thread in real-time scheduling")


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder with data/test/{Set5,Set14,BSD100} and weights/; skips the test where UPRES_ASSETS is unset."""
    named = os.environ.get("UPRES_ASSETS")
    if not named:
        pytest.skip("UPRES_ASSETS is not set")
    folder = Path(named)
    if not folder.is_dir():
        raise FileNotFoundError(f"UPRES_ASSETS names {folder}, which is not a folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache for this session: what an earlier one has measured or compiled must not decide what this one finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPRES_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def example_photo() -> Path:
    """The public-domain photograph that the repository carries."""
    return REPOSITORY / "examples" / "astronaut.png"


@pytest.fixture
def unplotted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training draws no crops and no curves, as where matplotlib is missing: half the time of a run of a few steps."""
    monkeypatch.setattr("upres.training.monitoring.tensorboard.missing_to_plot", lambda: ("drawing, in this test,",))


@pytest.fixture
def upres(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """The command inside this process, which spares a second of a processor; (stdout, stderr) after a check of the exit
    code.
    """
    from upres.__main__ import main

    def command(*arguments: object, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["upres", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert (end.value.code or 0) == code, err
        assert "Traceback" not in err
        return out, err

    return command


@pytest.fixture(autouse=True)
def own_stack_for_signals() -> Iterator[None]:
    """Tests that use OpenVINO as other programs do leave a signal stack that is gone: a later test's Ctrl-C would be
    the end.
    """
    with own_signal_stack():
        yield
