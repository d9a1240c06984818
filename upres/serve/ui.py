"""A server for one person and a browser on this machine: it opens the page, and ends when nobody looks at it any more.

The page is entered with a token that works once. It stands in the fragment of the address, which browsers send to no
server and write into no log, and is exchanged for a cookie.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

from upres.serve.desk import Desk
from upres.serve.run import Server, make_server
from upres.serve.settings import Settings
from upres.system.download import cache_folder
from upres.system.lock import only_user

GRACE_S = 20.0  # without a page: it may be loading again, or another tab may take over
_LOOK_S = 0.5
RUNS_ALREADY = "upres ui runs already: use its window, or end it with Ctrl-C where it was started"


def ui_settings(folder: Path, data: Path, port: int = 0) -> Settings:
    """Of the server of `upres ui`: limits are those of the machine, and what is not done is done the next time.

    folder: Gets the results. data: Of jobs and their files.
    """
    return Settings(
        port=port,
        data=str(data),
        out=str(folder),
        queue=500,
        max_mb=2000.0,
        max_mp=1000.0,
        max_mp_out=4000.0,
        max_frames=10_000,
        max_seconds=86400.0,
        body_seconds=600.0,
        keep_hours=24.0 * 30,
        keep_gb=10.0,
        drain_seconds=1.0,
    )


def run_ui(
    folder: Path,
    *,
    port: int = 0,
    opened: Callable[[str, str], None],
    grace_s: float = GRACE_S,
    command: Callable[[], list[str]] | None = None,
) -> None:
    """Serve the page until it was closed for some seconds and all work is done, or until a signal.

    folder: Gets the results; created if it is missing.
    port: 0 takes a free one.
    opened: Called once, in a thread, with the address of the page and the one with its token.
    grace_s: Seconds without a page.
    command: Makes the command of a worker; for tests.

    Raises `UsageError` if it runs already, `OutputError` for folders that cannot be written.
    """
    make_folder(folder)
    home = cache_folder() / "ui"
    token = secrets.token_urlsafe(32)
    tasks: set[asyncio.Task[None]] = set()  # asyncio itself keeps none

    def ready(url: str) -> None:
        tasks.add(asyncio.create_task(asyncio.to_thread(opened, url, f"{url}/#token={token}")))
        tasks.add(asyncio.create_task(_until_nobody_looks(server, desk, grace_s)))

    with only_user(home, RUNS_ALREADY):
        settings = ui_settings(folder, home / "jobs", port)
        server, sockets = make_server(settings, one_time_token=token, command=command, ready=ready)
        desk = server.service.desk
        server.run(sockets)


def make_folder(folder: Path) -> None:
    """Create the folder of the results. Raises `OutputError` where that cannot be, or nothing can be written there."""
    from upres.system.files import output_error, partial_path

    probe = partial_path(folder / "probe")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise output_error(folder, error) from error


async def _until_nobody_looks(server: Server, desk: Desk, grace_s: float) -> None:
    """Stop the server once a page was there, none is for so long, and nothing is left to do."""
    loop = asyncio.get_running_loop()
    seen, last = False, loop.time()
    while not desk.draining:
        await asyncio.sleep(min(_LOOK_S, grace_s / 4))
        looking = len(desk.hub) > 0
        seen = seen or looking
        if looking or not seen or desk.running or len(desk.queue):
            last = loop.time()
        elif loop.time() - last >= grace_s:
            server.stop_gently()
            return
