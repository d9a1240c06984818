"""Ranks: two gloo processes with half the batch each against one with all of it, and what happens when one of them is
gone.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from tests.training.forked import run_ranks_of  # noqa: E402
from upres.errors import EngineError  # noqa: E402
from upres.training.distributed.ranks import RankLost, Ranks  # noqa: E402

# What every process and the test itself begin with: a net in double precision and eight samples, of which rank r takes
# r, r + count, ...
COMMON = """
import json, os, sys
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from upres.training.distributed import ranks as room
from upres.training.distributed.ranks import RankLost, Ranks, join_ranks

def make_net(dtype=torch.float64):
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 2)).to(dtype)

def make_batch(dtype=torch.float64):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(2, 8, 3, 6, 5, dtype=dtype, generator=generator)

def squared(net, real, fake, mean):
    # the mean enters every sample's loss, and once more on its own
    return ((net(fake) - mean(net(fake))) ** 3 * mean(net(real)).exp()).mean() + mean(net(fake) ** 2) * net(real).mean()

def relativistic(net, real, fake, mean):
    d_real, d_fake = net(real), net(fake)
    against_fake, against_real = d_real - mean(d_fake), d_fake - mean(d_real)
    return (bce(against_fake, torch.zeros_like(d_real)) + bce(against_real, torch.ones_like(d_fake))) / 2

def curvature(net, real, fake, mean, over_ranks):
    # |dL/d weight|^2 of the whole batch's loss: needs the derivative of the derivative
    (gradient,) = torch.autograd.grad(relativistic(net, real, fake, mean), net[0].weight, create_graph=True)
    return over_ranks(gradient).square().sum() + relativistic(net, real, fake, mean)

LOSSES = {"squared": squared, "relativistic": relativistic}
"""

TWO = """
out = {}
with join_ranks() as ranks:
    share = slice(ranks.rank, None, ranks.count)
    real, fake = (part[share] for part in make_batch())
    for name, loss_of in [*LOSSES.items(), ("curvature", lambda *a: curvature(*a, ranks.mean_over_ranks))]:
        net = make_net()
        loss = loss_of(net, real, fake, ranks.mean)
        loss.backward()
        ranks.average_gradients(net.named_parameters())
        out[name] = [ranks.mean(loss).item(), [p.grad.tolist() for p in net.parameters()]]
    out["mean"] = ranks.mean(real).item()

    room.BUCKET_BYTES = 100  # several buckets, and tensors larger than one
    net = make_net(torch.float32).to(memory_format=torch.channels_last)
    net(make_batch(torch.float32)[0][share]).square().mean().backward()
    before = [p.grad.is_contiguous(memory_format=torch.channels_last) for p in net.parameters() if p.dim() == 4]
    ranks.average_gradients(net.parameters())
    kernels = [p.grad for p in net.parameters() if p.dim() == 4]
    out["layout kept"] = before == [kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels]
    out["bits"] = [p.grad.numpy().tobytes().hex() for p in net.parameters()]
    out["gradients"] = [p.grad.tolist() for p in net.parameters()]

    r = ranks.rank
    given = [
        torch.full((2, 3, 4, 5), 1.5 - r).to(memory_format=torch.channels_last),
        torch.tensor(r == 0), torch.tensor(2**40 + 1 - r),
        torch.tensor([-0.0, float("nan")], dtype=torch.bfloat16) + r,
        torch.zeros(0), torch.full((3, 2), 7 - r, dtype=torch.uint8).t(),
    ]
    ranks.broadcast(given)
    out["broadcast"] = [[str(t.dtype), t.contiguous().view(-1).view(torch.uint8).tolist()] for t in given]
    out["any"] = [ranks.any(False), ranks.any(ranks.rank == 1), ranks.any(True)]
    values = {"rank": r, "words": "é" * r, "values": [0.1, None, True]}
    out["gather"] = [ranks.gather(values), ranks.gather("x" * (40 * (1 - r))), ranks.gather(r)]
    ranks.barrier()
    try:
        ranks.mean_over_ranks(torch.ones(2, dtype=torch.uint16))
    except RankLost:
        out["own mistake"] = "RankLost"
    except RuntimeError as error:
        out["own mistake"] = type(error).__name__

    # Rank 0 keeps asking after rank 1 has gone without a word.
    ranks.barrier()
    if r == 1:
        with open(sys.argv[1] + "/1.json", "w") as file:
            json.dump(out, file)
        os._exit(9)
    x = torch.ones(3, requires_grad=True)
    doings = {
        "mean": lambda: ranks.mean(x), "gradients": lambda: ranks.average_gradients(net.parameters()),
        "broadcast": lambda: ranks.broadcast([x.detach()]),
        "any": lambda: ranks.any(True), "gather": lambda: ranks.gather(1),
        "barrier": ranks.barrier,
    }
    out["lost"] = {}
    for name, do in doings.items():
        try:
            do()
        except RankLost as error:
            out["lost"][name] = str(error)
with open(sys.argv[1] + "/0.json", "w") as file:
    json.dump(out, file)
"""

THREE = """
with join_ranks() as ranks:
    generator = torch.Generator().manual_seed(ranks.rank)
    net = nn.Linear(301, 7)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    ranks.average_gradients(net.parameters())
with open(sys.argv[1] + f"/{ranks.rank}.json", "w") as file:
    json.dump({"bits": [p.grad.numpy().tobytes().hex() for p in net.parameters()]}, file)
"""


def run_ranks(script: str, count: int, folder: Path) -> list[dict[str, Any]]:
    """Run COMMON + `script` as `count` processes on the loopback device; what each has written to its file."""
    ends = run_ranks_of(COMMON + script, count, folder)
    results: list[dict[str, Any]] = []
    for rank in range(count):
        file = folder / f"{rank}.json"
        assert file.exists(), ends
        results.append(json.loads(file.read_text()))
    return results


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_ranks(TWO, 2, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_ranks(THREE, 3, tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """The values of COMMON from the whole batch in this process, by torch.mean and without `Ranks`."""
    names: dict[str, Any] = {}
    with torch.random.fork_rng():
        exec(COMMON, names)
        names["nets"] = {dtype: names["make_net"](dtype) for dtype in (torch.float32, torch.float64)}
    return names


def whole_batch(alone: dict[str, Any], name: str) -> tuple[float, list[Tensor]]:
    net = alone["nets"][torch.float64]
    net.zero_grad()
    real, fake = alone["make_batch"]()
    if name == "curvature":
        loss = alone["curvature"](net, real, fake, torch.mean, lambda x: x)
    else:
        loss = alone["LOSSES"][name](net, real, fake, torch.mean)
    loss.backward()
    return loss.item(), [parameter.grad.clone() for parameter in net.parameters()]


@pytest.mark.parametrize("name", ["squared", "relativistic", "curvature"])
def test_value_and_gradient_of_two_ranks_are_those_of_the_whole_batch(
    two: list[dict[str, Any]], alone: dict[str, Any], name: str
) -> None:
    loss, gradients = whole_batch(alone, name)
    for result in two:
        assert result[name][0] == pytest.approx(loss, rel=1e-12)
        for found, expected in zip(result[name][1], gradients, strict=True):
            torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected, rtol=1e-9, atol=1e-13)


def test_a_mean_over_one_rank_only_would_be_noticed(alone: dict[str, Any]) -> None:
    """The relativistic loss of two halves, each with its own mean, differs from the whole: the test above can fail."""
    real, fake = alone["make_batch"]()
    net = alone["nets"][torch.float64]
    halves = [alone["relativistic"](net, real[r::2], fake[r::2], torch.mean).item() for r in range(2)]
    assert abs(sum(halves) / 2 - whole_batch(alone, "relativistic")[0]) > 1e-6


def test_mean_is_over_all_elements_of_all_ranks(two: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    assert [result["mean"] for result in two] == pytest.approx([alone["make_batch"]()[0].mean().item()] * 2, rel=1e-12)


def test_averaged_gradients_have_the_same_bits_on_all_ranks(
    two: list[dict[str, Any]], three: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    assert two[0]["bits"] == two[1]["bits"]
    assert three[0]["bits"] == three[1]["bits"] == three[2]["bits"]
    assert two[0]["layout kept"] and two[1]["layout kept"]
    net = alone["nets"][torch.float32]
    net.zero_grad()
    net(alone["make_batch"](torch.float32)[0]).square().mean().backward()
    for found, parameter in zip(two[0]["gradients"], net.parameters(), strict=True):
        torch.testing.assert_close(torch.tensor(found), parameter.grad)


def test_the_average_of_three_ranks_is_their_sum_over_three(three: list[dict[str, Any]]) -> None:
    generators = [torch.Generator().manual_seed(rank) for rank in range(3)]
    for bits, shape in zip(three[0]["bits"], [(7, 301), (7,)], strict=True):
        expected = sum(torch.randn(shape, generator=generator) for generator in generators) / 3
        torch.testing.assert_close(torch.frombuffer(bytearray.fromhex(bits), dtype=torch.float32).view(shape), expected)


def test_broadcast_gives_rank_0s_bits_in_any_dtype_and_layout(two: list[dict[str, Any]]) -> None:
    given = [
        torch.full((2, 3, 4, 5), 1.5), torch.tensor(True), torch.tensor(2**40 + 1),
        torch.tensor([-0.0, float("nan")], dtype=torch.bfloat16) + 0, torch.zeros(0),
        torch.full((2, 3), 7, dtype=torch.uint8),
    ]  # fmt: skip
    expected = [[str(tensor.dtype), tensor.view(-1).view(torch.uint8).tolist()] for tensor in given]
    assert two[0]["broadcast"] == two[1]["broadcast"] == expected


def test_any_and_gather(two: list[dict[str, Any]]) -> None:
    values = [
        {"rank": 0, "words": "", "values": [0.1, None, True]},
        {"rank": 1, "words": "é", "values": [0.1, None, True]},
    ]
    for result in two:
        assert result["any"] == [False, True, True]
        assert result["gather"] == [values, ["x" * 40, ""], [0, 1]]


def test_a_mistake_of_ours_is_not_taken_for_a_lost_rank(two: list[dict[str, Any]]) -> None:
    assert [result["own mistake"] for result in two] == ["RuntimeError"] * 2


def test_every_method_tells_of_a_lost_rank(two: list[dict[str, Any]]) -> None:
    assert sorted(two[0]["lost"]) == ["any", "barrier", "broadcast", "gather", "gradients", "mean"]
    for words in two[0]["lost"].values():
        assert re.fullmatch(r"another rank was lost while [a-z ]+ \([^()]+\)", words)
    assert RankLost.exit_code == 75


def test_a_single_process_changes_nothing() -> None:
    ranks = Ranks()
    x = torch.arange(6.0).view(2, 3).requires_grad_()
    assert ranks.mean_over_ranks(x) is x
    assert ranks.mean(x).item() == 2.5
    net = nn.Linear(2, 1)
    net(torch.ones(1, 2)).sum().backward()
    before = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    ranks.average_gradients(net.parameters())
    ranks.broadcast(net.parameters())
    ranks.barrier()
    assert [parameter.grad.tolist() for parameter in net.parameters() if parameter.grad is not None] == [
        g.tolist() for g in before
    ]
    assert ranks.any(True) and not ranks.any(False)
    assert ranks.gather((1, "two")) == [[1, "two"]]


def test_a_parameter_without_gradient_is_named() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 1))
    net[0](torch.ones(1, 2)).sum().backward()
    with pytest.raises(EngineError, match=r"parameter 1\.weight \(1x2\) has no gradient on rank 0"):
        Ranks().average_gradients(net.named_parameters())
    with pytest.raises(EngineError, match=r"parameter number 2 \(1x2\) has no gradient on rank 0"):
        Ranks().average_gradients(net.parameters())
