"""A server in a process of its own, which may be killed: `python -m tests.serve.server_process DATA PORT [real]`."""

from __future__ import annotations

import sys

from tests.serve.running import fake_command
from upres.serve.run import begin_log, make_server
from upres.serve.settings import Settings


def main(data: str, port: str, kind: str = "fake") -> None:
    settings = Settings(port=int(port), data=data, queue=1000, log="json")
    begin_log(settings)
    server, sockets = make_server(
        settings, command=fake_command if kind == "fake" else None, ready=lambda url: print(url, flush=True)
    )
    server.run(sockets)


if __name__ == "__main__":
    main(*sys.argv[1:])
