"""The code of an earlier release, beside the one that runs: what an upgrade begins with."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from services.kernel.errors import InvalidInput, Unavailable
from services.platform.child import ProcessSpec

LAST_RELEASE = "1a83a13a"
"""Where no tag names a release: the commit that counts as the last one."""
_ROOT = Path(__file__).parents[4]
_TIMEOUT_S = 120.0
_PREPARE = """
import sys
from datetime import UTC, datetime
from services.kernel.db.migrations import migrate
from services.kernel.db.session import make_engine
from services.kernel.security.keys import ensure_first_key
engine = make_engine(sys.argv[1])
migrate(engine)
print(ensure_first_key(engine, None, datetime.now(UTC)) or "")
"""


@dataclass(frozen=True, slots=True)
class CodeFolder:
    """A folder with all packages of some revision.

    Attributes:
        folder: The folder that holds `services`.
        name: How people call it.
    """

    folder: Path
    name: str

    def runs(self, spec: ProcessSpec) -> ProcessSpec:
        """The same process, run by this code."""
        env = {**spec.env, "PYTHONPATH": str(self.folder)}
        return replace(spec, env=env, options={**spec.options, "cwd": str(self.folder)})

    def prepare(self, database_url: str) -> str:
        """Let this code make its schema and the first key; returns the key.

        Raises:
            Unavailable: It cannot.
        """
        found = subprocess.run(
            [sys.executable, "-c", _PREPARE, database_url],
            cwd=self.folder,
            env={"PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if found.returncode:
            last = (found.stderr.strip().splitlines() or ["no output"])[-1]
            raise Unavailable(f"the code of {self.name} cannot make its schema: {last}")
        return found.stdout.strip().splitlines()[-1]


NEW_CODE = CodeFolder(_ROOT, "this code")


def old_code(asked: str | None, into: Path) -> CodeFolder | None:
    """The code that an upgrade begins with.

    Args:
        asked: A folder, or a revision of this repository; None: the last release.
        into: Folder that a revision is unpacked into.

    Returns:
        None where nothing was asked for and there is no repository that knows the last release.

    Raises:
        InvalidInput: What was asked for is neither.
    """
    if asked is not None and (Path(asked) / "services").is_dir():
        return CodeFolder(Path(asked).resolve(), asked)
    revision = asked or _last_release()
    if not unpack(revision, into, ("services", "decider", "forecaster")):
        if asked is None:
            return None
        raise InvalidInput(
            f"--old={asked}: is neither a folder with `services` nor a revision of {_ROOT}"
        )
    return CodeFolder(into, revision)


def unpack(revision: str, into: Path, parts: Sequence[str]) -> bool:
    """Put files and folders of a revision of this repository into a folder.

    Returns:
        False: there is no repository, or it has no such revision.
    """
    packed = _git("archive", "--format=tar", revision, *parts)
    if packed is None:
        return False
    into.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(into, filter="data")
    return True


def _last_release() -> str:
    """The newest tag, or the commit that counts as a release."""
    found = _git("describe", "--tags", "--abbrev=0")
    return LAST_RELEASE if found is None else found.decode().strip()


def _git(*words: str) -> bytes | None:
    """What git says; None where there is no git, no repository or no such thing in it."""
    try:
        found = subprocess.run(
            ["git", "-C", str(_ROOT), *words], capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        return None
    return None if found.returncode else found.stdout
