"""Signed results, validated by c2pa-python's own reader. Needs the extra `c2pa`, and cryptography for a certificate."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.batch.test_animated import animation
from tests.tiny import noise, picture
from upres.batch import c2pa_signing
from upres.errors import EngineError, UsageError
from upres.images.animation import count_frames, read_animation
from upres.images.io import write_picture

Command = Callable[..., tuple[str, str]]


@pytest.fixture
def credentials(tmp_path: Path) -> str:
    """A certificate of our own authority, as https://opensource.contentauthenticity.org asks for."""
    pytest.importorskip("c2pa")
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        parts = ((NameOID.COMMON_NAME, text), (NameOID.ORGANIZATION_NAME, "Test"))
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])

    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    def certificate(subject: str, key: Any, authority: bool) -> bytes:
        uses = {use: False for use in ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")}
        uses |= {"key_cert_sign": authority, "crl_sign": authority, "encipher_only": False, "decipher_only": False}
        made = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(digital_signature=True, **uses), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        )
        if not authority:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        return made.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "certs.pem").write_bytes(certificate("own", own, False) + certificate("authority", root, True))
    (tmp_path / "key.pem").write_bytes(own.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return f"{tmp_path / 'certs.pem'},{tmp_path / 'key.pem'}"


@pytest.mark.extras
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "avif"])
def test_a_signed_result_is_valid_until_it_is_changed(
    tmp_path: Path, model: Path, credentials: str, ending: str, upres: Command
) -> None:
    import c2pa

    write_picture(picture(noise(20, 30)), tmp_path / "photo.png")
    result = tmp_path / f"result.{ending}"
    upres("upscale", tmp_path / "photo.png", "-n", model, "-o", result, "--c2pa", credentials)
    assert state_of(result) == "Valid"
    reader = c2pa.Reader(str(result))
    store = json.loads(reader.json())
    manifest = store["manifests"][store["active_manifest"]]
    (source,) = manifest["ingredients"]
    assert (source["title"], source["relationship"]) == ("photo.png", "parentOf")
    (actions,) = (one["data"]["actions"] for one in manifest["assertions"] if one["label"] == "c2pa.actions.v2")
    assert [one["action"] for one in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert actions[1]["parameters"]["upres.model"].startswith("tiny-x2.safetensors@")
    words, told = upres("verify", result, tmp_path / "photo.png", "-n", model)
    assert words == f"{result}: within one level\n" and "made with another signature" in told
    content = bytearray(result.read_bytes())
    content[-30] ^= 1
    result.write_bytes(content)
    assert state_of(result) != "Valid"


@pytest.mark.extras
@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_a_signed_animation_is_valid_and_still_moves(
    tmp_path: Path, model: Path, credentials: str, ending: str, upres: Command
) -> None:
    animation(tmp_path / "moving.gif")
    result = tmp_path / f"result.{ending}"
    _, told = upres("upscale", tmp_path / "moving.gif", "-n", model, "-o", result, "--c2pa", credentials)
    assert ("gif has no XMP that says what made it; --sidecar writes" in told) == (ending == "gif")
    if ending == "gif":
        upres("upscale", tmp_path / "moving.gif", "-n", model, "-o", result, "--overwrite", "--sidecar",
              "--c2pa", credentials)  # fmt: skip
    assert state_of(result) == "Valid"
    assert count_frames(result) == count_frames(tmp_path / "moving.gif") > 1
    assert read_animation(result).delays_ms == read_animation(tmp_path / "moving.gif").delays_ms
    words, told = upres("verify", result, tmp_path / "moving.gif", "-n", model)
    assert words == f"{result}: within one level\n" and "made with another signature" in told


def state_of(path: Path) -> str:
    import c2pa

    try:
        return c2pa.Reader(str(path)).get_validation_state()
    except c2pa.C2paError as error:
        return str(error)


@pytest.mark.extras
def test_credentials_that_cannot_sign_are_refused_before_any_work(tmp_path: Path, credentials: str) -> None:
    certificates, _, key = credentials.partition(",")
    with pytest.raises(UsageError, match="no picture can be signed with"):
        c2pa_signing.check_credentials(f"{certificates},{certificates}")
    with pytest.raises(UsageError, match="must be CERTIFICATES,KEY"):
        c2pa_signing.check_credentials(certificates)
    with pytest.raises(UsageError, match=r"cannot read .*none\.pem: No such file"):
        c2pa_signing.check_credentials(f"{tmp_path / 'none.pem'},{key}")
    (tmp_path / "text.pem").write_text("a certificate")
    with pytest.raises(UsageError, match="is not a PEM file"):
        c2pa_signing.check_credentials(f"{tmp_path / 'text.pem'},{key}")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.system.packages.has_module", lambda module: False)
    with pytest.raises(EngineError, match=r"`c2pa` needs c2pa-python, which.*pip install 'upres\[c2pa\]'"):
        c2pa_signing.check_credentials("nobody.pem,nothing.pem")
