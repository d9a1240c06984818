"""Run the server: listen, drain on SIGTERM or Ctrl-C, stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import time
from collections.abc import Callable, Generator
from types import FrameType

import uvicorn

from upres.errors import UsageError
from upres.serve.app import App, create_app
from upres.serve.service import Service
from upres.serve.settings import Settings

_BACKLOG = 2048
_LEFT_S = 5.0  # for answers on their way, once all work is done
_log = logging.getLogger(__name__)
Ready = Callable[[str], None]


class Server(uvicorn.Server):
    """uvicorn, which is told to stop only once the service has drained."""

    def __init__(self, config: uvicorn.Config, app: App, ready: Ready, url: str) -> None:
        super().__init__(config)
        self._app, self._ready, self._url = app, ready, url
        self._drain: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def service(self) -> Service:
        """What it serves."""
        return self._app.state.service

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """The first signal drains, the second one stops at once. None is raised again: a stop is no failure."""
        loop = asyncio.get_running_loop()
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]

        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.stop_gently, number)

        try:
            before = {number: signal.signal(number, handle) for number in numbers}
        except ValueError:  # not in the main thread: whoever runs it there stops it by `stop_gently`
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop_gently(self, number: int = signal.SIGTERM) -> None:
        """Begin to stop; the second call stops at once. To be called in the event loop."""
        if self._drain is not None:
            self._drain.cancel()
            self.config.timeout_graceful_shutdown = 0
            self.should_exit = True
            return
        _log.info("%s: no new pictures; work in hand is finished", signal.Signals(number).name)
        self._drain = asyncio.create_task(self._until_drained())

    def stop(self) -> None:
        """Begin to stop, from another thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.stop_gently)

    async def _until_drained(self) -> None:
        try:
            await self._app.state.service.drain()
        finally:
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._ready(self._url)


def make_server(
    settings: Settings,
    *,
    one_time_token: str | None = None,
    command: Callable[[], list[str]] | None = None,
    ready: Ready = lambda _: None,
) -> tuple[Server, list[socket.socket]]:
    """A server that listens already, for `server.run(sockets)`.

    Raises `UsageError` if the address cannot be had, and as `create_app` does.
    """
    sock = _listen(settings.host, settings.port)
    try:
        host, port = sock.getsockname()[:2]
        app = create_app(settings, one_time_token=one_time_token, command=command)
    except BaseException:
        sock.close()
        raise
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=round(_LEFT_S),
        h11_max_incomplete_event_size=64 << 10,
        http="h11",
        ws="none",
    )
    return Server(config, app, ready, f"http://{f'[{host}]' if ':' in host else host}:{port}"), [sock]


def serve(settings: Settings, *, one_time_token: str | None = None, ready: Ready = lambda _: None) -> int:
    """Serve until a signal stops it; returns the exit code.

    settings: Of the server.
    one_time_token: Opens one session of the page.
    ready: Called with the address once it listens.

    Raises `UsageError` if the address or the data folder cannot be had.
    """
    server, sockets = make_server(settings, one_time_token=one_time_token, ready=ready)
    begin_log(settings)
    server.run(sockets)
    return 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"`host={host}` cannot be listened at: {error}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise UsageError(
            f"`host={host}` `port={port}` cannot be listened at: {error.strerror or error}; choose another port, "
            "or 0 for a free one"
        ) from error
    return sock


class LogLines(logging.Formatter):
    """Log records as lines of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", None) or {"message": record.getMessage()}
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        if record.exc_info:
            facts = {**facts, "traceback": self.formatException(record.exc_info)}
        return json.dumps({"time": moment, "level": record.levelname.lower(), "logger": record.name, **facts})


class LogText(logging.Formatter):
    """Log records for people."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", None)
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        if facts is None:
            return f"{moment} {record.getMessage()}"
        return (
            f"{moment} {facts['method']} {facts['path']} {facts['status']} {facts['ms']:.0f} ms ({facts['request_id']})"
        )


def begin_log(settings: Settings) -> None:
    """Send the log of the server to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines() if settings.log == "json" else LogText())
    for name in ("upres", "uvicorn"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO if name == "upres" else logging.WARNING)
        logger.propagate = False
