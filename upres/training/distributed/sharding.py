"""A network whose weights, gradients and optimizer states are divided among the ranks (FSDP2, `fully_shard`).

Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB 2023. Each rank holds a part of
every tensor; a block's weights are gathered when it runs and let go after. Gradients are averaged over the ranks by the
backward pass itself. Like `ranks.py`, the functions are collective.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from upres.training.distributed.ranks import Ranks


def shard(net: nn.Module, ranks: Ranks, blocks: Sequence[nn.Module] = ()) -> None:
    """Divide the parameters of `net`, which are contiguous and equal on all ranks, in place.

    blocks: modules in it that are gathered one after the other; the rest is gathered for the whole pass.
    """
    net.register_forward_hook(_copied)
    mesh = init_device_mesh(ranks.device.type, (ranks.count,))
    for module in (*blocks, net):
        fully_shard(module, mesh=mesh)


def _copied(net: nn.Module, given: object, output: Tensor) -> Tensor:
    """FSDP2 follows the network's output into the backward pass, which it cannot for a view, such as a crop."""
    return output.clone()


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its parts, on every rank; itself if it is not divided."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def fill(tensor: Tensor, value: Tensor) -> None:
    """Overwrite `tensor`, divided or not, by the whole `value`, equal on all ranks."""
    if isinstance(tensor, DTensor):
        local = value.to(device=tensor.device, dtype=tensor.dtype)
        value = distribute_tensor(local, tensor.device_mesh, tensor.placements, src_data_rank=None)  # None: no exchange
    tensor.copy_(value)
