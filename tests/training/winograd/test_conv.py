"""Convolutions by Winograd's filtering against torch's in float64: values, gradients and theirs, and what is left to
torch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from upres.errors import EngineError  # noqa: E402
from upres.training.winograd import conv  # noqa: E402
from upres.training.winograd.build import load_kernel  # noqa: E402
from upres.training.winograd.conv import Conv2d, conv2d, dense_block, winograd  # noqa: E402
from upres.training.winograd.kernel import Kernel  # noqa: E402

pytestmark = pytest.mark.usefixtures("compiled")
TOLERANCE = 5e-6  # root mean square error over root mean square; direct summation in float32 has 1e-7 to 2e-6


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPRES_CACHE", str(tmp_path_factory.mktemp("cache")))
        try:
            load_kernel()
        except EngineError as error:
            pytest.skip(str(error))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def distance(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected).square().mean() / expected.square().mean()).sqrt().item()


def compare(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    """`function` and its gradients, inside and outside the context: float32 against float64."""
    exact = [x.detach().double().requires_grad_() for x in inputs]
    expected = function(*exact)
    direction = torch.randn(expected.shape)
    expected_gradients = torch.autograd.grad(expected, exact, direction.double())
    given = [x.detach().requires_grad_() for x in inputs]
    with winograd():
        found = function(*given)
    assert type(found.grad_fn).__name__ in ("_ConvBackward", "_DenseBlockBackward")
    assert distance(found, expected) < TOLERANCE
    for name, (a, b) in enumerate(zip(torch.autograd.grad(found, given, direction), expected_gradients, strict=True)):
        assert a.shape == b.shape and distance(a, b) < TOLERANCE, name


KINDS = [(3, 1, 1), (3, 1, 0), (4, 2, 1)]  # kernel, stride, padding


# The last two sizes need several chunks of tiles, forward and in the gradient of the weights; the last has few tiles
# and many weights.
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "size", [(1, 16, 16, 4, 4), (2, 32, 48, 10, 14), (1, 48, 16, 6, 20), (2, 16, 32, 72, 68), (2, 160, 320, 6, 8)]
)
def test_equals_torchs_convolution(kind: tuple[int, int, int], size: tuple[int, ...]) -> None:
    kernel, stride, padding = kind
    batch, inputs, outputs, height, width = size
    weight = torch.randn(outputs, inputs, kernel, kernel) / (kernel * inputs**0.5)
    compare(
        lambda x, w, b: conv2d(x, w, b, stride, padding),
        [torch.randn(batch, inputs, height, width), weight, torch.randn(outputs)],
    )


@pytest.mark.parametrize("height", [1, 3, 5, 7])
def test_odd_sizes(height: int) -> None:
    compare(
        lambda x, w, b: conv2d(x, w, b, 1, 1),
        [torch.randn(1, 16, height, 9), torch.randn(16, 16, 3, 3), torch.randn(16)],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_any_memory_format_and_no_bias(kind: tuple[int, int, int]) -> None:
    kernel, stride, padding = kind
    x, weight = torch.randn(2, 16, 8, 12), torch.randn(32, 16, kernel, kernel)
    layout = torch.channels_last
    for pair in (
        (x.to(memory_format=layout), weight),
        (x, weight.to(memory_format=layout)),
        (x[:, :, :, 2:-2], weight),
    ):
        compare(lambda x, w: conv2d(x, w, None, stride, padding), pair)


@pytest.mark.parametrize("size", [(4, 4, 1), (3, 1, 1), (1, 1, 1), (2, 1, 8)])
def test_axes_of_size_one_whose_strides_mean_nothing(size: tuple[int, int, int]) -> None:
    batch, height, width = size
    for x in (torch.randn(batch, 16, height, width), torch.randn(batch, height, width, 16).permute(0, 3, 1, 2)):
        compare(lambda x, w: conv2d(x, w, None, 1, 1), [x, torch.randn(16, 16, 3, 3)])
    compare(lambda x, *t: dense_block(x, t[:5], t[5:]), [torch.randn(batch, 16, height, width), *dense_tensors(16, 16)])


def dense_tensors(width: int, growth: int) -> list[Tensor]:
    sizes = [(growth, width + k * growth) for k in range(4)] + [(width, width + 4 * growth)]
    weights = [torch.randn(*size, 3, 3) / (9 * size[1]) ** 0.5 for size in sizes]
    return [*weights, *(torch.randn(size[0]) * 0.1 for size in sizes)]


def literal_dense_block(x: Tensor, *tensors: Tensor) -> Tensor:
    """ESRGAN, figure 4, one line each."""
    w, b = tensors[:5], tensors[5:]
    x1 = F.leaky_relu(F.conv2d(x, w[0], b[0], padding=1), 0.2)
    x2 = F.leaky_relu(F.conv2d(torch.cat((x, x1), 1), w[1], b[1], padding=1), 0.2)
    x3 = F.leaky_relu(F.conv2d(torch.cat((x, x1, x2), 1), w[2], b[2], padding=1), 0.2)
    x4 = F.leaky_relu(F.conv2d(torch.cat((x, x1, x2, x3), 1), w[3], b[3], padding=1), 0.2)
    return F.conv2d(torch.cat((x, x1, x2, x3, x4), 1), w[4], b[4], padding=1) * 0.2 + x


@pytest.mark.parametrize("size", [(2, 32, 16, 11, 12), (1, 16, 32, 4, 6), (2, 16, 16, 40, 44)])
def test_dense_block(size: tuple[int, ...]) -> None:
    batch, width, growth, height, across = size
    tensors = dense_tensors(width, growth)
    x = torch.randn(batch, width, height, across)
    exact = [t.double() for t in (x, *tensors)]
    assert torch.allclose(dense_block(exact[0], exact[1:6], exact[6:]), literal_dense_block(*exact), atol=1e-12)
    compare(lambda x, *t: dense_block(x, t[:5], t[5:]), [x, *tensors])


def test_the_number_of_threads_changes_nothing() -> None:
    x, tensors = torch.randn(3, 16, 20, 24), dense_tensors(16, 16)
    strided = torch.randn(32, 16, 4, 4)
    before = torch.get_num_threads()
    results: list[list[Tensor]] = []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            given = [t.clone().requires_grad_() for t in (x, *tensors, strided)]
            with winograd():
                y = conv2d(dense_block(given[0], given[1:6], given[6:11]), given[11], None, 2, 1)
            results.append([y, *torch.autograd.grad(y.square().sum(), given)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_only_the_gradients_that_are_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the adversarial step: G's loss needs only the gradient of D's input, D's loss only that of its weights."""
    first, second = Conv2d(3, 16, 3, padding=1), Conv2d(16, 16, 3, padding=1)
    third = Conv2d(16, 16, 4, stride=2, padding=1, bias=False)
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    block = [t.requires_grad_() for t in dense_tensors(16, 16)]
    with winograd():
        y = third(dense_block(F.leaky_relu(second(first(x)), 0.2, inplace=True), block[:5], block[5:])).sum()
    called: list[str] = []
    for name in ("weight_gradients", "input_gradient"):
        original = getattr(Kernel, name)
        monkeypatch.setattr(Kernel, name, lambda *a, _n=name, _o=original, **k: (called.append(_n), _o(*a, **k))[1])
    (by_x,) = torch.autograd.grad(y, x, retain_graph=True)
    assert called == ["input_gradient"] * 7 and by_x.abs().sum() > 0 and second.weight.grad is None
    called.clear()
    y.backward(inputs=[third.weight], retain_graph=True)
    assert (
        called == ["weight_gradients"]
        and x.grad is None
        and second.weight.grad is None
        and third.weight.grad is not None
    )
    called.clear()
    y.backward(inputs=[second.weight, *block])
    assert sorted(called) == ["input_gradient"] * 6 + ["weight_gradients"] * 2
    assert (
        x.grad is None
        and second.bias is not None
        and second.bias.grad is None
        and all(t.grad is not None for t in block)
    )


def test_gradients_can_be_differentiated() -> None:
    """A gradient penalty: the same second derivatives as torch's."""

    def penalty(x: Tensor, *tensors: Tensor) -> Tensor:
        y = dense_block(conv2d(x, tensors[0], None, 1, 1), tensors[2:7], tensors[7:])
        y = F.leaky_relu(conv2d(y, tensors[1], None, 2, 1), 0.2)
        (by_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return by_x.square().sum()

    tensors = [
        torch.randn(1, 16, 8, 8),
        torch.randn(16, 16, 3, 3) / 12,
        torch.randn(16, 16, 4, 4) / 16,
        *dense_tensors(16, 16),
    ]
    exact = [t.double().requires_grad_() for t in tensors]
    expected = torch.autograd.grad(penalty(*exact), exact, allow_unused=True)
    given = [t.requires_grad_() for t in tensors]
    with winograd():
        found = torch.autograd.grad(penalty(*given), given, allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        assert a is None or b is None or b.abs().max() < 1e-12 or distance(a, b) < 2e-5


def kind_of(x: Tensor) -> str:
    return type(x.grad_fn).__name__


def test_what_does_not_fit_is_left_to_torch() -> None:
    def run(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 1) -> str:
        weight = weight.requires_grad_()
        y = conv2d(x, weight, None, stride, padding)
        assert torch.equal(y, F.conv2d(x, weight, None, stride, padding))
        return kind_of(y)

    x, weight = torch.randn(1, 16, 8, 8), torch.randn(16, 16, 3, 3)
    assert run(x, weight) == "ConvolutionBackward0"
    with winograd():
        assert (
            run(x, torch.randn(24, 16, 3, 3))
            == run(torch.randn(1, 3, 8, 8), torch.randn(16, 3, 3, 3))
            == "ConvolutionBackward0"
        )
        assert (
            run(x, weight, 2) == run(x, torch.randn(16, 16, 1, 1), 1, 0) == run(x[:0], weight) == "ConvolutionBackward0"
        )
        assert (
            run(x[:, :, 1:], torch.randn(16, 16, 4, 4), 2)
            == run(x.double(), weight.detach().double())
            == "ConvolutionBackward0"
        )
        with torch.autocast("cpu", torch.bfloat16):
            assert conv2d(x, weight, None, 1, 1).dtype == torch.bfloat16
        with winograd(False):
            assert kind_of(conv2d(x, weight, None, 1, 1)) == "ConvolutionBackward0"
        assert kind_of(conv2d(x, weight, None, 1, 1)) == "_ConvBackward"
        assert kind_of(dense_block(x, *(lambda t: (t[:5], t[5:]))(dense_tensors(16, 8)))) != "_DenseBlockBackward"


def test_tensors_that_do_not_go_together_are_refused_as_by_torch() -> None:
    x, weight = torch.randn(1, 16, 8, 8), torch.randn(16, 32, 3, 3)
    with winograd():
        with pytest.raises(RuntimeError, match="to have 32 channels, but got 16"):
            conv2d(x, weight, None, 1, 1)
        with pytest.raises(RuntimeError, match="expected bias to be 1-dimensional with 16 elements"):
            conv2d(x, weight[:, :16], torch.randn(32), 1, 1)
        tensors = dense_tensors(16, 16)
        tensors[2] = torch.randn(16, 64, 3, 3)
        with pytest.raises(RuntimeError, match="to have 64 channels, but got 48"):
            dense_block(x, tensors[:5], tensors[5:])
        assert conv2d(x[0], weight[:, :16], None, 1, 1).shape == (16, 8, 8)  # a picture without a batch axis


def test_the_context_ends_with_an_exception() -> None:
    with pytest.raises(RuntimeError, match="stop"), winograd():
        raise RuntimeError("stop")
    assert conv._active.get() is None


def test_the_module_is_torchs_in_all_but_speed() -> None:
    plain = nn.Conv2d(16, 32, 4, stride=2, padding=1)
    ours = Conv2d(16, 32, 4, stride=2, padding=1)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 16, 8, 8)
    with torch.no_grad(), winograd():
        assert distance(copy.deepcopy(ours)(x), plain.double()(x.double())) < TOLERANCE
        for options in (
            {"dilation": 2},
            {"groups": 2},
            {"padding_mode": "reflect"},
            {"padding": "same"},
            {"stride": (1, 2)},
        ):
            module = Conv2d(16, 16, 3, **{"padding": 1, **options})
            assert torch.equal(module(x), nn.Conv2d.forward(module, x)), options
