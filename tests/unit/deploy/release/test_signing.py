"""Signatures: a tampered file, another key and a missing signature are each found."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from deploy.release import signing


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def signed(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    for name in ("a.whl", "b.tgz"):
        (folder / name).write_bytes(name.encode() * 100)
        signature = signing.sign((folder / name).read_bytes(), key)
        (folder / f"{name}.sig").write_text(signature + "\n")
    return folder


def test_what_was_signed_is_right(signed: Path, key: ec.EllipticCurvePrivateKey) -> None:
    assert signing.find_wrong(signed, key.public_key()) == []


def test_one_changed_byte_is_found(signed: Path, key: ec.EllipticCurvePrivateKey) -> None:
    content = bytearray((signed / "a.whl").read_bytes())
    content[7] ^= 1
    (signed / "a.whl").write_bytes(content)
    (wrong,) = signing.find_wrong(signed, key.public_key())
    assert wrong == "a.whl: the signature is not that of this file by this key"


def test_another_key_is_found(signed: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert len(signing.find_wrong(signed, other)) == 2


def test_a_missing_or_spoilt_signature_is_found(
    signed: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    (signed / "a.whl.sig").unlink()
    (signed / "b.tgz.sig").write_text("no base64!")
    first, second = signing.find_wrong(signed, key.public_key())
    assert first == "a.whl: not signed"
    assert second.startswith("b.tgz: the signature is not")


def test_a_missing_file_and_an_empty_folder_are_found(
    signed: Path, tmp_path: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    (signed / "a.whl").unlink()
    assert signing.find_wrong(signed, key.public_key()) == [
        "a.whl.sig: the file that it signs is missing"
    ]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert signing.find_wrong(empty, key.public_key()) == [f"{empty}: there is nothing in it"]


def test_keys_are_read_and_others_refused(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = serialization.Encoding.PEM
    private = tmp_path / "private.pem"
    locked = serialization.BestAvailableEncryption(b"secret")
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
    assert signing.load_private_key(private, "secret").curve.name == "secp256r1"
    for password in (None, "wrong"):
        with pytest.raises(ValueError, match="no private key in PEM can be read"):
            signing.load_private_key(private, password)
    other = tmp_path / "other.pem"
    other.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(ValueError, match="a key of another kind"):
        signing.load_private_key(other, None)
    with pytest.raises(ValueError, match="no public key in PEM can be read"):
        signing.load_public_key(private)
