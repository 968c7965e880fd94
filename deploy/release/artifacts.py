"""Wheel, source, chart and mixin of a commit, equal to the byte wherever they are built.

They are built from what is committed, by its time, with the modes of files set: neither the working
tree, the clock nor the user's umask is in them.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.release import hub
from deploy.release.images import PublishedImage

REPOSITORY = Path(__file__).parents[2]
MIXIN = "harmony-mixin"
_FILE_MODE = 0o644
_PROGRAM_MODE = 0o755


@dataclass(frozen=True)
class Source:
    """A commit, unpacked.

    Attributes:
        folder: Where its files are.
        revision: Its full name.
        epoch_s: Its time, seconds since 1970.
    """

    folder: Path
    revision: str
    epoch_s: int


@contextmanager
def unpack(revision: str) -> Iterator[Source]:
    """The files of a commit in a folder of their own, which ends with the context."""
    name = _git("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
    epoch_s = int(_git("show", "-s", "--format=%ct", name))
    with tempfile.TemporaryDirectory(prefix="harmony-release-") as folder:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", name))) as archive:
            archive.extractall(folder, filter="data")
        for path in Path(folder).rglob("*"):
            is_program = path.is_dir() or bool(path.stat().st_mode & stat.S_IXUSR)
            path.chmod(_PROGRAM_MODE if is_program else _FILE_MODE)
        yield Source(Path(folder), name, epoch_s)


def build(source: Source, target: Path, image: PublishedImage | None = None) -> list[Path]:
    """Write wheel, source distribution, chart and mixin into `target`, which must be empty.

    Args:
        source: What is built.
        target: Where to.
        image: Our image, which the chart then starts by default; None: its user builds one.

    Returns:
        The artifacts, by name.
    """
    target.mkdir(parents=True, exist_ok=True)
    before = os.umask(0o022)
    try:
        subprocess.run(
            [
                *(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist"),
                *("--outdir", str(target), str(source.folder)),
            ],
            env=os.environ | {"SOURCE_DATE_EPOCH": str(source.epoch_s), "PYTHONHASHSEED": "0"},
            check=True,
            capture_output=True,
        )
    finally:
        os.umask(before)
    (packed,) = target.glob("*.tar.gz")
    packed.write_bytes(_pack(_members(packed), source.epoch_s))
    version = _pack_chart(source, target, image)
    _pack_mixin(source, target / f"{MIXIN}-{version}.tgz")
    return sorted(target.iterdir())


def _pack_chart(source: Source, target: Path, image: PublishedImage | None) -> str:
    """Pack the chart with its annotations for Artifact Hub and our image; its version."""
    chart = source.folder / "helm" / "harmony"
    meta = yaml.safe_load((chart / "Chart.yaml").read_text())
    files = {
        f"{meta['name']}/{path.relative_to(chart)}": path.read_bytes()
        for path in chart.rglob("*")
        if path.is_file()
    }
    meta["annotations"] |= hub.annotations(source.folder, image)
    if image is not None:
        place = f"{meta['name']}/values.yaml"
        files[place] = with_image(files[place].decode(), image).encode()
    files[f"{meta['name']}/Chart.yaml"] = yaml.safe_dump(meta, sort_keys=False).encode()
    place = target / f"{meta['name']}-{meta['version']}.tgz"
    place.write_bytes(_pack(files, source.epoch_s))
    return str(meta["version"])


def with_image(values: str, image: PublishedImage) -> str:
    """The chart's values with our image in place of the one that its user has to build.

    Raises:
        ValueError: They have no such lines any more.
    """
    written = {"repository": image.repository, "digest": f"sha256:{image.digest}"}
    for name, value in written.items():
        line = re.compile(rf"(?<=\n)(image:\n(?:  .*\n)*?  {name}: ).*")
        values, n = line.subn(lambda found, value=value: f"{found[1]}{value}", values, count=1)
        if n != 1:
            raise ValueError(f"helm/harmony/values.yaml: no line for image.{name}")
    return re.sub(r"^# No image is published.*\n", "", values, flags=re.M)


def _pack_mixin(source: Source, place: Path) -> None:
    """Dashboards, alerts and recording rules, as they lie below `deploy`."""
    folder = source.folder / "deploy"
    paths = [folder / "mixin.libsonnet", *folder.glob("grafana/dashboards/*.json")]
    paths += folder.glob("prometheus/rules/*.yml")
    files = {f"{MIXIN}/{path.relative_to(folder)}": path.read_bytes() for path in paths}
    place.write_bytes(_pack(files, source.epoch_s))


def _members(packed: Path) -> dict[str, bytes]:
    with tarfile.open(packed) as archive:
        files = [(member.name, archive.extractfile(member)) for member in archive]
        return {name: file.read() for name, file in files if file is not None}


def _pack(files: Mapping[str, bytes], epoch_s: int) -> bytes:
    """A compressed archive of these files, in the order of their names, of one time and owner."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(files[name]), epoch_s, _FILE_MODE
            archive.addfile(member, io.BytesIO(files[name]))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=epoch_s) as stream:
        stream.write(plain.getvalue())
    return packed.getvalue()


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr.decode().strip() or f"git {arguments[0]} failed")
    return done.stdout
