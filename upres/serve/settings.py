"""The settings of the server, as one value."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from ipaddress import ip_address

from upres.engines.options import EngineOptions
from upres.system.packages import need

_SECRETS = ("tokens",)
_MASK = "***"


@dataclass(frozen=True, slots=True)
class Settings:
    """What `upres serve` runs with.

    host: Address to listen at; other ones than loopback need a token.
    port: 0 takes a free one.
    data: Folder of jobs, pictures and results; None: `serve` in the cache of upres.
    models: Names that may be asked for; () allows every model on this machine.
    workers: Processes that upscale at the same time.
    queue: Pictures that may wait; more are refused with 429.
    tokens: Secrets of clients, TOKEN or NAME:TOKEN; each has its share of the queue and sees its own jobs.
    max_mb: Largest upload, in millions of bytes.
    max_mp: Largest input, in megapixels.
    max_mp_out: Largest result, in megapixels.
    max_frames: Most frames of an animation.
    max_seconds: Longest work on one picture.
    body_seconds: Longest upload.
    keep_hours: How long ended jobs and their results are kept.
    keep_gb: Results and pictures above this are removed, oldest first.
    memory: Memory of each worker, such as 2G; None: its share of 80 % of the free memory.
    engine, device, precision, threads: As of `upres upscale`.
    hosts: Host names the server answers to, beside loopback names; checked while no token is set.
    origins: Web pages of other hosts that may send requests, such as https://example.org.
    allow_url: Whether a picture may be named by a URL, which the server fetches.
    isolate: Whether workers decode pictures in processes of their own, with limits and without network and files.
        Not on Windows.
    drain_seconds: How long SIGTERM waits for work in hand.
    out: Folder that gets a copy of every result.
    log: "text" or "json".
    """

    host: str = "127.0.0.1"
    port: int = 8321
    data: str | None = None
    models: tuple[str, ...] = ()
    workers: int = 1
    queue: int = 16
    tokens: tuple[str, ...] = ()
    max_mb: float = 100.0
    max_mp: float = 100.0
    max_mp_out: float = 400.0
    max_frames: int = 300
    max_seconds: float = 3600.0
    body_seconds: float = 60.0
    keep_hours: float = 24.0
    keep_gb: float = 4.0
    memory: str | None = None
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    allow_url: bool = False
    isolate: bool = True
    drain_seconds: float = 20.0
    out: str | None = None
    log: str = "text"

    @property
    def max_bytes(self) -> int:
        return round(self.max_mb * 1e6)

    @property
    def max_pixels_in(self) -> int:
        return round(self.max_mp * 1e6)

    @property
    def max_pixels_out(self) -> int:
        return round(self.max_mp_out * 1e6)

    @property
    def engine_options(self) -> EngineOptions:
        return EngineOptions(self.engine, self.device, self.precision, self.threads)

    @property
    def owners(self) -> dict[str, str]:
        """The name of each secret's client by secret; one without a name is called by its place."""
        pairs = [token.rpartition(":") for token in self.tokens]
        return {secret: name or f"token-{place}" for place, (name, _, secret) in enumerate(pairs, 1)}


def print_config(settings: Settings) -> str:
    """All settings as TOML, with secrets masked."""
    lines: list[str] = []
    for name, value in asdict(settings).items():
        if name in _SECRETS:
            value = [_mask(one) for one in value]
        if value is None:
            lines.append(f"# {name} =")
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines)


def _mask(token: str) -> str:
    name, colon, _ = token.rpartition(":")
    return f"{name}{colon}{_MASK}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server at `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_installed() -> None:
    """Raises `EngineError` if a package of the extra `serve` is missing."""
    need("`upres serve`", "serve")
