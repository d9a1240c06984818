"""What `upres inspect` finds in pictures whose history is known, and what it costs.

    python benchmarks/bench_inspect.py --data DIR [--more DIR] [--count 200] [--seed 7] [--only noise] [--write]

DIR is the folder of pictures that `fit_true_scale.py` fits on: every fourth by name is never fitted and is measured
here, with those of --more. Histories are drawn by `made_histories.py`. Half of the compressed pictures are inspected as
the JPEG, half as a PNG of what it decodes to, so that only pixels can tell. The table of noise has histories of its
own: as many, half of them compressed with quality 80 to 98, noise of 1 to 20 in nine of ten; `--only noise` makes it
alone.
"""

from __future__ import annotations

import argparse
import datetime
import io
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from made_histories import (
    KERNELS,
    NEVER_FITTED,
    History,
    compress,
    draw_history,
    held_out,
    levels,
    make,
    read_base,
    read_sharp,
)
from numpy.typing import NDArray
from PIL import Image

from upres.images.io import Picture, read_picture
from upres.inspection.inspect import inspect_decoded, inspect_picture
from upres.inspection.report import PictureReport
from upres.inspection.sampling import busiest_window, to_luma
from upres.inspection.true_scale import estimate_scale

ROOT = Path(__file__).resolve().parent.parent
DRAWINGS = (
    "1454613116", "1536017106", "3DPieChart", "AgilityCourse", "Boxplot", "Lungs-Cross", "Performance-Graph",
    "Temperament", "adriankierman", "klepas-Gentle", "newplot.", "newplot_1_", "Beam-Space", "EPICA", "No-interference",
    "StockQuote", "Verkehrstote", "nicubunu", "ularapi",
    "akfcrc022", "Abstract-Art",
)  # fmt: skip  # of the folder that was measured: charts and drawings by the look of them
LUMA_SHARE = float(np.sqrt(0.299**2 + 0.587**2 + 0.114**2))  # of noise that is independent and alike in all channels


@dataclass(frozen=True)
class Case:
    history: History
    report: PictureReport
    likeliest: float | None  # true scale, told or not
    as_jpeg: bool


def png(pixels: NDArray[np.uint8]) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG", compress_level=1)
    return target.getvalue()


def look(pixels: NDArray[np.uint8], data: bytes | None, history: History) -> Case:
    """The report of a picture, from `data` where it is a JPEG file."""
    picture = read_picture(data or png(pixels))
    window = picture.pixels[busiest_window(picture.pixels)]
    estimate = estimate_scale(to_luma(window))
    found = None if estimate is None else estimate.scale
    return Case(history, inspect_picture(data or png(pixels)), found, data is not None)


def cases(
    paths: Sequence[Path],
    count: int,
    seed: int,
    *,
    as_found: bool = False,
    change: Callable[[History, int, np.random.Generator], History] | None = None,
    kernels: Mapping[str, float] = KERNELS,
    **shares: float,
) -> Iterator[Case]:
    """`count` histories, over the pictures in turn; a picture that shows nothing sharp is passed over.

    as_found: Pictures up to 900 px are not reduced first, as sharp or soft as they are.
    change: Called as `change(history, number made so far, rng)`, for another history.
    """
    made, number = 0, 0
    while made < count:
        path = paths[number % len(paths)]
        rng = np.random.default_rng((seed, number))
        number += 1
        history = draw_history(path.name, rng, kernels=kernels, **shares)
        if change is not None:
            history = change(history, made, rng)
        result = make((read_base if as_found else read_sharp)(path), history, rng)
        if result is not None and min(result[0].shape[:2]) >= 144:
            pixels, data = result
            yield look(pixels, data if made % 2 else None, history)
            made += 1


def noise_cases(paths: Sequence[Path], count: int, seed: int) -> list[Case]:
    """Histories whose noise should be told: not compressed, or with quality 80 and better; none in one of ten."""

    def noised(history: History, number: int, rng: np.random.Generator) -> History:
        noise = 0.0 if rng.random() < 0.1 else float(np.exp(rng.uniform(0.0, np.log(20.0))))
        return replace(history, noise=noise, quality=int(rng.integers(80, 99)) if number % 2 else 0)

    return list(cases(paths, count, seed, change=noised, earlier=0.0, soft=0.0))


def share(right: Sequence[bool]) -> str:
    return f"{sum(right)} of {len(right)} ({sum(right) / len(right):.0%})" if right else "none"


def scale_rows(found: Sequence[Case], name: str) -> str:
    near = [c.likeliest is not None and abs(c.likeliest / c.history.true_scale - 1) <= 0.1 for c in found]
    told = [c for c in found if c.report.true_scale is not None]
    right = [abs((c.report.true_scale or 0) / c.history.true_scale - 1) <= 0.1 for c in told]
    return f"| {name} | {len(found)} | {share(near)} | {len(told)} | {share(right)} |"


def scale_table(found: Sequence[Case], more: dict[str, Sequence[Case]]) -> list[str]:
    groups = {
        "all": found,
        "not compressed, noise up to 3": [c for c in found if not c.history.quality and c.history.noise <= 3],
        "not compressed": [c for c in found if not c.history.quality],
        "quality 80 and better": [c for c in found if c.history.quality >= 80],
        "quality 50 to 79": [c for c in found if 50 <= c.history.quality < 80],
        "quality 30 to 49": [c for c in found if 0 < c.history.quality < 50],
        "noise above 8": [c for c in found if c.history.noise > 8],
        "not enlarged": [c for c in found if c.history.scale == 1],
        "enlarged": [c for c in found if c.history.scale > 1],
        **more,
    }
    head = ["| true scale | pictures | likeliest within 10 % | told | of these within 10 % |", "|---|---|---|---|---|"]
    return [*head, *(scale_rows(group, name) for name, group in groups.items())]


def quality_table(found: Sequence[Case]) -> list[str]:
    files = [c for c in found if c.history.quality and c.as_jpeg]
    pixels = [c for c in found if c.history.quality and not c.as_jpeg]
    never = [c for c in found if not c.history.quality and not c.history.earlier_quality]
    told = [c for c in pixels if c.report.jpeg_quality is not None]
    near = [abs((c.report.jpeg_quality or 0) - c.history.quality) <= 5 for c in pixels]
    return [
        "| last compression | |",
        "|---|---|",
        f"| JPEG files, quality right | {share([c.report.jpeg_quality == c.history.quality for c in files])} |",
        f"| decoded to PNG, quality within 5 | {share(near)} |",
        f"| of these told | {len(told)} |",
        f"| told, grid right | {share([c.report.jpeg_grid_offset == (0, 0) for c in told])} |",
        f"| never compressed, and taken for it | {share([c.report.jpeg_quality is not None for c in never])} |",
    ]


def noise_table(found: Sequence[Case]) -> list[str]:
    noisy = [c for c in found if c.history.noise]
    clean = [c for c in noisy if not c.history.quality]
    compressed = [c for c in noisy if c.history.quality >= 80]
    quiet = [c for c in found if not c.history.noise and (not c.history.quality or c.history.quality >= 80)]
    channels = [c for c in clean if c.report.noise_sigma_255 is not None]
    luma = [c for c in compressed if c.report.noise_luma_sigma_255 is not None]
    by_channel = [
        all(abs(sigma / c.history.noise - 1) <= 0.15 for sigma in c.report.noise_sigma_255 or ()) for c in channels
    ]
    strong = [ok for c, ok in zip(channels, by_channel, strict=True) if c.history.noise >= 2]
    by_luma = [abs((c.report.noise_luma_sigma_255 or 0) / (LUMA_SHARE * c.history.noise) - 1) <= 0.15 for c in luma]
    heard = [ok for c, ok in zip(luma, by_luma, strict=True) if c.history.noise >= 2]
    hearable = [c for c in compressed if c.history.noise >= 2]
    return [
        "| noise | |",
        "|---|---|",
        f"| not compressed, told | {len(channels)} of {len(clean)} |",
        f"| of these, all three channels within 15 % | {share(by_channel)} |",
        f"| of these with 2 levels or more | {share(strong)} |",
        f"| quality 80 and better, luma told | {len(luma)} of {len(compressed)} |",
        f"| of these within 15 % | {share(by_luma)} |",
        f"| of those with 2 levels or more told | {len(heard)} of {len(hearable)} |",
        f"| of these within 15 % | {share(heard)} |",
        f"| none added, told as more than 2 | {share([(c.report.noise_luma_sigma_255 or 0) > 2 for c in quiet])} |",
    ]


def is_drawing(path: Path) -> bool:
    return any(name in path.name for name in DRAWINGS)


def light_history(path: Path, rng: np.random.Generator) -> History:
    history = draw_history(path.name, rng, earlier=0.0, soft=0.0, small=0.0)
    quality = int(rng.integers(70, 98)) if history.quality else 0
    return replace(history, noise=min(2.0, history.noise), quality=quality, scale=min(2.0, history.scale))


def kind_table(data: Path, photographs: Sequence[Path], seed: int) -> list[str]:
    """Drawn or not, gray or not, under light histories: noise up to 2, quality 70 and better, enlarged up to twice."""
    drawings = [path for path in sorted(data.glob("*.webp")) if is_drawing(path)]
    told: dict[str, list[bool | None]] = {"drawn": [], "photographed": [], "gray": [], "colored": []}
    for number, path in enumerate([*drawings * 4, *photographs]):
        rng = np.random.default_rng((seed, 1000 + number))
        light = light_history(path, rng)
        result = make(read_base(path), light, rng)
        if result is None:
            continue
        pixels, file = result
        drawn = number < 4 * len(drawings)
        told["drawn" if drawn else "photographed"].append(look(pixels, file, light).report.drawn)
        if not drawn:
            gray = pixels.astype(np.float32).mean(axis=2, keepdims=True).repeat(3, axis=2) / np.float32(255.0)
            told["gray"].append(inspect_picture(png(levels(gray))).gray)
            told["gray"].append(inspect_picture(compress(levels(gray), 60, True)).gray)
            told["colored"].append(inspect_picture(png(pixels)).gray)
    lines = ["| kind | pictures | right | not known | wrong |", "|---|---|---|---|---|"]
    for name, values in told.items():
        right = name in ("drawn", "gray")
        counts = (values.count(right), values.count(None), values.count(not right))
        lines.append(f"| {name} | {len(values)} | {counts[0]} | {counts[1]} | {counts[2]} |")
    return lines


def earlier_table(paths: Sequence[Path], seed: int) -> list[str]:
    """JPEG files of quality 75 to 95 that were JPEGs of quality 30 to 70 before, cut or not; and single ones."""
    found: dict[str, list[str]] = {"on another grid": [], "on the same grid": [], "compressed once": []}
    for number, path in enumerate(paths[:40]):
        rng = np.random.default_rng((seed, 2000 + number))
        pixels = levels(read_base(path))[:520, :520]
        first, last = int(rng.integers(30, 71)), int(rng.integers(75, 96))
        down, right = int(rng.integers(0, 8)), int(rng.integers(1, 8))
        with Image.open(io.BytesIO(compress(pixels, first, True))) as image:
            again = np.asarray(image.convert("RGB"))
        sources = {"on another grid": again[down:, right:], "on the same grid": again, "compressed once": pixels}
        for name, source in sources.items():
            report = inspect_picture(compress(source, last, True))
            quality = report.earlier_jpeg_quality
            found[name].append("none" if quality is None else "right" if abs(quality - first) <= 5 else "wrong")
    lines = ["| earlier compression | pictures | within 5 | not seen | wrong |", "|---|---|---|---|---|"]
    for name, values in found.items():
        counts = [values.count(what) for what in ("right", "none", "wrong")]
        if name == "compressed once":
            counts = [values.count("none"), 0, len(values) - values.count("none")]
        lines.append(f"| {name} | {len(values)} | {counts[0]} | {counts[1]} | {counts[2]} |")
    return lines


def cost(path: Path) -> list[str]:
    """CPU time of a look at a decoded picture of a megapixel, and of compact-x4 on 512 x 512 to compare, one thread."""
    from upres import Upscaler

    pixels = np.tile(read_base(path), (4, 4, 1))[:1024, :1024].copy()
    rows: list[str] = []
    decoded = read_picture(compress(levels(pixels), 80, True))
    for name, picture in (("PNG", Picture(pixels)), ("decoded JPEG", decoded)):
        inspect_decoded(picture)
        times: list[float] = []
        for _ in range(9):
            begun = time.process_time()
            inspect_decoded(picture)
            times.append(time.process_time() - begun)
        median, least = (1000 * value for value in (statistics.median(times), min(times)))
        rows.append(f"| a look, {pixels.shape[1]} x {pixels.shape[0]}, {name} | {median:.0f} ({least:.0f}) |")
    with Upscaler("compact-x4", engine="ncnn", threads=1) as upscaler:
        small = np.ascontiguousarray(pixels[:512, :512])
        upscaler(small)
        times = []
        for _ in range(3):
            begun = time.process_time()
            upscaler(small)
            times.append(time.process_time() - begun)
    rows.append(f"| compact-x4, 512 x 512 | {1000 * statistics.median(times):.0f} ({1000 * min(times):.0f}) |")
    return ["| CPU milliseconds, median (least) | |", "|---|---|", *rows]


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {len(os.sched_getaffinity(0))} cores"
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--more", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", choices=("noise",), help="one table alone")
    parser.add_argument("--write", action="store_true", help="keep the tables under benchmarks/results/")
    options = parser.parse_args()
    listed = list(enumerate(sorted(options.data.glob("*.webp"))))
    paths = [path for number, path in listed if held_out(number)]
    if options.more is not None:
        paths += sorted(options.more.glob("*.png"))
    if options.only == "noise":
        write(options, paths, [lambda: noise_table(noise_cases(paths, options.count, options.seed + 4))])
        return
    found = list(cases(paths, options.count, options.seed, earlier=0.0, soft=0.0))
    side = max(1, options.count // 4)
    more = {
        "after noise or JPEG of the small picture": list(cases(paths, side, options.seed + 1, earlier=1.0, soft=0.0)),
        "pictures as they were found": list(cases(paths, side, options.seed + 3, as_found=True, earlier=0.0, soft=0.0)),
        "kernels that were never fitted": list(
            cases(paths, side, options.seed + 5, kernels=NEVER_FITTED, earlier=0.0, soft=0.0)
        ),
        "blurred, not enlarged": list(cases(paths, side, options.seed + 2, earlier=0.0, soft=1.0)),
    }
    photographs = [path for path in paths if not is_drawing(path)]
    tables: list[Callable[[], list[str]]] = [
        lambda: scale_table(found, more), lambda: quality_table(found),
        lambda: noise_table(noise_cases(paths, options.count, options.seed + 4)),
        lambda: earlier_table(photographs, options.seed),
        lambda: kind_table(options.data, photographs, options.seed), lambda: cost(paths[0]),
    ]  # fmt: skip
    write(options, paths, tables)


def write(options: argparse.Namespace, paths: Sequence[Path], tables: Sequence[Callable[[], list[str]]]) -> None:
    """Print the tables; keep them with --write."""
    today = datetime.date.today()
    command = f"python benchmarks/bench_inspect.py --data DIR --more DIR --count {options.count} --seed {options.seed}"
    command += f" --only {options.only}" if options.only else ""
    lines = [
        f"# What `upres inspect` finds, {today}", "",
        f"{processor()}; Python {platform.python_version()}, numpy {np.__version__}.",
        f"`{command}`: {len(paths)} pictures, {options.count} histories.", "",
    ]  # fmt: skip
    print("\n".join(lines), flush=True)
    for table in tables:
        lines += (rows := [*table(), ""])
        print("\n".join(rows), flush=True)
    if options.write:
        cores, part = len(os.sched_getaffinity(0)), f"-{options.only}" if options.only else ""
        name = f"inspect{part}_{platform.machine()}-{cores}cores_{today:%Y%m}.md"
        target = ROOT / "benchmarks" / "results" / name
        target.write_text("\n".join(lines), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
