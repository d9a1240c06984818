"""Both containers of torch.save, written by torch itself: our reader must give torch's values exactly, or refuse with
words.
"""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from upres.errors import ModelError
from upres.weights.read import parse_weights

CONTAINERS = pytest.mark.parametrize("new", [True, False], ids=["zip", "stream"])


def saved(value: object, *, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def random_state(*, dtype: torch.dtype = torch.float32) -> OrderedDict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    shapes = {"body.0.weight": (8, 3, 3, 3), "body.0.bias": (8,), "body.1.weight": (8,), "scalar": ()}
    return OrderedDict({name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()})


def assert_equal_to_torch(data: bytes, state: dict[str, torch.Tensor]) -> None:
    found = parse_weights(data, "model.pth")
    assert list(found) == list(state)
    for name, tensor in state.items():
        expected = tensor.detach().float().numpy() if tensor.is_floating_point() else tensor.numpy()
        assert found[name].dtype == expected.dtype and found[name].shape == expected.shape, name
        assert found[name].flags.c_contiguous and found[name].flags.writeable
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def repacked(data: bytes, change: Callable[[str, bytes], bytes | None], *, method: int = zipfile.ZIP_STORED) -> bytes:
    """The same zip with every entry passed through `change` (None drops it)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return buffer.getvalue()


@CONTAINERS
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    ],
    ids=str,
)
def test_every_dtype_reads_as_torch_wrote_it(dtype: torch.dtype, new: bool) -> None:
    state = random_state(dtype=dtype)
    assert_equal_to_torch(saved(state, new=new), state)


def test_dtypes_without_a_storage_class_of_their_own() -> None:
    state = {"a": torch.arange(6).to(torch.uint16).reshape(2, 3), "b": torch.arange(4).to(torch.uint32)}
    assert_equal_to_torch(saved(state), state)


@CONTAINERS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol(new: bool, protocol: int) -> None:
    buffer = io.BytesIO()
    state = random_state()
    torch.save(state, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    if buffer.getvalue().startswith((b"PK", b"\x80\x02")):
        assert_equal_to_torch(buffer.getvalue(), state)
    else:  # a stream that begins with another protocol than torch's own
        with pytest.raises(ModelError, match="a Python pickle"):
            parse_weights(buffer.getvalue(), "model.pth")


@CONTAINERS
def test_modules_parameters_views_and_tied_tensors(new: bool) -> None:
    base = torch.arange(24, dtype=torch.float32)
    tied = torch.full((5,), 2.5)
    state = {
        "parameter": torch.nn.Parameter(torch.linspace(-1, 1, 7)),
        "transposed": torch.arange(6, dtype=torch.float32).reshape(2, 3).t(),
        "channels_last": torch.arange(48, dtype=torch.float32)
        .reshape(2, 3, 2, 4)
        .to(memory_format=torch.channels_last),
        "every_second": base[1::2],
        "rows": torch.arange(40, dtype=torch.float16).reshape(4, 10)[1:3, 2:7],
        "tied_a": tied,
        "tied_b": tied,
        "empty": torch.zeros(0, 3),
        "one": torch.ones(1, 1, 1, 1).expand(1, 1, 1, 1),
    }
    assert_equal_to_torch(saved(state, new=new), state)
    found = parse_weights(saved(state, new=new), "model.pth")
    assert found["tied_a"] is found["tied_b"]


@CONTAINERS
def test_a_state_dict_with_its_metadata_and_batch_norm(new: bool) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    assert_equal_to_torch(saved(net.state_dict(), new=new), net.state_dict())


@CONTAINERS
def test_wrappers_are_taken_in_order_and_the_rest_of_a_checkpoint_is_ignored(new: bool) -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.grad = torch.ones(3)
    optimizer.step()
    wrappers = [
        *("model", "ema", "state_dict", "model_state_dict", "generator", "netG", "net_g", "params"),
        *("model_ema", "net_g_ema", "params-ema", "params_ema"),
    ]
    checkpoint: dict[str, object] = {
        "optimizer": optimizer.state_dict(),
        "epoch": 7,
        "loss": 0.25,
        "note": "é",
        "none": None,
        "big": 2**70,
        "negative": -3,
        "list": [1, (2, "x"), {"deep": {"deeper": True}}],
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "bytes": b"raw",
        "numpy": np.float64(0.5),
    }
    for index, wrapper in enumerate(wrappers):  # each beats those before it
        checkpoint[wrapper] = {"w": torch.full((2,), float(index))}
        found = parse_weights(saved(checkpoint, new=new), "model.pth")
        assert list(found) == ["w"] and found["w"].tolist() == [index, index]


@CONTAINERS
def test_wrappers_in_wrappers_and_averages_with_their_settings(new: bool) -> None:
    raw, mean = {"w": torch.zeros(2)}, {"w": torch.ones(2)}
    for checkpoint, expected in (
        ({"net_g": {"params": raw, "params_ema": mean}, "net_d": {"params": {"v": torch.ones(1)}}}, 1.0),
        ({"state_dict": {"generator": mean, "epoch": 3}, "epoch": 4}, 1.0),
        ({"ema": {"decay": 0.999, "shadow": mean}, "model": raw}, 0.0),
        ({"generator": {"seed": 3}, "params": raw}, 0.0),
    ):
        found = parse_weights(saved(checkpoint, new=new), "model.pth")
        assert {name: array.tolist() for name, array in found.items()} == {"w": [expected] * 2}
    whole = {"net_g": {"params": raw}, "net_d": {"params": {"v": torch.ones(1)}}}
    assert list(parse_weights(saved(whole, new=new), "model.pth", discriminator=True)) == ["v"]


@CONTAINERS
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            {"epoch": 3, "w": torch.ones(2)},
            r"expected only tensors, found also 'epoch'.*state dict alone, or under one of the keys params_ema",
        ),
        ({"params": {"w": torch.ones(2), "n": 1}}, r"expected only tensors under 'params', found also 'n'"),
        ({"epoch": 3, "model": {"w": torch.ones(2), "n": 1}}, r"expected only tensors under 'model', found also 'n'"),
        (
            {"epoch": 3, "model": torch.ones(2)},
            r"expected only tensors, found also 'epoch'.*under one of the keys .*, model",
        ),
        ({}, "found nothing"),
        (torch.ones(3), r"a single object; expected a dict of tensors.*model.state_dict"),
        ({"w": torch.tensor([1.0, float("nan"), float("inf")])}, r"tensor 'w' has 2 of 3 numbers that are not finite"),
        ({"w": torch.tensor([1e300], dtype=torch.float64)}, r"tensor 'w' has 1 of 1 numbers that are not finite"),
        ({"w": torch.ones(1).expand(200000, 200000)}, r"tensor 'w' claims the shape \(200000, 200000\)"),
        ({"w": torch.ones(1).expand(3000, 3000)}, r"tensor 'w' uses numbers more than once"),
        ({"w": torch.arange(9.0).as_strided((3, 3), (2, 1))}, r"tensor 'w' uses numbers more than once"),
        ({"w": torch.zeros(0, 2**31, 2**20)}, r"tensor 'w' claims the shape \(0, 2147483648, 1048576\)"),
        ({"w": torch.ones(1).as_strided((0,), (2**40,))}, "in steps beyond every storage"),
        ({"w": torch.ones([1] * 9)}, "a tensor of 9 dimensions; expected at most 8"),
        ({"n" * 600: torch.ones(2)}, "the name of a tensor has 600 characters"),
        ({"w": torch.complex(torch.ones(2), torch.ones(2))}, r"torch\.ComplexFloatStorage"),
        (torch.nn.Conv2d(1, 1, 1), r"torch\.nn\.modules\.conv\.Conv2d.*torch.save\(model.state_dict"),
    ],
)
def test_what_is_no_sound_state_dict_is_refused(value: object, words: str, new: bool) -> None:
    with pytest.raises(ModelError, match=f"model file model.pth: .*{words}"):
        parse_weights(saved(value, new=new), "model.pth")


def test_a_deflated_zip_is_read() -> None:
    state = random_state()
    assert_equal_to_torch(repacked(saved(state), lambda _, content: content, method=zipfile.ZIP_DEFLATED), state)


@CONTAINERS
def test_a_tensor_stored_as_the_negative_of_its_numbers_is_refused(new: bool) -> None:
    """torch keeps such a sign beside the numbers: reading the numbers alone would give weights of the wrong sign
    without a word.
    """
    tensor = torch.complex(torch.ones(3), torch.arange(3.0)).conj().imag
    assert tensor.is_neg()
    with pytest.raises(ModelError, match=r"negative or the conjugate of its numbers.*resolve_neg"):
        parse_weights(saved({"w": tensor}, new=new), "model.pth")


def test_real_files_equal_torch(assets: Path) -> None:
    files = [
        assets / "weights" / "realesr-animevideov3.pth",
        *sorted((assets / "weights" / "perceptual").glob("*.p*t*")),
    ]
    read = 0
    for path in files:
        expected = torch.load(path, weights_only=True, map_location="cpu")
        expected = expected.get("params", expected.get("model", expected))
        assert_equal_to_torch(path.read_bytes(), expected)
        read += 1
    assert read >= 8
