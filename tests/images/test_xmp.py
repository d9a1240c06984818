from __future__ import annotations

import io

import pytest
from PIL import Image

from upres.images.io import encode_picture, read_picture
from upres.images.xmp import without_claims

HEAD = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
TAIL = b"</rdf:RDF></x:xmpmeta>"
CAMERA = b'xmlns:G="http://ns.google.com/photos/1.0/camera/"'


def packet(description: bytes) -> bytes:
    return HEAD + description + TAIL


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (
            b'<rdf:Description %s G:MotionPhoto="1" G:MotionPhotoVersion=\'1\' G:BurstID="7"/>' % CAMERA,
            b'<rdf:Description %s G:BurstID="7"/>' % CAMERA,
            "the video of a motion photo",
        ),
        (
            b"<rdf:Description %s><G:MicroVideo>1</G:MicroVideo><G:BurstID>7</G:BurstID></rdf:Description>" % CAMERA,
            b"<rdf:Description %s><G:BurstID>7</G:BurstID></rdf:Description>" % CAMERA,
            "the video of a motion photo",
        ),
        (
            b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" '
            b'hdrgm:GainMapMax="2"/>',
            b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>',
            "the gain map (brighter highlights on HDR displays)",
        ),
        (
            b'<rdf:Description xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="0123"/>',
            b'<rdf:Description xmlns:xmpNote="http://ns.adobe.com/xmp/note/"/>',
            "",
        ),
    ],
)
def test_a_claim_goes_and_the_rest_stays(before: bytes, after: bytes, lost: str) -> None:
    assert without_claims(packet(before)) == (packet(after), (lost,) if lost else ())


def test_the_list_of_parts_goes_with_what_it_lists() -> None:
    names = b'xmlns:C="http://ns.google.com/photos/1.0/container/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
    parts = b'<C:Directory><rdf:Seq><rdf:li><C:Item Mime="image/jpeg"/></rdf:li></rdf:Seq></C:Directory>'
    xmp, lost = without_claims(packet(b'<rdf:Description %s hdrgm:Version="1.0">%s</rdf:Description>' % (names, parts)))
    assert xmp == packet(b"<rdf:Description %s></rdf:Description>" % names)
    assert lost == ("the gain map (brighter highlights on HDR displays)",)


def test_what_announces_nothing_is_the_same_to_the_byte() -> None:
    plain = packet(b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="MotionPhoto=1"/>')
    assert without_claims(plain) == (plain, ())
    assert without_claims(b"no XMP") == (b"no XMP", ())


def test_a_motion_photo_says_what_is_gone() -> None:
    stream = io.BytesIO()
    xmp = packet(b'<rdf:Description %s G:MotionPhoto="1"/>' % CAMERA)
    Image.new("RGB", (8, 8)).save(stream, "JPEG", xmp=xmp)
    picture = read_picture(stream.getvalue() + b"the video")
    assert picture.notes == ("the video of a motion photo was not kept",)
    assert b"MotionPhoto=" not in encode_picture(picture, "jpeg")
