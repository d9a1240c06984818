"""Encode a picture from the top, a band of rows at a time, into a file: PNG, JPEG and TIFF are never whole in memory.

libvips pulls pixels from a source of bytes. The source is an uncompressed BigTIFF, whose header is made up and whose
strips are the bands, in a thread of its own; WebP and AVIF collect them before they encode.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from upres.errors import OutputError
from upres.images.embed import add_to_tiff, embed, head_is_complete
from upres.images.flat import FlatShare
from upres.images.icc import Levels
from upres.images.picture import Picture
from upres.images.raw_tiff import RawTiff
from upres.images.target_size import encode_within
from upres.images.vips import VipsError, attempt_once, begin_pixels, load, pyvips
from upres.images.write import LOSSLESS_IF_FLAT, check_target, check_writable, encode_image, save_options
from upres.system.files import open_atomic, output_error, partial_path, write_atomic

WHOLE_FORMATS = ("webp", "avif")  # whose encoders hold the whole picture
_WAKE_S = 0.2


def write_rows(
    frame: Picture,
    bands: Iterable[Levels],
    target: Path,
    format: str,
    *,
    quality: int | None = None,
    png_level: int | None = None,
    target_kb: int | None = None,
) -> None:
    """Write a picture atomically while its bands are made: one is encoded while the next one is computed.

    frame: The picture; of its pixels and alpha only the shapes are read.
    bands: The levels of `levels_to_write`, h' w c, from the top; up to three are alive at a time.
    target, format, quality, png_level, target_kb: As for `write_picture`. For a `target_kb`, and for WebP and AVIF
        without a quality, the levels go to a file beside the target first: what it takes depends on all of them.

    Raises `OutputError` if the target cannot be written, and what `bands` raises; the target is then unchanged.
    """
    height, width = frame.pixels.shape[:2]
    check_writable(format, height, width, frame.depth)
    check_target(target)
    begin_pixels()
    if target_kb is not None or (quality is None and format in LOSSLESS_IF_FLAT):
        _write_collected(frame, bands, target, format, quality, target_kb)
        return
    with open_atomic(target) as file:
        encoder = _Encoder(frame, format, quality, png_level, file)
        try:
            for band in _all_rows(bands, height):
                encoder.put(band)
            encoder.finish()
        finally:
            encoder.stop()
        if format == "tiff":
            add_to_tiff(file, frame)


def _all_rows(bands: Iterable[Levels], height: int) -> Iterator[Levels]:
    rows = 0
    for band in bands:
        yield band
        rows += len(band)
    if rows != height:
        raise OutputError(f"the encoder got {rows} of {height} rows; please report it")


def _write_collected(
    frame: Picture, bands: Iterable[Levels], target: Path, format: str, quality: int | None, target_kb: int | None
) -> None:
    """Keep the levels in a file beside the target, and encode it once all of them are known."""
    raw, kept, share = RawTiff(frame, format), partial_path(target), FlatShare()
    try:
        try:
            with kept.open("wb") as file:
                file.write(raw.head)
                for band in _all_rows(bands, frame.pixels.shape[0]):
                    share.add(band)
                    file.write(raw.bytes_of(band))
        except OSError as error:
            raise output_error(target, error) from error

        def encoded(quality: int | None) -> bytes:
            image = raw.picture_of(load(kept, "tiffload", "error"))
            return encode_image(lambda: image, frame, format, quality, flat=share.is_flat)

        data = encoded(quality) if target_kb is None else encode_within(encoded, target_kb, quality, format)[0]
    finally:
        kept.unlink(missing_ok=True)
    write_atomic(target, data)


class _Encoder:
    """A thread in which libvips encodes the bands that it gets."""

    def __init__(self, frame: Picture, format: str, quality: int | None, png_level: int | None, file: BinaryIO) -> None:
        self._frame, self._format = frame, format
        self._output = _Output(frame, format, file)
        self._bands: queue.Queue[Levels | None] = queue.Queue(1)
        self._error: BaseException | None = None
        self._kept: Exception | None = None  # in our functions that libvips calls
        self._ended = threading.Event()
        save = save_options(frame, format, quality, png_level)
        self._thread = threading.Thread(target=self._work, args=save, name="upres-encode", daemon=True)
        self._thread.start()

    def put(self, band: Levels) -> None:
        """Encode a band once there is room. Raises what went wrong."""
        while not self._ended.is_set():
            try:
                self._bands.put(band, timeout=_WAKE_S)
                return
            except queue.Full:
                pass
        self._raise()
        raise OutputError(f"the {self._format} encoder ended before the last row")

    def finish(self) -> None:
        """Wait for the end. Raises what went wrong."""
        while self._thread.is_alive():
            self._thread.join(_WAKE_S)
        self._raise()

    def stop(self) -> None:
        """End the thread, if it has not ended, without waiting for more bands."""
        while self._thread.is_alive():
            with suppress(queue.Full):
                self._bands.put_nowait(None)
            self._thread.join(_WAKE_S / 10)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self, operation: str, options: dict[str, Any]) -> None:
        try:
            attempt_once(lambda: self._encode(operation, options))
        except VipsError as error:
            height, width = self._frame.pixels.shape[:2]
            self._error = self._kept or OutputError(
                f"cannot encode {width} x {height} pixels as {self._format}: {error}; choose another format"
            )
        except BaseException as error:  # raised in the thread that puts bands
            self._error = error
        finally:
            self._ended.set()

    def _encode(self, operation: str, options: dict[str, Any]) -> None:
        raw = RawTiff(self._frame, self._format)
        strips = _Strips(raw, self._bands.get)
        source = pyvips.SourceCustom()
        source.on_read(self._guarded(strips.read, b""))
        source.on_seek(strips.seek)
        image = pyvips.Operation.call("tiffload_source", source, access="sequential", fail_on="error")
        image = raw.picture_of(image)
        target = pyvips.TargetCustom()
        target.on_write(self._guarded(self._output.write, 0))
        if self._format == "tiff":
            target.on_read(self._guarded(self._output.file.read, b""))
            target.on_seek(self._guarded(self._output.file.seek, -1))
        pyvips.Operation.call(f"{operation}_target", image, target, **options)
        self._output.end()

    def _guarded(self, work: Callable[..., Any], failed: Any) -> Callable[..., Any]:
        """`work`, whose errors are kept: libvips, which calls it, cannot pass them on."""

        def call(*arguments: Any) -> Any:
            try:
                return work(*arguments)
            except Exception as error:
                self._kept = error
                return failed

        return call


class _Strips:
    """The bytes of a `RawTiff` whose bands come one after the other."""

    def __init__(self, raw: RawTiff, take: Callable[[], Levels | None]) -> None:
        self._raw, self._take, self._at = raw, take, 0
        self._band, self._band_at = memoryview(b""), raw.pixels_at

    def read(self, size: int) -> bytes:
        """The next bytes; none if the bands have ended early."""
        if self._at < len(self._raw.head):
            part = self._raw.head[self._at : self._at + size]
        elif self._at >= self._raw.end:
            return b""
        else:
            while self._at >= self._band_at + len(self._band):
                band = self._take()
                if band is None:
                    return b""
                self._band_at += len(self._band)
                self._band = self._raw.bytes_of(band)
            start = self._at - self._band_at  # the loader reads strips in their order
            part = bytes(self._band[start : start + size])
        self._at += len(part)
        return part

    def seek(self, offset: int, whence: int) -> int:
        """As `io.IOBase.seek`."""
        self._at = offset + (0, self._at, self._raw.end)[whence]
        return self._at


class _Output:
    """Writes what libvips encodes to a file, with the metadata that libvips does not write."""

    def __init__(self, frame: Picture, format: str, file: BinaryIO) -> None:
        self.file, self._frame, self._format = file, frame, format
        self._head: bytearray | None = None if format == "tiff" else bytearray()

    def end(self) -> None:
        """Write what was held back."""
        if self._head is not None:
            self.file.write(embed(bytes(self._head), self._frame, self._format))
            self._head = None

    def write(self, data: Any) -> int:
        """Takes all of `data`."""
        if self._head is None:
            self.file.write(data)
            return len(data)
        head = self._head
        head += data
        if self._format not in WHOLE_FORMATS and head_is_complete(head, self._format):
            self.end()
        return len(data)
