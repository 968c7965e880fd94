"""Signatures by a key that is given from outside, and what verifying them finds wrong.

ECDSA on P-256 over SHA-256, as `cosign sign-blob --key` makes them, so that
`cosign verify-blob --key KEY.pub --signature FILE.sig --insecure-ignore-tlog FILE` takes them too.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SCHEME = ec.ECDSA(hashes.SHA256())
SUFFIX = ".sig"


def load_private_key(path: Path, password: str | None) -> ec.EllipticCurvePrivateKey:
    """A private key in PEM.

    Raises:
        ValueError: It cannot be read, or is of another kind.
    """
    secret = password.encode() if password else None
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), secret)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: no private key in PEM can be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(
            f"{path}: a key of another kind; `openssl ecparam -name prime256v1 -genkey` makes one"
        )
    return key


def load_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """A public key in PEM.

    Raises:
        ValueError: It cannot be read, or is of another kind.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no public key in PEM can be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError(f"{path}: a key of another kind than ECDSA")
    return key


def sign(content: bytes, key: ec.EllipticCurvePrivateKey) -> str:
    """The signature of some bytes, in Base64."""
    return base64.b64encode(key.sign(content, SCHEME)).decode()


def find_wrong(folder: Path, key: ec.EllipticCurvePublicKey) -> list[str]:
    """What is wrong with the signatures of the files in a folder, in one line each."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    signed = [path for path in files if path.suffix != SUFFIX]
    wrong = [] if signed else [f"{folder}: there is nothing in it"]
    for path in signed:
        signature = path.with_name(path.name + SUFFIX)
        if not signature.is_file():
            wrong.append(f"{path.name}: not signed")
            continue
        try:
            found = base64.b64decode(signature.read_text().strip(), validate=True)
            key.verify(found, path.read_bytes(), SCHEME)
        except (InvalidSignature, binascii.Error, UnicodeDecodeError):
            wrong.append(f"{path.name}: the signature is not that of this file by this key")
    names = {path.name for path in signed}
    wrong += [
        f"{path.name}: the file that it signs is missing"
        for path in files
        if path.suffix == SUFFIX and path.name.removesuffix(SUFFIX) not in names
    ]
    return wrong
