"""Shell blocks, run by bash with each program that matters replaced by one that notes its call.

So bash itself reads quotes, variables, here-documents and pipes. What a program would make of its
arguments is looked at afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.unit.docs.blocks import REPO

RECORDED = (
    *("harmony", "kubectl", "helm", "make", "curl", "docker", "cosign", "python", "pip"),
    *("pg_dump", "pg_restore", "uuidgen", "jsonnet"),
)
# Written into a file of its own for each call: programs of one pipe run at the same time.
_RECORDER = """#!/bin/sh
out=$(mktemp "$CALLS/$(ls "$CALLS" | wc -l | tr -d ' ').XXXXXX")
name=${0##*/}
[ "$1" = - ] && { shift; set -- - "$(cat)"; }
printf '%s\\0' "$name" "$@" > "$out"
[ "$name" = uuidgen ] && echo 7f0c2f5e-58a5-4a0e-9d51-1a2f7c1d9b11
exit 0
"""
# A program that is not there ends the block, also in the middle of it.
_PRELUDE = """command_not_found_handle() { echo "no such program: $1" >&2; kill -TERM $$; }
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A program and its arguments, as bash gave them."""

    program: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.program, *self.arguments))


def given() -> dict[str, str]:
    """What the documents take a reader's shell to know."""
    return {
        "DATABASE_URL": "postgresql://harmony@localhost:5432/harmony",
        "HARMONY_KEY": "hk_reader",
        "HARMONY_PUSH_TOKEN": "hk_push",
        "HARMONY_URL": "http://localhost:8080",
    }


def prepare(folder: Path) -> dict[str, str]:
    """A copy of the repository's top folder by links, and an environment with the recorders."""
    for entry in REPO.iterdir():
        if not entry.name.startswith(".") and entry.name not in {"out", "build"}:
            (folder / entry.name).symlink_to(entry)
    programs, local = folder / "programs", folder / ".venv" / "bin"
    for place in (programs, local, folder / "home", folder / "calls"):
        place.mkdir(parents=True)
    recorder = programs / "recorder"
    recorder.write_text(_RECORDER)
    recorder.chmod(0o755)
    for name in RECORDED:
        for place in (programs, local):
            (place / name).symlink_to(recorder)
    path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
    key = folder / "home" / ".config" / "harmony" / "admin-key"
    key.parent.mkdir(parents=True)
    key.write_text(given()["HARMONY_KEY"])
    home = {"HOME": str(folder / "home"), "CALLS": str(folder / "calls"), "PATH": path}
    return home | given()


def run(text: str, folder: Path) -> list[Call]:
    """Run a block in a folder of its own; the calls that it made, in order.

    Raises:
        ValueError: bash refused it, or it asked for a program or a variable that nobody has.
    """
    bash = shutil.which("bash")
    assert bash is not None, "the documents are written for bash"
    command = [bash, "--norc", "-u", "-c", _PRELUDE + text]
    done = subprocess.run(
        command, cwd=folder, env=prepare(folder), capture_output=True, text=True, check=False,
        timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode < 0 or any(
        said in done.stderr for said in ("no such program", "unbound variable", "syntax error")
    ):
        raise ValueError(f"bash: {done.stderr.strip()}")
    return [read(path) for path in sorted((folder / "calls").iterdir(), key=_number)]


def read(path: Path) -> Call:
    """A call that was written down."""
    program, *arguments = path.read_text().removesuffix("\0").split("\0")
    return Call(program, tuple(arguments))


def _number(path: Path) -> int:
    return int(path.name.partition(".")[0])
