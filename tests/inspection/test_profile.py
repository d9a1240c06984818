"""The name that a color profile gives itself."""

from __future__ import annotations

import struct

from PIL import ImageCms

from upres.inspection.profile import profile_name


def made(tag: bytes) -> bytes:
    return bytes(128) + struct.pack(">I4sII", 1, b"desc", 144, len(tag)) + tag


def test_both_versions_are_read() -> None:
    assert profile_name(made(b"desc\0\0\0\0" + struct.pack(">I", 9) + b"Adobe RGB\0")) == "Adobe RGB"
    words = "Display P3".encode("utf-16-be")
    record = struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(words), 28)
    assert profile_name(made(b"mluc\0\0\0\0" + record + words)) == "Display P3"
    assert profile_name(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) == "sRGB built-in"


def test_a_profile_without_a_readable_name_has_none() -> None:
    assert profile_name(b"") is None
    assert profile_name(bytes(200)) is None
    assert profile_name(made(b"text\0\0\0\0")) is None
    assert profile_name(made(b"desc\0\0\0\0" + struct.pack(">I", 3) + b"\xff\xfe\xfd")) is None
    assert profile_name(made(b"desc")) is None
