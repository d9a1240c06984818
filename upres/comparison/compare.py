"""Run models on one picture, and keep every version of it: LR, bicubic, each SR, HR."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upres.errors import InputError, ModelError, UpresError, UsageError
from upres.evaluation.pictures import Levels, load_test_picture, upscale
from upres.images.io import READABLE_SUFFIXES
from upres.images.pairing import find_pairs, match_files
from upres.images.resize import imresize
from upres.metrics.psnr_ssim import psnr, ssim
from upres.system.folders import find_files
from upres.upscaling.invented import draw_map, measured_words
from upres.upscaling.upscaler import Upscaler

LR, BICUBIC, HR = "LR", "bicubic", "HR"
_SSIM_WINDOW_PX = 11


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """The files of one picture; `lr` None: LR is made from HR. `hr` None: there is no ground truth."""

    lr: Path | None
    hr: Path | None

    @property
    def name(self) -> str:
        path = self.lr or self.hr
        assert path is not None
        return path.name


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a picture.

    name: `LR`, `BICUBIC`, `HR` or the name of a model.
    levels: uint8 `h w 3`, as large as SR; of LR its own pixels.
    seconds: The model's time; None for versions that no model made.
    psnr_y, ssim_y: Against HR, border = scale; None without HR, for LR, for maps, and for pictures that are too small.
    map_of: The model whose map of what LR does not vouch for this is; empty for a picture.
    """

    name: str
    levels: Levels
    seconds: float | None = None
    psnr_y: float | None = None
    ssim_y: float | None = None
    map_of: str = ""


def label_of(version: Version, labels: Mapping[str, str]) -> str:
    """What to show instead of its name; `labels` holds those of the models."""
    if version.map_of:
        return f"{labels.get(version.map_of, version.map_of)}: invented"
    return labels.get(version.name, version.name)


@dataclass(frozen=True, slots=True)
class ComparedPicture:
    """All versions of a picture, in the order LR, bicubic, models, maps, HR."""

    name: str
    scale: int
    versions: tuple[Version, ...]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of SR."""
        levels = self.versions[1].levels
        return levels.shape[0], levels.shape[1]

    @property
    def hr(self) -> Levels | None:
        """HR; None without ground truth."""
        last = self.versions[-1]
        return last.levels if last.name == HR else None

    @property
    def models(self) -> tuple[Version, ...]:
        """What the models made."""
        return tuple(one for one in self.versions if one.name not in (LR, BICUBIC, HR) and not one.map_of)


def find_picture_files(pictures: Sequence[Path], hr_folder: Path | None, scale: int) -> list[PictureFiles]:
    """Match LR pictures with HR pictures by name.

    pictures: LR files and folders of them. None: LR is made from every picture of `hr_folder`.
    hr_folder: None: no ground truth.

    Raises `UsageError` without any picture, `InputError` for an empty folder and an LR picture without its HR picture.
    """
    if not pictures:
        if hr_folder is None:
            raise UsageError("name pictures to compare, or a folder of HR pictures by `hr`")
        return [PictureFiles(None, pair.hr) for pair in find_pairs(hr_folder, None, scale)]
    lows: list[Path] = []
    for path in pictures:
        found = find_files(path, READABLE_SUFFIXES, recursive=False).files if path.is_dir() else [path]
        if not found:
            raise InputError(f"{path} contains no pictures")
        lows += found
    lows = list(dict.fromkeys(lows))
    if hr_folder is None:
        return [PictureFiles(low, None) for low in lows]
    highs = [pair.hr for pair in find_pairs(hr_folder, None, scale)]
    return [PictureFiles(low, _partner(low, highs, hr_folder, scale)) for low in lows]


def _partner(low: Path, highs: Sequence[Path], folder: Path, scale: int) -> Path:
    pairs, faults = match_files(highs, [low], folder, low.parent, scale)
    ambiguous = [fault for fault in faults if fault.endswith("; keep one")]
    if ambiguous:
        raise InputError(ambiguous[0])
    if not pairs:
        raise InputError(f"{low.name} has no HR picture in {folder}")
    return pairs[0].hr


def check_scales(upscalers: Mapping[str, Upscaler]) -> int:
    """The scale of all models. Raises `UsageError` where they differ or a name is taken."""
    for name in (LR, BICUBIC, HR):
        if name in upscalers:
            raise UsageError(f"a model cannot be named {name}, which is always shown")
    scales = {name: upscaler.scale for name, upscaler in upscalers.items()}
    if len(set(scales.values())) != 1:
        listed = ", ".join(f"{name} by {scale}" for name, scale in scales.items())
        raise UsageError(f"the models enlarge by different factors: {listed}; compare models of one scale")
    return next(iter(scales.values()))


def compare_picture(
    files: PictureFiles, upscalers: Mapping[str, Upscaler], scale: int, *, invented: bool = False
) -> ComparedPicture:
    """Run all models on one picture; `invented`: add the map of each.

    Raises `InputError` for a picture that cannot be read, whose HR has another size, or on which a model fails.
    """
    loaded = load_test_picture(files.hr, files.lr, scale)
    size = (loaded.lr.shape[0] * scale, loaded.lr.shape[1] * scale)
    versions = [Version(LR, loaded.lr), _scored(Version(BICUBIC, imresize(loaded.lr, size=size)), loaded.hr, scale)]
    notes = list(loaded.notes)
    for name, upscaler in upscalers.items():
        begin = time.perf_counter()
        try:
            levels = upscale(upscaler, loaded.lr)
        except ModelError:
            raise
        except UpresError as error:
            raise InputError(f"{name}: {error}") from error
        seconds = time.perf_counter() - begin
        notes += [f"{files.name}, {name}: {note}" for note in upscaler.notes]
        versions.append(_scored(Version(name, levels, seconds), loaded.hr, scale))
    if invented:
        notes += [f"map of {name}: {measured_words(name)}" for name in upscalers]
        lr_size = (loaded.lr.shape[0], loaded.lr.shape[1])
        versions += [
            Version(f"{made.name}: invented", draw_map(made.levels, lr_size), map_of=made.name)
            for made in versions
            if made.name in upscalers
        ]
    if loaded.hr is not None:
        versions.append(Version(HR, loaded.hr))
    return ComparedPicture(files.name, scale, tuple(versions), tuple(notes))


def _scored(version: Version, hr: Levels | None, border: int) -> Version:
    if hr is None or min(hr.shape[:2]) - 2 * border < _SSIM_WINDOW_PX:
        return version
    psnr_y = psnr(version.levels, hr, border=border, luma=True)
    ssim_y = ssim(version.levels, hr, border=border, luma=True)
    return Version(version.name, version.levels, version.seconds, psnr_y, ssim_y)
