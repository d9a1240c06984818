"""What results say of themselves, read by a parser of XML and by ExifTool's names."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from tests.batch.collected import Folder
from tests.tiny import noise, picture
from upres.batch.job import Encoding
from upres.batch.provenance import EDITED, ENHANCED, TERMS, read_made_by
from upres.batch.record import read_record
from upres.images.io import read_picture, read_xmp, write_picture
from upres.system.files import sha256_of

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
CAMERA = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">%s'
    b"</rdf:RDF></x:xmpmeta>"
)


def said(path: Path) -> dict[str, str]:
    """All simple properties of its XMP, by name."""
    found: dict[str, str] = {}
    for node in ElementTree.fromstring(read_xmp(path) or b"<none/>").iter(f"{RDF}Description"):
        pairs = [
            *node.attrib.items(),
            *((child.tag, child.text or child.get(f"{RDF}resource") or "") for child in node),
        ]
        for name, value in pairs:
            assert name == f"{RDF}about" or name not in found, f"{name} is said twice"
            found[name] = value
    return found


def source(folder: Folder, xmp: bytes | None) -> Path:
    path = folder.inputs / "0.png"
    write_picture(replace(picture(noise(6, 7)), xmp=xmp), path)
    return path


def test_a_result_says_what_it_is_and_what_made_it(folder: Folder) -> None:
    folder.run()
    facts = said(folder.out / "0.png")
    assert facts[f"{IPTC}DigitalSourceType"] == EDITED  # of a model of the user's nothing is known
    assert facts[f"{IPTC}AISystemUsed"].startswith("upres, tiny.safetensors@")
    by = json.loads(facts["{urn:upres:1/}by"])
    assert by == read_made_by(read_xmp(folder.out / "0.png"))
    assert by["models"] == {"tiny.safetensors": sha256_of(Path(folder.model))}
    assert by["engines"] == ["fake 1 cpu fp32"] and by["codecs"].startswith("libvips 8.")
    assert by["tiles_px"] and by["processor"]
    assert read_record(folder.out / "0.png") == json.loads(facts["{urn:upres:1/}made"])


def test_a_faithful_model_enhances(folder: Folder) -> None:
    folder.run(model="compact-x2")
    facts = said(folder.out / "0.png")
    assert facts[f"{IPTC}DigitalSourceType"] == ENHANCED
    assert f"{IPTC}AISystemUsed" not in facts


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("digitalCapture", EDITED),
        ("trainedAlgorithmicMedia", TERMS + "trainedAlgorithmicMedia"),
        ("compositeSynthetic", TERMS + "compositeSynthetic"),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        b'<rdf:Description rdf:about="" xmlns:e="%s" e:DigitalSourceType="%s" e:Event="a"/>',
        b'<rdf:Description rdf:about="" xmlns:e="%s"><e:DigitalSourceType>%s</e:DigitalSourceType><e:Event>a</e:Event>'
        b"</rdf:Description>",
        b'<rdf:Description rdf:about="" xmlns:e="%s"><e:DigitalSourceType rdf:resource="%s"/><e:Event>a</e:Event>'
        b"</rdf:Description>",
    ],
    ids=["attribute", "element", "resource"],
)
def test_what_the_source_says_is_replaced_unless_it_was_generated(
    folder: Folder, form: bytes, before: str, after: str
) -> None:
    namespace, term = IPTC[1:-1].encode(), (TERMS + before).encode()
    source(folder, CAMERA % (form % (namespace, term)))
    folder.run()
    facts = said(folder.out / "0.png")
    assert facts[f"{IPTC}DigitalSourceType"] == after
    assert facts[f"{IPTC}Event"] == "a"


def test_without_provenance_nothing_is_said_and_the_job_still_goes_on(folder: Folder) -> None:
    """Also not what the source says of upres, where it is a result itself."""
    folder.run()
    (folder.out / "0.png").rename(folder.inputs / "0.png")
    silent = Encoding(provenance=False)
    other = folder.out.parent / "silent"
    folder.run(other, encoding=silent)
    assert b"upres" not in (other / "0.png").read_bytes() and b"upres" not in (other / "1.png").read_bytes()
    assert (read_picture(other / "1.png").pixels == read_picture(folder.out / "1.png").pixels).all()
    (other / "2.png").unlink()
    collection, summary = folder.run(other, encoding=silent)
    assert (summary.done, collection.kept.existing.count) == (1, 2)


def test_a_sidecar_is_a_packet_of_its_own(folder: Folder) -> None:
    folder.run(encoding=Encoding(provenance=False, sidecar=True))
    packet = (folder.out / "0.png.xmp").read_bytes()
    assert packet.startswith(b"<?xpacket begin=") and packet.rstrip().endswith(b'<?xpacket end="w"?>')
    root = ElementTree.fromstring(packet)
    (node,) = [one for one in root.iter(f"{RDF}Description") if f"{IPTC}DigitalSourceType" in one.attrib]
    assert node.attrib[f"{IPTC}DigitalSourceType"] == EDITED
    assert read_made_by(packet) is not None
