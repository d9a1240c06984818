"""XMP of a result: what it announces of its file is removed where the result does not have it."""

from __future__ import annotations

import re

_TURNED = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>\s*))[2-8]""")  # as an attribute or as an element
# (namespace, names in it, what is lost): Android's motion photos, gain maps, and the list of a file's further parts.
_CLAIMS = (
    (b"http://ns.google.com/photos/1.0/camera/", rb"(?:MotionPhoto|MicroVideo)\w*", "the video of a motion photo"),
    (b"http://ns.adobe.com/hdr-gain-map/1.0/", rb"\w+", "the gain map (brighter highlights on HDR displays)"),
    (b"http://ns.apple.com/HDRGainMap/1.0/", rb"\w+", "the gain map (brighter highlights on HDR displays)"),
    (b"http://ns.google.com/photos/1.0/container/", rb"\w+", ""),
    (b"http://ns.google.com/photos/1.0/depthmap/", rb"\w+", "the depth map"),
    (b"http://ns.adobe.com/xmp/note/", rb"HasExtendedXMP", ""),
)


def upright(xmp: bytes) -> bytes:
    """`xmp` for pixels that are upright."""
    return _TURNED.sub(rb"\g<1>1", xmp)


def without_claims(xmp: bytes) -> tuple[bytes, tuple[str, ...]]:
    """`xmp` without announcements of what only the source's file has, and what that is, as words."""
    lost: list[str] = []
    for namespace, names, words in _CLAIMS:
        for prefix in set(re.findall(rb"""xmlns:([\w.-]+)\s*=\s*["']%s["']""" % re.escape(namespace), xmp)):
            name = rb"%s:%s" % (re.escape(prefix), names)
            element = rb"<(%s)(?=[\s/>])(?:[^>]*/>|.*?</\1\s*>)\s*" % name
            attribute = rb"""\s+%s\s*=\s*(?:"[^"]*"|'[^']*')""" % name
            found = 0
            for pattern in (element, attribute):
                xmp, count = re.subn(pattern, b"", xmp, flags=re.DOTALL)
                found += count
            if found and words and words not in lost:
                lost.append(words)
    return xmp, tuple(lost)
