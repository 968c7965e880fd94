"""Lays Harmony's own files out for its layer of the image, equal to the byte whenever it is done.

    python deploy/docker/lay_out.py SOURCE ROOT

ROOT gets what an installation of SOURCE into this interpreter's environment would add to it, at the
same paths: packages with their compiled modules, metadata, programs. Times are those of
SOURCE_DATE_EPOCH (0), modes are set, and compiled modules go by their sources' hashes, not times.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import subprocess
import sys
import tempfile
from pathlib import Path

DISTRIBUTION = "harmony-gpu"


def lay_out(source: Path, root: Path, epoch_s: int) -> None:
    """Install the project in `source` below `root`, which must not be there yet.

    Raises:
        FileExistsError: `root` is there.
        subprocess.CalledProcessError: pip cannot build or install it.
    """
    root.mkdir(parents=True)
    before = os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory() as wheels:
            pip("wheel", "--no-deps", "--no-build-isolation", "-w", wheels, str(source), at=epoch_s)
            found = ("--no-index", "--find-links", wheels, DISTRIBUTION)
            quiet = ("--no-deps", "--no-compile", "--ignore-installed", "--no-warn-script-location")
            pip("install", *quiet, "--root", str(root), *found, at=epoch_s)
    finally:
        os.umask(before)
    compileall.compile_dir(
        root,
        quiet=1,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    for path in sorted(root.rglob("*"), reverse=True):  # a folder's time after what is in it
        is_program = path.is_dir() or path.parent.name == "bin"
        path.chmod(0o755 if is_program else 0o644)
        os.utime(path, (epoch_s, epoch_s))
    root.chmod(0o755)
    os.utime(root, (epoch_s, epoch_s))


def pip(*arguments: str, at: int) -> None:
    """Run this interpreter's pip without a clock, a cache or a random order of its own."""
    fixed = {"SOURCE_DATE_EPOCH": str(at), "PYTHONHASHSEED": "0", "PIP_NO_CACHE_DIR": "1"}
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, env=os.environ | fixed)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]), int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
