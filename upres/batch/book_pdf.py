"""Pictures of the pages of a PDF, replaced in place: pages, text and links stay. Needs pikepdf (`upres[pdf]`)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pikepdf is typed in part; this module annotates what it returns.

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from upres.batch.books import BookPicture, Limits
from upres.errors import InputError
from upres.images.io import quantize, read_picture
from upres.system.packages import need
from upres.system.text import shown

_PLAIN = ("/DeviceRGB", "/DeviceGray", "/CalRGB", "/CalGray", "/ICCBased")

# What pikepdf raises for a value of another kind than the format has there, as in a damaged file.
_ANOTHER_KIND = (TypeError, ValueError, AttributeError, LookupError)


class PdfBook:
    """See `books.Book`."""

    def __init__(self, path: Path) -> None:
        need(f"{path}: PDF", "pdf")
        import pikepdf

        self._path, self._limits = path, Limits(path)
        self.notes: list[str] = []
        try:
            self._pdf = pikepdf.open(path)
        except pikepdf.PasswordError as error:
            raise InputError(f"{path} is encrypted; save it without a password first") from error
        except (pikepdf.PdfError, ValueError) as error:
            raise InputError(f"{path} is not a PDF that can be read ({shown(error)})") from error
        self._images: list[Any] = []
        self.pictures: list[BookPicture] = []
        try:
            self._find()
        except BaseException as error:
            self._pdf.close()
            if isinstance(error, (pikepdf.PdfError, *_ANOTHER_KIND)):
                raise InputError(f"{path} is not a PDF that can be read ({shown(error)})") from error
            raise

    def _find(self) -> None:
        import pikepdf

        streams = (one for one in self._pdf.objects if isinstance(one, pikepdf.Stream))
        images = [one for one in streams if one.get("/Subtype") == "/Image"]
        masks = {mask.objgen for one in images for key in ("/SMask", "/Mask") if (mask := one.get(key)) is not None}
        left = Counter[str]()
        for image in images:
            if image.objgen in masks:  # of another picture, whatever that one's size
                continue
            number = image.objgen[0]
            reason = _why_left(image)
            if reason:
                left[reason] += 1
                continue
            self._limits.enter(f"object {number}", len(image.read_raw_bytes()))
            format = "jpeg" if _filters(image) == ["/DCTDecode"] else "png"
            self.pictures.append(BookPicture(len(self._images), f"object {number}", format))
            self._images.append(image)
        self.notes += [f"{count} x {reason} left as it is" for reason, count in sorted(left.items())]

    def extract(self, picture: BookPicture) -> Iterator[bytes]:
        import pikepdf

        image = self._images[picture.number]
        try:
            if picture.format == "jpeg":
                yield image.read_raw_bytes()
                return
            buffer = io.BytesIO()
            pikepdf.PdfImage(image).as_pil_image().save(buffer, "png", icc_profile=None)
            yield buffer.getvalue()
        except (pikepdf.PdfError, OSError, NotImplementedError, *_ANOTHER_KIND) as error:
            raise InputError(f"{self._path}, {picture.name}: cannot be decoded ({shown(error)})") from error

    def write(self, target: Path, replaced: Mapping[int, Path]) -> None:
        import pikepdf

        for number, path in replaced.items():
            image, made = self._images[number], read_picture(path)
            height, width = made.pixels.shape[:2]
            if path.suffix == ".jpg":
                image.write(path.read_bytes(), filter=pikepdf.Name.DCTDecode)
            else:
                levels = quantize(made.pixels, 8)
                image.write(zlib.compress(levels.tobytes(), 6), filter=pikepdf.Name.FlateDecode)
                image.ColorSpace = pikepdf.Name.DeviceGray if levels.shape[2] == 1 else pikepdf.Name.DeviceRGB
                image.BitsPerComponent = 8
            image.Width, image.Height = width, height
            if "/DecodeParms" in image:
                del image.DecodeParms
        self._pdf.save(target, deterministic_id=True)

    def close(self) -> None:
        self._pdf.close()


def _why_left(image: Any) -> str:
    """Why an image is not replaced; "" if it is."""
    import pikepdf

    if image.get("/ImageMask", False):
        return "mask"
    if int(image.get("/BitsPerComponent", 8)) != 8:
        return f"picture of {int(image.get('/BitsPerComponent', 8))} bits"
    if "/Decode" in image:
        return "picture with inverted or scaled levels"
    space = image.get("/ColorSpace")
    name = str(space[0] if isinstance(space, pikepdf.Array) else space)
    if name not in _PLAIN:
        return f"picture in {name.lstrip('/') or 'an unknown color space'}"
    if name == "/ICCBased" and int(space[1].get("/N", 0)) not in (1, 3):
        return "picture in CMYK"
    filters = _filters(image)
    if filters not in ([], ["/DCTDecode"], ["/FlateDecode"], ["/LZWDecode"], ["/RunLengthDecode"]):
        return f"picture compressed by {', '.join(name.lstrip('/') for name in filters)}"
    return ""


def _filters(image: Any) -> list[str]:
    """The names of its filters; one name or an array."""
    import pikepdf

    found = image.get("/Filter")
    if found is None:
        return []
    return [str(found)] if isinstance(found, pikepdf.Name) else [str(name) for name in found]
