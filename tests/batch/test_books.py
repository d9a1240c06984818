"""Archives of strangers: what is refused, before anything is written."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from upres.batch import books
from upres.batch.books import is_book, suffix_of
from upres.batch.open_book import open_book
from upres.errors import InputError, UsageError


def zipped(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries:
            made.writestr(zipfile.ZipInfo(name), content)
    return path


def tarred(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as made:
        for member in members:
            made.addfile(member, io.BytesIO(bytes(member.size)))
    return path


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "..\\evil.png", "C:\\evil.png"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    for book in (
        zipped(tmp_path / "a.cbz", (name, b"x")),
        tarred(tmp_path / "a.tar", tarfile.TarInfo(name)),
    ):
        with pytest.raises(InputError, match="leads out of it, which is an attack"):
            open_book(book)


def test_a_device_in_a_tar_is_refused(tmp_path: Path) -> None:
    device = tarfile.TarInfo("null")
    device.type = tarfile.CHRTYPE
    with pytest.raises(InputError, match="'null' is a device or a pipe"):
        open_book(tarred(tmp_path / "a.tar", device))


def test_bombs_are_refused_by_what_they_say_and_by_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "MOST_ENTRY_BYTES", 1000)
    monkeypatch.setattr(books, "MOST_BYTES", 2500)
    monkeypatch.setattr(books, "MOST_ENTRIES", 10)
    with pytest.raises(InputError, match=r"the entry 'a\.png' has 4 KB, more than 1"):
        open_book(zipped(tmp_path / "entry.zip", ("a.png", bytes(4000))))
    with pytest.raises(InputError, match="unpacks to more than 2 KB; it may be a bomb"):
        open_book(zipped(tmp_path / "all.zip", *((f"{i}.png", bytes(900)) for i in range(3))))
    with pytest.raises(InputError, match="has more than 10 entries"):
        open_book(zipped(tmp_path / "many.zip", *((f"{i}.png", b"") for i in range(11))))
    liar = zipped(tmp_path / "liar.zip", ("a.png", bytes(900)))
    content = liar.read_bytes()
    liar.write_bytes(content.replace(struct.pack("<I", 900), struct.pack("<I", 5)))  # its size, in both headers
    book = open_book(liar)
    with pytest.raises(InputError, match=r"is larger than it says|not an archive that can be read"):
        list(book.extract(book.pictures[0]))
    book.close()


def test_an_archive_in_an_archive_is_an_entry_like_any_other(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "0.zip", ("a.png", b"x"))
    for layer in range(60):
        inner = zipped(tmp_path / f"{layer + 1}.zip", (inner.name, inner.read_bytes()))
    book = open_book(inner)
    assert book.pictures == []
    book.close()


@pytest.mark.parametrize("suffix", [".zip", ".cbz", ".epub", ".tar", ".pdf"])
@pytest.mark.parametrize(
    "content", [b"", b"no archive at all" * 50, b"PK\x03\x04" + bytes(100)], ids=["empty", "text", "cut"]
)
def test_what_is_no_book_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    if suffix == ".pdf":
        pytest.importorskip("pikepdf")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    try:
        book = open_book(path)
    except InputError as error:
        assert str(path) in str(error)
    else:  # an empty file is an empty tar archive to Python
        assert suffix == ".tar" and book.pictures == []
        book.close()


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.png", b"x"))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 8
    content[at] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is encrypted; unpack it with its password"):
        open_book(path)


def test_kinds_by_name() -> None:
    names = ("a.CBZ", "b.pdf", "c.tar.XZ", "d.tgz", "c.png", "-", "d", ".zip", "brain.nii.gz")
    assert [is_book(name) for name in names] == [True, True, True, True, False, False, False, False, False]
    for name, words in (
        ("a.cbr", "RAR archives are not read"),
        ("b.7z", "7z archives are not read"),
        ("c.tar.zst", "no Zstandard before 3.14; unpack it, or make a .tar.xz of it"),
        ("d.png.gz", "compressed files that are no tar archives"),
    ):
        with pytest.raises(UsageError, match=words):
            is_book(name)
    assert [suffix_of(Path(name)) for name in ("x/a.b.Tar.Gz", "a.tar", "a")] == [".Tar.Gz", ".tar", ""]


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2"])
def test_a_compressed_archive_that_is_damaged_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as made:
        member = tarfile.TarInfo("a.png")
        member.size = 20_000
        made.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(20_000)))
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:3], b"", content[:9000] + bytes(99) + content[9099:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"a\.tar\.{kind}"):
            book = open_book(path)
            try:
                list(book.extract(book.pictures[0]))
                book.write(tmp_path / "never", {})
            finally:
                book.close()
        (tmp_path / "never").unlink(missing_ok=True)


def test_a_file_with_holes_in_a_tar_is_refused(tmp_path: Path) -> None:
    holes = tarfile.TarInfo("a.png")
    holes.type = tarfile.GNUTYPE_SPARSE
    with pytest.raises(InputError, match=r"'a\.png' is a file with holes"):
        open_book(tarred(tmp_path / "a.tar", holes))
