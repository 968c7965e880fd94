"""A release of the last commit: equal to the byte twice, described, signed, and checked."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.release import __main__ as program, artifacts, hub, images
from deploy.release.artifacts import REPOSITORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="needs the repository's history"),
]
DIGEST = "cd" * 32


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throwaway key; its public half is beside it."""
    folder = tmp_path_factory.mktemp("keys")
    made = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    (folder / "private.pem").write_bytes(
        made.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "public.pem").write_bytes(
        made.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return folder / "private.pem"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Path:
    folder = tmp_path_factory.mktemp("release") / "first"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "resolve", lambda names: dict.fromkeys(names, DIGEST))
        assert program.main(["release", str(folder), "--key", str(key)]) == 0
    return folder


def test_two_builds_are_equal_to_the_byte(released: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with artifacts.unpack("HEAD") as source:
            made = artifacts.build(source, tmp_path / "second")
    finally:
        os.umask(before)
    assert [path.suffix for path in made] == [".tgz", ".tgz", ".whl", ".gz"]
    for path in made:
        assert path.read_bytes() == (released / path.name).read_bytes(), path.name


def test_artifacts_hold_what_they_should(released: Path) -> None:
    (wheel,) = released.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "services/cli/application.py" in names
    assert any(name.endswith(".js") and "vendor" in name for name in names)
    assert {f"services/forecasting/registry/prior.{kind}" for kind in ("safetensors", "json")} <= {
        *names
    }
    assert not [name for name in names if name.startswith(("tests/", "deploy/", "docs/"))]
    (source,) = released.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        assert len({member.mtime for member in archive}) == 1
    (chart,) = (path for path in released.glob("*.tgz") if "mixin" not in path.name)
    with helm_python.Chart.load(chart) as loaded:
        assert loaded.name == "harmony"
    with tarfile.open(chart) as archive:
        file = archive.extractfile("harmony/Chart.yaml")
        assert file is not None
        annotations = yaml.safe_load(file.read())["annotations"]
    assert "artifacthub.io/license" in annotations
    assert annotations == annotations | hub.annotations(REPOSITORY)
    (mixin,) = released.glob("harmony-mixin-*.tgz")
    with tarfile.open(mixin) as archive:
        names = archive.getnames()
    assert "harmony-mixin/mixin.libsonnet" in names
    assert len([name for name in names if name.endswith(".json")]) == 5


def test_bills_are_valid_and_name_what_is_taken_along(released: Path) -> None:
    bills = sorted(released.glob("*.cdx.json"))
    assert len(bills) == 4
    names: dict[str, set[str]] = {}
    for path in bills:
        text = path.read_text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        content: dict[str, Any] = json.loads(text)
        names[path.name] = {each["name"] for each in content.get("components", ())}
    wheel = next(found for name, found in names.items() if ".whl" in name)
    assert {"torch", "nflows", "pymc", "fastapi", "celery"} <= wheel
    assert "pytest" not in wheel
    mixin = next(name for name in names if "mixin" in name)
    assert names.pop(mixin) == set()  # dashboards and rules alone
    chart = next(found for name, found in names.items() if ".tgz" in name)
    assert chart == {"postgres", "valkey/valkey"}


def test_it_verifies_and_what_was_changed_does_not(
    released: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = str(key.with_name("public.pem"))
    assert program.main(["verify", str(released), "--key", public]) == 0
    copy = tmp_path / "copy"
    shutil.copytree(released, copy)
    with next(copy.glob("*.whl")).open("ab") as file:
        file.write(b"x")
    capsys.readouterr()
    assert program.main(["verify", str(copy), "--key", public]) == 1
    said = capsys.readouterr().err
    assert "the signature is not that of this file" in said
    assert "not the file that provenance" in said


def test_a_folder_that_is_not_empty_and_a_key_that_is_none_are_refused(
    released: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["release", str(released), "--key", str(key)]) == 2
    assert "not empty" in capsys.readouterr().err
    wrong = str(key.with_name("public.pem"))
    assert program.main(["release", str(tmp_path / "new"), "--key", wrong]) == 2
    assert "no private key in PEM" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_without_digests_nothing_is_written(
    key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(images.shutil, "which", lambda _: None)
    assert program.main(["release", str(tmp_path / "new"), "--key", str(key)]) == 2
    assert "a release without them is refused" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
