"""Provenance: the envelope is signed, and names the very files beside it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.release import provenance
from deploy.release.artifacts import Source

KEY = ec.derive_private_key(7, ec.SECP256R1())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "release"
    place.mkdir()
    (place / "a.whl").write_bytes(b"wheel")
    source = Source(tmp_path, "c0ffee", 1_700_000_000)
    statement = provenance.make_statement([place / "a.whl"], source, {"python:3": "0" * 64})
    (place / provenance.NAME).write_text(provenance.seal(statement, KEY))
    return place


def test_the_statement_names_commit_files_and_images(folder: Path) -> None:
    envelope = json.loads((folder / provenance.NAME).read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    (subject,) = statement["subject"]
    assert subject["name"] == "a.whl"
    assert len(subject["digest"]["sha256"]) == 64
    commit, image = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert commit["digest"] == {"gitCommit": "c0ffee"}
    assert image == {"uri": "python:3", "digest": {"sha256": "0" * 64}}


def test_what_was_sealed_is_right(folder: Path) -> None:
    assert provenance.find_wrong(folder, KEY.public_key()) == []


def test_another_file_is_found(folder: Path) -> None:
    (folder / "a.whl").write_bytes(b"other")
    (wrong,) = provenance.find_wrong(folder, KEY.public_key())
    assert wrong == f"a.whl: not the file that {provenance.NAME} names"
    (folder / "a.whl").unlink()
    assert "missing" in provenance.find_wrong(folder, KEY.public_key())[0]


def test_a_changed_statement_and_another_key_are_found(folder: Path) -> None:
    other = ec.derive_private_key(8, ec.SECP256R1())
    assert "this key" in provenance.find_wrong(folder, other.public_key())[0]
    envelope = json.loads((folder / provenance.NAME).read_text())
    payload = base64.b64decode(envelope["payload"]).replace(b"c0ffee", b"c0ffe0")
    envelope["payload"] = base64.b64encode(payload).decode()
    (folder / provenance.NAME).write_text(json.dumps(envelope))
    assert "this key" in provenance.find_wrong(folder, KEY.public_key())[0]


def test_a_missing_envelope_is_found(folder: Path) -> None:
    (folder / provenance.NAME).unlink()
    assert provenance.find_wrong(folder, KEY.public_key()) == [f"{provenance.NAME}: missing"]
