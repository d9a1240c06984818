"""Books in and out: pictures are replaced, all else stays; a run that was ended goes on."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inspection.made import as_picture, texture
from tests.tiny import noise, picture
from upres.images.io import encode_picture, read_header, read_picture

PNG = encode_picture(picture(noise(6, 9)), "png")
JPEG = encode_picture(picture(noise(16, 8)), "jpeg")
PAGE = b'<html><img src="images/1.jpg" width="8" height="16"/></html>'
ENTRIES = {
    "mimetype": b"application/epub+zip",
    "images/": b"",
    "page.xhtml": PAGE,
    "images/1.jpg": JPEG,
    "images/\u00e9.png": PNG,
    "bad.png": b"no picture",
    "anim.gif": b"GIF89a",
}
Command = Callable[..., tuple[str, str]]


def zip_of(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        made.comment = b"kept"
        for number, (name, content) in enumerate(ENTRIES.items()):
            entry = zipfile.ZipInfo(name, (1999, 12, 31, 23, 58, number * 2))
            entry.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o640 << 16
            made.writestr(entry, content)
    return path


def tar_of(path: Path) -> Path:
    with tarfile.open(path, "w:" + path.suffix.removeprefix(".").replace("tar", "")) as made:
        for name, content in ENTRIES.items():
            member = tarfile.TarInfo(name.rstrip("/"))
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            member.size, member.mtime, member.mode, member.uname = len(content), 1_000_000_000.25, 0o640, "someone"
            made.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "images/1.jpg"
        made.addfile(link)
    return path


def contents(path: Path) -> dict[str, bytes]:
    if ".tar" in path.name:
        with tarfile.open(path) as opened:
            files = {member.name: opened.extractfile(member) for member in opened if member.isreg()}
            return {name: file.read() for name, file in files.items() if file is not None}
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("b.epub", zip_of),
        ("b.cbz", zip_of),
        ("b.tar", tar_of),
        ("b.tar.gz", tar_of),
        ("b.tar.xz", tar_of),
        ("b.tar.bz2", tar_of),
    ],
)
def test_pictures_are_replaced_and_all_else_stays(
    tmp_path: Path, model: Path, upres: Command, name: str, make: Callable[[Path], Path]
) -> None:
    book, before = make(tmp_path / name), ENTRIES
    _, words = upres("upscale", book, "-n", model, "-o", tmp_path / "out/", code=3)
    after = contents(tmp_path / "out" / name)
    assert "bad.png" in words and "1 of 3 pictures failed" in words and ".upres-book" not in words
    for entry in ("mimetype", "page.xhtml", "bad.png", "anim.gif"):
        assert after[entry] == before[entry]
    sizes = {entry: (read_header(after[entry]).width, read_header(after[entry]).format) for entry in list(after)[-4:-2]}
    assert sizes == {"images/1.jpg": (16, "jpeg"), "images/\u00e9.png": (18, "png")}
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    first = (tmp_path / "out" / name).read_bytes()
    upres("upscale", book, "-n", model, "-o", tmp_path / "out/", "--overwrite", code=3)
    assert (tmp_path / "out" / name).read_bytes() == first


def test_a_zip_keeps_order_dates_and_attributes(tmp_path: Path, model: Path, upres: Command) -> None:
    upres("upscale", zip_of(tmp_path / "b.zip"), "-n", model, code=3)
    with zipfile.ZipFile(tmp_path / "b.zip") as one, zipfile.ZipFile(tmp_path / "b_x2.zip") as other:
        assert one.comment == other.comment
        for before, after in zip(one.infolist(), other.infolist(), strict=True):
            for field in ("filename", "date_time", "compress_type", "external_attr"):
                assert getattr(before, field) == getattr(after, field)


def test_a_tar_keeps_links_owners_and_dates(tmp_path: Path, model: Path, upres: Command) -> None:
    upres("upscale", tar_of(tmp_path / "b.tar"), "-n", model, code=3)
    with tarfile.open(tmp_path / "b.tar") as one, tarfile.open(tmp_path / "b_x2.tar") as other:
        for before, after in zip(one, other, strict=True):
            for field in ("name", "type", "mode", "mtime", "uname", "linkname"):
                assert getattr(before, field) == getattr(after, field)


def test_a_run_that_was_ended_goes_on_within_the_book(
    tmp_path: Path, model: Path, upres: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upres.batch import book_job

    book = zip_of(tmp_path / "b.cbz")
    with monkeypatch.context() as patch:
        patch.setattr(book_job, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        upres("upscale", book, "-n", model, "-o", tmp_path / "out/", code=130)
    work = tmp_path / "out" / ".upres-book-b.cbz"
    made = {path: path.stat().st_mtime_ns for path in work.glob("out-*/[!.]*")}
    assert len(made) == 2
    _, words = upres("upscale", book, "-n", model, "-o", tmp_path / "out/", code=3)
    assert words.count("kept: ") == 2
    assert not work.exists() and len(contents(tmp_path / "out" / "b.cbz")) == len(ENTRIES)


def test_another_book_of_that_name_begins_anew(tmp_path: Path, model: Path, upres: Command) -> None:
    work = tmp_path / ".upres-book-b_x2.cbz"
    (work / "png").mkdir(parents=True)
    (work / "png" / "000004-.png").write_bytes(PNG)
    (work / "source").write_text("of another book")
    upres("upscale", zip_of(tmp_path / "b.cbz"), "-n", model, code=3)
    assert read_header(contents(tmp_path / "b_x2.cbz")["images/\u00e9.png"]).width == 18


def test_a_pdf_keeps_its_text_and_pages(tmp_path: Path, model: Path, upres: Command) -> None:
    pikepdf = pytest.importorskip("pikepdf")
    scan = encode_picture(as_picture(texture(32)[:, :, None].repeat(3, axis=2)), "jpeg")
    pdf = pikepdf.new()
    rgb = bytes(range(48))
    images = {
        "/Scan": pdf.make_stream(scan, Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=32, Height=32,
                                 ColorSpace=pikepdf.Name.DeviceRGB, BitsPerComponent=8, Filter=pikepdf.Name.DCTDecode),
        "/Plain": pdf.make_stream(rgb, Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=4, Height=4,
                                  ColorSpace=pikepdf.Name.DeviceRGB, BitsPerComponent=8),
        "/Mask": pdf.make_stream(b"\xf0", Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=4, Height=1,
                                 ImageMask=True, BitsPerComponent=1),
    }  # fmt: skip
    font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    text = b"q 100 0 0 100 0 0 cm /Scan Do Q BT /F1 12 Tf 3 Tr (hidden words) Tj ET"
    for _ in range(2):
        pdf.add_blank_page(page_size=(100, 100))
        page = pdf.pages[-1]
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(images), Font=pikepdf.Dictionary(F1=font))
        page.Contents = pdf.make_stream(text)
    pdf.save(tmp_path / "b.pdf")

    _, words = upres("upscale", tmp_path / "b.pdf", "-n", model)
    assert "note: " in words and "1 x mask left as it is" in words and "2 pictures done" in words
    with pikepdf.open(tmp_path / "b_x2.pdf") as made:
        assert len(made.pages) == 2
        for page in made.pages:
            assert page.Contents.read_bytes() == text
            sizes = {name: (int(image.Width), int(image.Height)) for name, image in page.Resources.XObject.items()}
            assert sizes == {"/Scan": (64, 64), "/Plain": (8, 8), "/Mask": (4, 1)}
        decoded = pikepdf.PdfImage(made.pages[0].Resources.XObject["/Plain"]).as_pil_image()
        assert decoded.size == (8, 8)
        raw = made.pages[0].Resources.XObject["/Scan"].read_raw_bytes()
        assert read_picture(raw).pixels.shape == (64, 64, 3)


def test_books_in_folders_are_told_and_taken_when_asked(tmp_path: Path, model: Path, upres: Command) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    (inputs / "deep").mkdir(parents=True)
    zip_of(inputs / "a.cbz")
    tar_of(inputs / "deep" / "b.tar.gz")
    (inputs / "c.cbr").write_bytes(b"Rar!")
    (inputs / "d.png").write_bytes(PNG)
    command = ("upscale", inputs, "-r", "-n", model, "-o", out)
    words = upres(*command)[1]
    assert "skipped: 2 x archive or book (--books includes them)" in words
    assert "1 x archive or book that is not read (RAR archives are not read" in words
    words = upres(*command, "--books", code=3)[1]  # of the broken pictures
    assert "skipped: 1 x archive or book that is not read" in words and "includes them" not in words
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() and path.name[0] != "."}
    assert files == {"a.cbz", "deep/b.tar.gz", "d.png"}
    assert read_header(contents(out / "deep" / "b.tar.gz")["images/\u00e9.png"]).width == 18
    assert "kept: 2 results exist" in upres(*command, "--books")[1]


def test_books_in_a_folder_beside_themselves(tmp_path: Path, model: Path, upres: Command) -> None:
    zip_of(tmp_path / "b.cbz")
    for _ in range(2):  # the result of the first run is no input of the second
        upres("upscale", tmp_path, "--books", "-n", model, code=3 if _ == 0 else 0)
        assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".cbz") == ["b.cbz", "b_x2.cbz"]


def test_books_of_one_name_are_refused(tmp_path: Path, model: Path, upres: Command) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        zip_of(tmp_path / place / "b.cbz")
    command = ("upscale", tmp_path / "a" / "b.cbz", tmp_path / "b" / "b.cbz", "-n", model, "-o", f"{tmp_path}/out/")
    assert "have the same output" in upres(*command, code=2)[1]
    assert not (tmp_path / "out").exists()


def test_what_is_refused(tmp_path: Path, model: Path, upres: Command) -> None:
    book = zip_of(tmp_path / "b.cbz")
    for arguments, words in (
        (("-o", "out.zip"), "the result of"),
        (("--format", "webp"), "keep their names, and so their formats"),
        (("-o", book, "--overwrite"), "would overwrite it"),
    ):
        assert words in upres("upscale", book, "-n", model, *arguments, code=2)[1]
    assert "contains no pictures" in upres("upscale", empty(tmp_path), "-n", model, code=3)[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.cbz", "empty.zip"]


def empty(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "empty.zip", "w") as made:
        made.writestr("notes.txt", "nothing")
    return folder / "empty.zip"
