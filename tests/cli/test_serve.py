"""upres serve: settings from the command line; a server that says where it listens and ends well."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.serve.running import environment

pytest.importorskip("starlette")
Command = Callable[..., tuple[str, str]]


def test_settings_are_printed_with_secrets_masked(
    upres: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UPRES_SERVE_TOKEN", "anna:0123456789abcdef")
    out, _ = upres("serve", "--print-config", "--host", "0.0.0.0", "--queue", 3, "--hosts", "a", "--hosts", "b")
    assert 'host = "0.0.0.0"' in out and "queue = 3" in out and 'hosts = ["a", "b"]' in out
    assert 'tokens = ["anna:***"]' in out


def test_all_mistakes_are_told_in_the_words_of_the_options(upres: Command) -> None:
    _, err = upres("serve", "--port", "x", "--workers", 0, "--max-mp", -1, code=2)
    for option in ("--port must be", "--workers must be", "--max-mp must be"):
        assert option in err
    _, err = upres("serve", "--host", "0.0.0.0", code=2)
    assert "--host 0.0.0.0 can be reached by others, so it needs a token: set --token" in err


def test_an_address_that_is_taken(upres: Command, tmp_path: Path) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        _, err = upres("serve", "--port", port, "--data", tmp_path, code=2)
    assert "cannot be listened at" in err and "choose another port" in err
    _, err = upres("serve", "--host", "203.0.113.1", "--token", "0123456789abcdef", "--data", tmp_path, code=2)
    assert "cannot be listened at" in err


def test_a_model_that_is_not_here(upres: Command, tmp_path: Path) -> None:
    _, err = upres("serve", "--port", 0, "--models", "none", "--data", tmp_path, code=2)
    assert "--models: none is not on this machine" in err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_well(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "upres", "serve", "--port", "0", "--data", str(tmp_path), "--log", "json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "serving at" in line)
        url = line.split(" at ")[1].split(" ")[0]
        assert httpx.get(f"{url}/healthz", trust_env=False).text == "ok\n"
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(20) == 0 and "Traceback" not in rest
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
