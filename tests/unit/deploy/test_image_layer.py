"""Harmony's own layer of the image: equal to the byte twice, and what an installation would add."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.docker.lay_out import lay_out
from deploy.release import artifacts
from deploy.release.artifacts import REPOSITORY

EPOCH_S = 1_767_571_200
DOCKERFILE = (REPOSITORY / "deploy/docker/Dockerfile").read_text()


def listed(root: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, time and content of everything in a folder: what an archive of it would hold."""
    found = {}
    for path in sorted(root.rglob("*")):
        seen = path.stat()
        content = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (seen.st_mode, int(seen.st_mtime), content)
    return found


def laid_out(folder: Path, umask: int) -> Path:
    """The layer of the last commit, made in a folder by somebody with a umask."""
    root = folder / "layer"
    before = os.umask(umask)
    try:
        with artifacts.unpack("HEAD") as source:
            lay_out(source.folder, root, EPOCH_S)
    finally:
        os.umask(before)
    return root


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("needs the repository's history")
    return laid_out(tmp_path_factory.mktemp("first"), 0o022)


@pytest.mark.slow
def test_two_layers_are_equal_to_the_byte(layer: Path, tmp_path: Path) -> None:
    other = laid_out(tmp_path / "elsewhere", 0o077)
    assert listed(other) == listed(layer)
    assert {seen[1] for seen in listed(layer).values()} == {EPOCH_S}


@pytest.mark.slow
def test_it_has_compiled_packages_and_programs(layer: Path) -> None:
    (site,) = layer.rglob("site-packages")
    assert (site / "services/cli/application.py").is_file()
    (compiled,) = (site / "services/cli/__pycache__").glob("application.*.pyc")
    flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
    assert flags == 0b01, "by its source's hash, and not checked: times differ in a container"
    assert str(layer).encode() not in compiled.read_bytes(), "no path of where it was made"
    (program,) = layer.rglob("bin/harmony")
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    (record,) = site.glob("harmony_gpu-*.dist-info/RECORD")
    assert "direct_url.json" not in record.read_text()
    tops = {path.name for path in site.iterdir()}
    assert tops == {"forecaster", "decider", "services", record.parent.name}


@pytest.mark.slow
def test_it_runs_from_where_it_lies(layer: Path) -> None:
    (site,) = layer.rglob("site-packages")
    asked = [sys.executable, "-c", "import services.cli as c; print(c.__file__)"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(asked, env=env, capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.startswith(str(site))


def test_the_image_has_it_above_what_others_wrote() -> None:
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S))
    assert "lay_out.py . /ours" in stages["ours"]
    own, others = "COPY --from=ours /ours /", "COPY --from=build /opt/harmony /opt/harmony"
    assert stages["layer"].split("\n#")[0].strip() == own
    assert stages["runtime"].index(others) < stages["runtime"].index(own)
    assert "pip uninstall --yes harmony-gpu" in stages["build"]
    for stage in ("build", "ours"):  # what the project's metadata names must be there
        assert "COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./" in stages[stage]
