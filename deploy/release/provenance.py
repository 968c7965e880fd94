"""Where artifacts come from: an in-toto statement with SLSA provenance, in a DSSE envelope.

Formats: https://in-toto.io/Statement/v1, https://slsa.dev/provenance/v1 and the Dead Simple Signing
Envelope, version 1.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.release.artifacts import Source
from deploy.release.signing import SCHEME, sign

PAYLOAD_TYPE = "application/vnd.in-toto+json"
NAME = "provenance.intoto.jsonl"
_BUILD_TYPE = "https://harmony.dev/release/v1"


def make_statement(
    artifacts: Sequence[Path], source: Source, images: Mapping[str, str]
) -> dict[str, Any]:
    """What was built of which commit.

    Args:
        artifacts: Files of the release.
        source: The commit.
        images: Digests of base images, by reference.
    """
    dependencies: list[dict[str, Any]] = [
        {"uri": "git+.", "digest": {"gitCommit": source.revision}},
        *({"uri": name, "digest": {"sha256": images[name]}} for name in sorted(images)),
    ]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": path.name, "digest": {"sha256": digest(path)}} for path in sorted(artifacts)
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {"command": "make release"},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {"id": "https://harmony.dev/release/by-hand"}},
        },
    }


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def seal(statement: Mapping[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """The statement in a signed envelope, as a line of JSON."""
    payload = json.dumps(statement, sort_keys=True).encode()
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": sign(_before_signing(payload), key)}],
    }
    return json.dumps(envelope) + "\n"


def find_wrong(folder: Path, key: ec.EllipticCurvePublicKey) -> list[str]:
    """What is wrong between the envelope in a folder and the artifacts beside it."""
    place = folder / NAME
    if not place.is_file():
        return [f"{NAME}: missing"]
    try:
        envelope = json.loads(place.read_text())
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        key.verify(signature, _before_signing(payload), SCHEME)
        subjects = json.loads(payload)["subject"]
    except (InvalidSignature, ValueError, KeyError, IndexError):
        return [f"{NAME}: not an envelope that this key signed"]
    wrong = []
    for subject in subjects:
        path = folder / subject["name"]
        if not path.is_file():
            wrong.append(f"{subject['name']}: missing, although {NAME} names it")
        elif digest(path) != subject["digest"]["sha256"]:
            wrong.append(f"{subject['name']}: not the file that {NAME} names")
    return wrong


def _before_signing(payload: bytes) -> bytes:
    """The pre-authentication encoding of DSSE, version 1: what is signed of an envelope."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
