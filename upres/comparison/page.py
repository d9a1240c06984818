"""The page: one HTML file with all versions of all pictures, that loads nothing from elsewhere.

Pictures are kept without loss (WebP), so that flicker and difference views show what the models made. The script and
the style stand in `page_files/`; slider and magnifier are those of `upres.web`.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from upres.comparison.compare import BICUBIC, HR, LR, ComparedPicture, Version, label_of
from upres.comparison.crops import Box, choose_box, difference_map
from upres.comparison.vips import clean, lossless_webp
from upres.upscaling.invented import MEASURED
from upres.web.assets import inlined, read_asset

MOST_PIXELS = 40_000_000  # of all versions of all pictures: about 60 MB of page
_LEAST_SIDE_PX = 256  # of a picture that is cropped
_LONGEST_PX = 16_000  # of a WebP picture, with some room
_FILES = Path(__file__).parent / "page_files"
_MODULES = ("strings", "state", "pair", "slide", "magnify", "flicker", "difference", "figures", "main")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Page:
    """Collects pictures; `finish` returns the file.

    title: The heading and the title of the window.
    labels: What to show instead of a version's name.
    scale: Of the models.
    expected: How many pictures will be added; large ones are cropped so that all fit into `MOST_PIXELS`.
    """

    def __init__(self, title: str, labels: Mapping[str, str], scale: int, expected: int) -> None:
        self._title, self._labels, self._scale = clean(title), dict(labels), scale
        self._share = MOST_PIXELS / max(1, expected) / (len(labels) + 2)  # pixels of one version of one picture
        self._pictures: list[dict[str, Any]] = []
        self._images: list[str] = []
        self._maps: dict[str, dict[str, float] | None] = {}  # of each model with maps, by label: how far they go

    def add(self, compared: ComparedPicture) -> None:
        """Add all versions of a picture, or of the part of it on which the models differ most."""
        box = self._crop(compared)
        versions: list[dict[str, Any]] = []
        for one in compared.versions:
            levels = one.levels if box is None else _aligned(one, box, compared.scale)
            data = base64.b64encode(lossless_webp(levels)).decode()
            place = f"image-{len(self._pictures)}-{len(versions)}"
            self._images.append(f'<script type="text/plain" id="{place}">data:image/webp;base64,{data}</script>')
            kind = one.name if one.name in (LR, BICUBIC, HR) else "map" if one.map_of else "model"
            if one.map_of:
                self._maps[clean(self._labels.get(one.map_of, one.map_of))] = MEASURED.get(one.map_of)
            figures = {"psnr": _finite(one.psnr_y), "ssim": one.ssim_y, "seconds": one.seconds}
            name = clean(label_of(one, self._labels))
            versions.append({"name": name, "kind": kind, "image": place, **figures})
        height, width = compared.size if box is None else (box.height, box.width)
        crop = None if box is None else [box.left, box.top, box.width, box.height]
        whole = [compared.size[1], compared.size[0]]
        self._pictures.append(
            {"name": clean(compared.name), "width": width, "height": height, "crop": crop, "whole": whole}
            | {"versions": versions}
        )

    def _crop(self, compared: ComparedPicture) -> Box | None:
        """The part to show, on the grid of LR; None for the whole picture."""
        height, width = compared.size
        if height * width <= self._share and max(height, width) <= _LONGEST_PX:
            return None
        side = max(_LEAST_SIDE_PX, math.isqrt(int(self._share)))
        tall = min(height, side)
        wide = min(width, max(side, int(self._share / tall)), _LONGEST_PX)
        tall = min(height, max(tall, int(self._share / wide)), _LONGEST_PX)
        if (tall, wide) == (height, width):
            return None
        scale = compared.scale
        box = choose_box(difference_map(compared), (tall // scale * scale, wide // scale * scale))
        return Box(box.top // scale * scale, box.left // scale * scale, box.height, box.width)

    def finish(self) -> bytes:
        """The file, UTF-8."""
        data = {"title": self._title, "scale": self._scale, "pictures": self._pictures, "version": page_version()}
        data["maps"] = [{"name": name, "measured": measured} for name, measured in self._maps.items()]
        # "<" would end the script where a name holds "</script>"
        text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
        shared = [inlined("divider.js"), inlined("magnifier.js")]
        script = "\n".join([*shared, *(read_page_file(f"{name}.js") for name in _MODULES)])
        style = read_asset("colors.css") + read_page_file("page.css") + read_asset("views.css")
        parts = read_page_file("page.html").split("\n<!-- PARTS -->\n")
        head, body = parts[0], parts[1]
        head = head.replace("{{TITLE}}", html.escape(self._title)).replace("{{POLICY}}", html.escape(_POLICY))
        lines = [
            head.replace("{{STYLE}}", style),
            body,
            *self._images,
            f'<script type="application/json" id="data">{text}</script>',
            f"<script>\n{read_asset('slider.js')}\n</script>",
            f'<script type="module">\n{script}\n</script>',
            "</body>\n</html>\n",
        ]
        return "\n".join(lines).encode("utf-8")


def _aligned(one: Version, box: Box, scale: int) -> Any:
    if one.name != LR:
        return box.cut(one.levels)
    return Box(box.top // scale, box.left // scale, box.height // scale, box.width // scale).cut(one.levels)


def _finite(value: float | None) -> float | str | None:
    return "inf" if value == math.inf else value


def page_version() -> str:
    """Of upres, for the foot of a page; empty if unknown."""
    try:
        return version("upres")
    except PackageNotFoundError:
        return ""


def read_page_file(name: str) -> str:
    """A file of `page_files`, ending with one line break."""
    return (_FILES / name).read_text(encoding="utf-8").rstrip("\n") + "\n"
