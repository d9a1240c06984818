"""Processes that train as one, over torch.distributed (gloo on CPUs, NCCL on GPUs).

Only this module and `launch.py` import torch.distributed. Every rank holds the whole network and a share of the batch.
The methods of `Ranks` are collective: all ranks call the same ones in the same order, with tensors of the same shapes.
A single process needs no torch.distributed, and its values are unchanged.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
import ctypes
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from upres.errors import EngineError, UpresError, UsageError

LAUNCHER_PID = "UPRES_LAUNCHER_PID"  # environment variable: the process that a worker must not outlive
BUCKET_BYTES = 32 * 2**20  # gradients are exchanged in pieces of this size
_LOST_WAIT_S, _ERROR_WAIT_S = 15.0, 3.0  # how long `join_ranks` lets another rank report first
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# What gloo, NCCL and the store say when another process or the connection is gone; other RuntimeErrors are bugs.
_LOST = re.compile(r"connection|connect\b|socket|timed? ?out|broken pipe|peer|NCCL|recvValue|sendBytes", re.IGNORECASE)

T = TypeVar("T")


class RankLost(UpresError):
    """Another rank died or cannot be reached. The launcher restarts all ranks from the newest checkpoint."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again later


@dataclass(frozen=True)
class Ranks:
    """One process of `count`. Every method raises `RankLost` when another rank is gone."""

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009  # immutable

    def mean(self, x: Tensor) -> Tensor:
        """The mean over all elements of `x` on all ranks, differentiable; `x` has one shape on all ranks."""
        return self.mean_over_ranks(x.mean())

    def mean_over_ranks(self, x: Tensor) -> Tensor:
        """y = (x_1 + ... + x_N) / N, element by element, the same on every rank; differentiable, also twice.

        Rank s computes its own loss L_s, the mean over its samples, from y and its own tensors; the loss of the whole
        batch is L = (L_1 + ... + L_N) / N. Parameters θ reach L_s directly and, on each rank r, through x_r:

            dL/dθ = 1/N Σ_s [∂L_s/∂θ + Σ_r ∂L_s/∂y · ∂y/∂x_r · ∂x_r/∂θ]        with ∂y/∂x_r = 1/N
                  = 1/N Σ_r [∂L_r/∂θ + (1/N Σ_s ∂L_s/∂y) · ∂x_r/∂θ]

        The outer mean is `average_gradients`. So rank r's backward must hand (1/N Σ_s ∂L_s/∂y) to x_r: the mean over
        ranks of the incoming gradients, which is this same function again. With it the average of the ranks' gradients
        is the gradient of the whole batch, as in the relativistic loss with its mean over all ranks
        (Jolicoeur-Martineau, arXiv:1807.00734, equations 8 and 9).
        """
        return x if self.count == 1 else cast(Tensor, _MeanOverRanks.apply(x, self.count))

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[nn.Parameter | tuple[str, nn.Parameter]]) -> None:
        """Replace each `.grad` by its mean over ranks, bit-identical on all; `named_parameters()` gives clearer errors
        than `parameters()`.

        Gradients are exchanged in flat buckets in the given order, summed and then divided by the count. Raises
        `EngineError` for a parameter without gradient: on one rank alone it would block the others.
        """
        gradients: list[Tensor] = []
        for index, item in enumerate(parameters):
            name, parameter = (f"number {index}", item) if isinstance(item, nn.Parameter) else item
            if parameter.grad is None:
                shape = "x".join(map(str, parameter.shape))
                raise EngineError(
                    f"parameter {name} ({shape}) has no gradient on rank {self.rank}: the loss does not depend on it"
                )
            gradients.append(parameter.grad)
        if self.count == 1:
            return
        for bucket in _buckets(gradients):
            flat = _flatten(bucket, self.device)
            with _noticing_loss("averaging gradients"):
                dist.all_reduce(flat)
            _unflatten(flat.div_(self.count), bucket)

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite `tensors` with rank 0's values, bit for bit; any dtype, layout and device."""
        if self.count == 1:
            return
        for bucket in _buckets(list(tensors)):
            flat = _flatten(bucket, self.device)
            with _noticing_loss("broadcasting"):
                dist.broadcast(flat.view(torch.uint8), 0)
            _unflatten(flat, bucket)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true on any rank."""
        if self.count == 1:
            return flag
        shared = torch.tensor([int(flag)], device=self.device)
        with _noticing_loss("sharing a flag"):
            dist.all_reduce(shared, dist.ReduceOp.MAX)
            return bool(shared.item())

    def gather(self, value: T) -> list[T]:
        """The `value` of every rank in rank order, on all ranks.

        It is sent as JSON, so tuples become lists, also for a single process.
        """
        text = json.dumps(value).encode()
        if self.count == 1:
            return [json.loads(text)]
        length = torch.tensor([len(text)], device=self.device)
        lengths = [torch.zeros_like(length) for _ in range(self.count)]
        with _noticing_loss("gathering"):
            dist.all_gather(lengths, length)
            sizes = [int(size) for size in lengths]
        padded = torch.frombuffer(bytearray(text.ljust(max(sizes))), dtype=torch.uint8).to(self.device)
        texts = [torch.empty_like(padded) for _ in range(self.count)]
        with _noticing_loss("gathering"):
            dist.all_gather(texts, padded)
            return [json.loads(bytes(part[:size].tolist())) for part, size in zip(texts, sizes, strict=True)]

    def barrier(self) -> None:
        """Wait until every rank arrives here."""
        self.any(False)


def local_count(ranks: Ranks) -> int:
    """The number of ranks on this machine, according to torch's launcher."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", ranks.count)) if ranks.count > 1 else 1


class _MeanOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int) -> Tensor:
        ctx.count = count
        total = x.detach().clone(memory_format=torch.contiguous_format)
        with _noticing_loss("averaging over ranks"):
            dist.all_reduce(total)
        return total.div_(count)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return cast(Tensor, _MeanOverRanks.apply(gradients[0], ctx.count)), None


@contextmanager
def join_ranks(device: str = "cpu", *, timeout_s: float = 600.0) -> Generator[Ranks, None, None]:
    """Join the ranks of torchrun's environment (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT); without it,
    train alone.

    device: `cpu` (gloo), or `cuda` (NCCL), where local rank n gets GPU n; a single process may use any device.
    timeout_s: after waiting this long for the others, a rank raises `RankLost`.

    Raises `UsageError` for an incomplete environment, or a device that several ranks cannot share. On Linux a worker
    dies with its launcher (prctl(2), PR_SET_PDEATHSIG); elsewhere it ends after `timeout_s`.
    """
    place = _read_place(os.environ)
    launched = "TORCHELASTIC_RUN_ID" in os.environ
    if launched:
        _die_with_parent(os.environ)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the launcher's, to a rank that has nothing more to say
    if place is None or place.count == 1:
        yield Ranks(device=torch.device(device))
        return
    ranks = Ranks(place.rank, place.count, _own_device(device, place))
    on_gpu = ranks.device.type == "cuda"
    with _noticing_loss("meeting the other ranks"):
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            rank=ranks.rank,
            world_size=ranks.count,
            timeout=timedelta(seconds=timeout_s),
            device_id=ranks.device if on_gpu else None,
        )
    try:
        yield ranks
    except UpresError as error:
        # One message is enough, and the exit code should be that of the cause. The launcher ends all ranks as soon as
        # one ends, so a rank that lost another waits before it reports that, and an error common to all ranks is
        # reported by rank 0.
        if launched and (ranks.rank != 0 or isinstance(error, RankLost)):
            time.sleep(_LOST_WAIT_S if isinstance(error, RankLost) else _ERROR_WAIT_S)
        raise
    finally:
        dist.destroy_process_group()


@dataclass(frozen=True)
class _Place:
    rank: int
    count: int
    local_rank: int | None


def _read_place(environment: Mapping[str, str]) -> _Place | None:
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        return None
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if missing:
        lacks = ", ".join(missing)
        raise UsageError(
            f"the environment is that of one of several processes but lacks {lacks}: use `processes`, or torchrun"
        )
    try:
        rank, count = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local = int(environment["LOCAL_RANK"]) if "LOCAL_RANK" in environment else None
    except ValueError as error:
        raise UsageError(f"RANK, WORLD_SIZE and LOCAL_RANK must be whole numbers: {error}") from error
    if not 0 <= rank < count:
        raise UsageError(f"RANK is {rank} with WORLD_SIZE {count}: expected 0 to {count - 1}")
    return _Place(rank, count, local)


def _own_device(device: str, place: _Place) -> torch.device:
    if device == "cpu":
        return torch.device("cpu")
    if device != "cuda":
        raise UsageError(f"{place.count} processes train on cpu, or on cuda with one GPU each, got `device={device}`")
    if place.local_rank is None:
        raise UsageError(
            "the environment lacks LOCAL_RANK, which selects this process's GPU: use `processes`, or torchrun"
        )
    found = torch.cuda.device_count()
    if place.local_rank >= found:
        raise UsageError(
            f"process {place.local_rank + 1} of this machine needs its own GPU, but {found} were found: lower "
            "`processes`"
        )
    own = torch.device("cuda", place.local_rank)
    torch.cuda.set_device(own)  # kernels compiled at run time use the current device
    return own


def _die_with_parent(environment: Mapping[str, str]) -> None:
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(
        _PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)
    ):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    launcher = environment.get(LAUNCHER_PID)
    if launcher is not None and os.getppid() != int(launcher):  # it died before prctl took effect
        raise RankLost(f"the launcher (process {launcher}) is gone")


@contextmanager
def _noticing_loss(doing: str) -> Generator[None, None, None]:
    """Turn the backends' errors about a lost peer into `RankLost`."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.cuda.OutOfMemoryError) or not (
            isinstance(error, dist.DistError) or _LOST.search(str(error))
        ):
            raise
        # without the backend's source line and advice
        words = re.sub(r"^\[[^]]*]\s*", "", str(error)).split(". ")[0].split("\n")[0]
        raise RankLost(f"another rank was lost while {doing} ({words})") from error


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of consecutive tensors of one dtype that fit BUCKET_BYTES; a larger tensor goes alone."""
    bucket: list[Tensor] = []
    held = 0
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or held + tensor.nbytes > BUCKET_BYTES):
            yield bucket
            bucket, held = [], 0
        bucket.append(tensor)
        held += tensor.nbytes
    if bucket:
        yield bucket


def _flatten(bucket: list[Tensor], device: torch.device) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1).to(device) for tensor in bucket])


def _unflatten(flat: Tensor, bucket: list[Tensor]) -> None:
    for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
        tensor.copy_(part.view(tensor.shape))
