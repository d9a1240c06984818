"""The readers of scripts/fuzz, each with whole files to damage: pictures, models, books, recipes, run files, journals.

Readers whose packages are not installed are left out.
"""

from __future__ import annotations

import io
import shutil
import sqlite3
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from upres.batch import resume
from upres.batch.journal import NAME as JOURNAL
from upres.batch.journal import Journal
from upres.batch.open_book import open_book
from upres.degradation.recipe import BUILT_IN, parse_recipe
from upres.errors import DataError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.images import animation
from upres.images.io import Picture, encode_picture, read_header, read_picture
from upres.weights.read import parse_weights, write_safetensors

RECIPES = Path(__file__).resolve().parent.parent / "upres" / "degradation" / "recipes"
Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Reader:
    """seeds: Whole files to damage. read: Reads one, and raises nothing but `UpresError`."""

    seeds: tuple[bytes, ...]
    read: Callable[[bytes], object]


def readers(folder: Path) -> dict[str, Reader]:
    """All readers by name. `folder` is for files of those that read only paths."""
    found = dict(_pictures(folder))
    found |= dict(_models(folder))
    found |= dict(_books(folder))
    found |= dict(_texts(folder))
    found |= dict(_journals(folder))
    return found


def _pictures(folder: Path) -> Iterator[tuple[str, Reader]]:
    rng = np.random.default_rng(0)
    gray, color = (rng.random((24, 20, channels)).astype(np.float32) for channels in (1, 3))
    veil = rng.random((24, 20)).astype(np.float32)
    still = (Picture(color, xmp=b"<x:xmpmeta/>", dpi=(300.0, 300.0)), Picture(gray), Picture(color, veil, depth=16))
    moving = [Picture(part) for part in (color, 1.0 - color)]
    seeds = {
        form: tuple(encode_picture(one, form) for one in still) for form in ("png", "jpeg", "webp", "tiff", "avif")
    }
    for form in ("png", "webp", "gif"):
        seeds[form] = (*seeds.get(form, ()), animation.encode_animation(moving, [40, 50], 0, form))
    levels = (color * 255).astype(np.uint8)
    seeds["pnm"] = (b"P6 20 24 255\n" + levels.tobytes(), b"P2 2 2 9\n1 2 3 4\n")
    if find_spec("PIL") is not None:
        from PIL import Image

        for form in ("bmp", "tga"):
            file = io.BytesIO()
            Image.fromarray(levels).save(file, form)
            seeds[form] = (file.getvalue(),)
    for form, files in seeds.items():
        yield form, Reader(files, _picture_in(folder / "a.tga") if form == "tga" else _picture)
    yield "animation", Reader((*seeds["gif"], seeds["webp"][-1], seeds["png"][-1]), _animation)


def _picture(data: bytes) -> object:
    read_header(data)
    return read_picture(data, max_pixels=4_000_000)


def _picture_in(path: Path) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        path.write_bytes(data)
        return read_picture(path, max_pixels=4_000_000)

    return read


def _animation(data: bytes) -> object:
    animation.count_frames(data)
    return animation.read_animation(data, max_pixels=4_000_000)


def _state() -> dict[str, np.ndarray]:
    """A compact network of two layers."""
    rng = np.random.default_rng(1)
    shapes = {"body.0.weight": (8, 3, 3, 3), "body.2.weight": (8, 8, 3, 3), "body.4.weight": (12, 8, 3, 3)}
    state = {name: (rng.standard_normal(shape) * 0.1).astype(np.float32) for name, shape in shapes.items()}
    state |= {f"{name[:6]}.bias": np.zeros(shape[0], np.float32) for name, shape in shapes.items()}
    return state | {f"body.{place}.weight": np.full(8, 0.2, np.float32) for place in (1, 3)}


def _models(folder: Path) -> Iterator[tuple[str, Reader]]:
    state = _state()
    graph = graph_from_state_dict(state)
    plain = folder / "net.safetensors"
    write_safetensors(plain, state, {})
    yield "safetensors", Reader((plain.read_bytes(),), _weights)
    yield "pickle", Reader(tuple(_pickles(state)), _weights)
    yield "ncnn", Reader(tuple(_ncnn(graph)), _ncnn_in(folder))
    if find_spec("onnx") is not None:
        from upres.engines.onnx.program import onnx_bytes

        facts = {"value_range": "0 1", "family": "compact"}
        yield "onnx", Reader((onnx_bytes(graph, facts=facts), onnx_bytes(graph)), _onnx_in(folder))


def _weights(data: bytes) -> object:
    return graph_from_state_dict(parse_weights(data, "net"))


def _pickles(state: dict[str, np.ndarray]) -> Iterator[bytes]:
    if find_spec("torch") is None:
        yield bytes.fromhex("80027d71002e") * 20  # the old form of torch.save begins so: an empty dict
    else:
        import torch

        tensors = {name: torch.tensor(array) for name, array in state.items()}
        for wrapped, modern in (
            (tensors, True),
            ({"params_ema": tensors, "iter": 5}, False),
            ({"params": tensors}, True),
        ):
            file = io.BytesIO()
            torch.save(wrapped, file, _use_new_zipfile_serialization=modern)
            yield file.getvalue()


def _ncnn(graph: Graph) -> Iterator[bytes]:
    from upres.export.ncnn import ncnn_files

    for half in (False, True):
        param, weights = ncnn_files(graph, half=half)
        yield struct.pack("<I", len(param)) + param + weights


def _ncnn_in(folder: Path) -> Callable[[bytes], object]:
    from upres.weights.ncnn_file import read_ncnn

    def read(data: bytes) -> object:
        length = int.from_bytes(data[:4], "little")
        (folder / "a.param").write_bytes(data[4 : 4 + length])
        (folder / "a.bin").write_bytes(data[4 + length :])
        return read_ncnn(folder / "a.param", folder / "a.bin")

    return read


def _onnx_in(folder: Path) -> Callable[[bytes], object]:
    from upres.engines.onnx.graph import graph_of

    def read(data: bytes) -> object:
        (folder / "a.onnx").write_bytes(data)
        return graph_of(folder / "a.onnx")

    return read


def _books(folder: Path) -> Iterator[tuple[str, Reader]]:
    picture = encode_picture(Picture(np.full((4, 5, 3), 0.5, np.float32)), "png")
    packed, plain = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as book, tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data in (("a.png", picture), ("deep/ü.png", picture), ("words.txt", b"words " * 50)):
            book.writestr(name, data)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    yield "zip", Reader((packed.getvalue(),), _book_in(folder, "a.cbz"))
    yield "tar", Reader((plain.getvalue(),), _book_in(folder, "a.tar"))
    if find_spec("pikepdf") is not None and find_spec("PIL") is not None:
        from PIL import Image

        file = io.BytesIO()
        Image.open(io.BytesIO(picture)).save(file, "pdf")
        yield "pdf", Reader((file.getvalue(),), _book_in(folder, "a.pdf"))


def _book_in(folder: Path, name: str) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        (folder / name).write_bytes(data)
        book = open_book(folder / name)
        try:
            return [b"".join(book.extract(picture)) for picture in book.pictures]
        finally:
            book.close()

    return read


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8") from error  # as those who read the files say


def _texts(folder: Path) -> Iterator[tuple[str, Reader]]:
    recipes = tuple((RECIPES / f"{name}.toml").read_bytes() for name in BUILT_IN)
    yield "recipe", Reader(recipes, lambda data: parse_recipe(_text(data), "a.toml"))
    settings = b'{"what": "settings", "format": 2, "settings": {"model": "a>b", "tta": ""}, "models": {"a.png": "b"}}'
    yield "job", Reader((settings,), _job_in(folder))
    if find_spec("torch") is not None:
        from upres.training.run_file import parse_run_file

        run = (
            b'recipe = "compact-x2"\nout = "runs/a"\nshrink = 2\n[[data]]\nhr = "photos"\nweight = 2.0\n'
            b'[validation]\nhr = "set5"\n[settings]\nsteps = 100\nlearning_rate = 1e-4\nbetas = [0.9, 0.99]\n'
        )
        yield "run file", Reader((run,), lambda data: parse_run_file(_text(data), folder / "run.toml"))


def _job_in(folder: Path) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        (folder / resume.NAME).write_bytes(data)
        given = {"model": "a>b", "tta": ""}
        return resume.recorded_models(folder, given), resume.check(folder, given, 1)

    return read


def _journals(folder: Path) -> Iterator[tuple[str, Reader]]:
    place = folder / "journal"
    place.mkdir()
    journal = Journal(place)
    journal.begin({"model": "a"}, "none.lock")
    journal.data.close()
    with sqlite3.connect(place / JOURNAL) as data:  # one file: what SQLite keeps beside it is no seed
        data.execute("PRAGMA journal_mode=DELETE")
    data.close()
    yield "journal", Reader(((place / JOURNAL).read_bytes(),), _journal_in(place))
    if find_spec("av") is not None:
        from upres.video.journal import Journal as VideoJournal
        from upres.video.journal import folder_of

        target = folder / "film.mp4"
        inner = folder_of(target)
        inner.mkdir()
        VideoJournal(inner, {"model": "a"}, [[64, 64]]).save()
        seed = (inner / "job.json").read_bytes()
        yield "video journal", Reader((seed,), _video_in(target, inner))


def _journal_in(place: Path) -> Callable[[bytes], object]:
    def read(data: bytes) -> None:
        for left in place.iterdir():
            left.unlink()
        (place / JOURNAL).write_bytes(data)
        journal = Journal(place)
        try:
            journal.begin({"model": "a"}, "none.lock")
        finally:
            journal.data.close()

    return read


def _video_in(target: Path, inner: Path) -> Callable[[bytes], object]:
    from upres.video.journal import open_journal

    def read(data: bytes) -> None:
        inner.mkdir(exist_ok=True)
        (inner / "job.json").write_bytes(data)
        open_journal(target, {"model": "a"}, anew=False).release()

    return read


def main() -> None:
    """Print the names of all readers, and read each seed."""
    folder = Path(tempfile.mkdtemp())
    try:
        for name, reader in readers(folder).items():
            for seed in reader.seeds:
                reader.read(seed)
            print(name, [len(seed) for seed in reader.seeds])
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
