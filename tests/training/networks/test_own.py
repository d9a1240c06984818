"""Networks of one's own: what is wrong with them is told before anything is trained; their files run on the engines."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from upres.engines.ncnn.runner import NcnnRunner  # noqa: E402
from upres.errors import DataError, ModelError, UsageError  # noqa: E402
from upres.graph.architectures import graph_from_state_dict  # noqa: E402
from upres.graph.architectures.described import KEY, description  # noqa: E402
from upres.graph.interpolate import interpolate  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.networks.own import OwnGenerator, own_discriminator, own_generator  # noqa: E402

HEAD = """
import torch
from torch import nn
from torch.nn import functional as F
class Base(nn.Module):
    def __init__(self, scale, channels, width):
        super().__init__()
        self.scale = scale
        self.a = nn.Conv2d(channels, width, 3, padding=1)
        self.b = nn.Conv2d(width, channels * scale * scale, 3, padding=1)
        self.act = nn.PReLU(width)
        self.norm = nn.BatchNorm2d(width)
        self.gain = nn.Parameter(torch.ones(1))
"""
EVERYTHING = """
class Net(Base):
    def __init__(self, scale, channels, width=8):
        super().__init__(scale, channels, width)
        del self.norm, self.gain
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * width, width, 1, bias=False), nn.LeakyReLU(0.1))
        self.seq = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding="same"), nn.Identity(), nn.SiLU())
    def forward(self, x):
        f = self.act(self.a(x))
        g = F.interpolate(self.down(f), scale_factor=2.0, mode="nearest")
        g = -torch.sigmoid(g) * f - g / 4 + self.act(f) * 0.5
        y = self.seq(torch.cat([f, g], dim=1))
        y += F.leaky_relu(y, 0.2).relu()
        return F.pixel_shuffle(self.b(y), self.scale) + nn.functional.interpolate(x, scale_factor=self.scale)
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., OwnGenerator]:
    def made(code: str, **settings: object) -> OwnGenerator:
        path = tmp_path / "net.py"
        path.write_text(HEAD + code)
        values = {"recipe": "mine", "scale": 2, "width": 8, "network": f"{path}:Net"} | settings
        torch.manual_seed(0)
        return own_generator(TrainConfig(**values))  # type: ignore[arg-type]

    return made


@pytest.mark.parametrize("channels", [3, 1])
def test_what_nodes_express_is_the_same_network_on_another_engine(
    make: Callable[..., OwnGenerator], channels: int
) -> None:
    net = make(EVERYTHING, channels=channels)
    assert net.reason == "" and net.description is not None
    state = {name: tensor.numpy() for name, tensor in net.merged_state_dict().items()}
    graph = graph_from_state_dict(state)
    assert (graph.family, graph.scale, graph.in_channels, graph.alignment) == ("Net", 2, channels, 2)
    lr = np.random.default_rng(0).random((1, channels, 16, 20), dtype=np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(lr)).numpy()
    found = NcnnRunner(graph.simplify(), threads=1)(lr)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)

    mixed = interpolate(state, {n: a if n == KEY else a + 1 for n, a in state.items()}, 0.3)  # type: ignore[operator]
    assert graph_from_state_dict(mixed).family == "Net"
    other = make(EVERYTHING, channels=channels)
    other.load_plain({name: torch.from_numpy(array) for name, array in mixed.items()})
    torch.testing.assert_close(other.net.a.bias, net.net.a.bias + 0.3)  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"is not .*net.py:Net: tensor 'a.weight' is missing"):
        other.load_plain({"x": torch.ones(1)})


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        ("F.pixel_shuffle(self.b(self.norm(self.a(x))), 2)", "norm is a BatchNorm2d"),
        ("F.pixel_shuffle(self.b(self.gain * self.a(x)), 2)", "gain is a weight that belongs to no layer"),
        ("F.pixel_shuffle(self.b(torch.tanh(self.a(x))), 2)", "it uses tanh"),
        ("F.pixel_shuffle(self.b(self.a(x)), 2) + 1", "the constant 1"),
        ("F.pixel_shuffle(self.b(self.a(x if x.mean() > 9 else -x)), 2)", "cannot be traced"),
        ("F.interpolate(x, scale_factor=2, mode='bilinear')", r"another way than to nearest neighbors.*bilinear"),
        ("F.pixel_shuffle(self.b(F.pad(self.a(x), (1, 1, 1, 1))), 2)[..., 2:-2, 2:-2]", "it uses pad"),
    ],
)
def test_what_nodes_cannot_express_stays_with_torch_and_says_why(
    make: Callable[..., OwnGenerator], forward: str, reason: str
) -> None:
    net = make(f"class Net(Base):\n    def forward(self, x):\n        return {forward}\n")
    assert net.description is None
    assert re.search(reason, net.reason), net.reason
    assert KEY not in net.merged_state_dict() and net(torch.rand(2, 3, 8, 8)).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "class Net(Base):\n    def forward(self, x):\n        return x\n",
            r"returned shape \(1, 3, 16, 20\) for .*ex",
        ),
        (
            "class Net(Base):\n    def forward(self, x):\n        return F.interpolate(x, scale_factor=2).int()\n",
            r"returned torch.int32, expected torch.float32",
        ),
        ("class Net(Base):\n    def forward(self, x):\n        return [x]\n", r"returned list, expected a tensor"),
        (
            "class Net(Base):\n    def forward(self, x):\n        return self.c(x)\n",
            r"cannot enlarge .*no attribute 'c'",
        ),
        ("class Net(nn.Module):\n    def forward(self, x):\n        return x\n", r"has no weights to train"),
        ("def Net(scale):\n    return 3\n", r"gave int, expected a torch.nn.Module"),
        ("def Net(scales):\n    return 3\n", r"takes 'scales', expected only some of scale, channels, width"),
        ("def Net(scale):\n    return 1 / 0\n", r"ZeroDivisionError: division by zero \(net.py, line 15\)"),
        ("Nets = Base\n", r"defines no 'Net', did you mean 'Nets'\?"),
        ("Net = 3\n", r"net.py:Net is int, expected a function or a class"),
        ("import nothere\n", r"net.py cannot be imported: ModuleNotFoundError: No module named 'nothere'"),
        ("def Net(:\n", r"net.py cannot be imported: SyntaxError"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(make: Callable[..., OwnGenerator], code: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(code)


def test_a_missing_file_and_an_unknown_network_are_named() -> None:
    config = TrainConfig(recipe="mine", scale=2)
    with pytest.raises(DataError, match=r"nothere.py cannot be read: No such file"):
        own_generator(dataclasses.replace(config, network="nothere.py:Net"))
    from upres.training.config_changes import change_config

    with pytest.raises(UsageError, match=r"network must be one of .*, or FILE.py:NAME, got 'compac', did you mean"):
        change_config(config, ["network=compac"])


def test_a_discriminator_returns_logits(tmp_path: Path) -> None:
    (tmp_path / "d.py").write_text(
        "from torch import nn\nclass D(nn.Conv2d):\n"
        "    def __init__(self, width):\n        super().__init__(3, width, 3)\n"
        "class Bad(D):\n    def forward(self, x):\n        return 'real'\n"
    )
    config = TrainConfig(recipe="mine", scale=2, discriminator=f"{tmp_path}/d.py:D", discriminator_width=5)
    (logits,) = own_discriminator(config)(torch.rand(2, 3, 8, 8))
    assert logits.shape == (2, 5, 6, 6)
    with pytest.raises(UsageError, match=r"d.py:Bad must return logits"):
        own_discriminator(dataclasses.replace(config, discriminator=f"{tmp_path}/d.py:Bad"))(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([], "no description of a network"),
        ([{"op": "conv", "output": "a", "source": "input", "weights": "w", "stride": 0}], "no description.*>= 1"),
        ([{"op": "cond", "output": "a", "source": "input"}], "no description.*Invalid value 'cond'"),
        ([{"op": "conv", "output": "a", "source": "input", "weights": "v"}], "tensor 'v.weight' is missing"),
        ([{"op": "conv", "output": "a", "source": "b", "weights": "w"}], "reads 'b', which no earlier node writes"),
        ([{"op": "scale", "output": "a", "source": "input", "factor": 2}], "1 of 1 tensors have no place"),
        (
            [{"op": "activate", "output": "a", "source": "input", "kind": "prelu"}],
            "needs weights if it is a prelu",
        ),
    ],
)
def test_a_description_that_does_not_fit_its_weights_is_refused(nodes: list[dict[str, object]], words: str) -> None:
    state: dict[str, np.ndarray] = {"w.weight": np.ones((3, 3, 3, 3), np.float32)}
    with pytest.raises(ModelError, match=words):
        graph_from_state_dict(state | {KEY: description("n", 3, "a", nodes)})
    with pytest.raises(ModelError, match="no description of a network"):
        graph_from_state_dict(state | {KEY: np.frombuffer(b"[" * 5000, np.uint8)})
