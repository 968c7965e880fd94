"""`python -m deploy.release`: build, sign and verify a release, and write the lock."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.release import artifacts, bill, images, lock, provenance, signing

PASSWORD = "HARMONY_RELEASE_KEY_PASSWORD"  # noqa: S105 - the name of a variable
DIGESTS = "image-digests.txt"


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands; its exit status."""
    given = _parse(arguments)
    try:
        return int(given.run(given))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


def release(given: argparse.Namespace) -> int:
    """Everything of a release, signed; nothing is written unless all of it can be."""
    key = signing.load_private_key(given.key, os.environ.get(PASSWORD))
    folder: Path = given.folder
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: not empty; give another folder, or remove it")
    with artifacts.unpack(given.revision) as source:
        own = [images.own_reference(source.folder, given.image)] if given.image else []
        digests = images.resolve([*images.references(source.folder), *own])
        write_release(folder, source, digests, key)
    print(f"{folder}: {len(list(folder.iterdir()))} files of {given.revision}")
    return 0


def write_release(
    folder: Path,
    source: artifacts.Source,
    digests: dict[str, str],
    key: signing.ec.EllipticCurvePrivateKey,
) -> None:
    """Artifacts, bills, digests and provenance, each with its signature."""
    made = artifacts.build(source, folder, images.find_own(source.folder, digests))
    for artifact in made:
        place = folder / f"{artifact.name}.cdx.json"
        place.write_text(bill.make_bill(artifact, source))
    lines = [f"{name}@sha256:{digests[name]}\n" for name in sorted(digests)]
    (folder / DIGESTS).write_text("".join(lines))
    shutil.copy(source.folder / lock.LOCK, folder / lock.LOCK)
    statement = provenance.make_statement(sorted(folder.iterdir()), source, digests)
    (folder / provenance.NAME).write_text(provenance.seal(statement, key))
    for path in sorted(folder.iterdir()):
        signature = signing.sign(path.read_bytes(), key)
        path.with_name(path.name + signing.SUFFIX).write_text(signature + "\n")


def build(given: argparse.Namespace) -> int:
    """Wheel, source distribution, chart and mixin alone."""
    with artifacts.unpack(given.revision) as source:
        for artifact in artifacts.build(source, given.folder):
            print(f"{provenance.digest(artifact)}  {artifact.name}")
    return 0


def verify(given: argparse.Namespace) -> int:
    """Whether every file is signed by this key and is what the provenance names."""
    key = signing.load_public_key(given.key)
    if not given.folder.is_dir():
        raise ValueError(f"{given.folder}: no such folder")
    wrong = signing.find_wrong(given.folder, key) + provenance.find_wrong(given.folder, key)
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"{given.folder}: every file is signed by this key, and is what was built")
    return 1 if wrong else 0


def write_lock(_: argparse.Namespace) -> int:
    """Write the lock."""
    text = lock.make_lock(artifacts.REPOSITORY, lock.ask_index)
    (artifacts.REPOSITORY / lock.LOCK).write_text(text)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.release", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, run in (("release", release), ("build", build), ("verify", verify)):
        command = commands.add_parser(name, help=run.__doc__)
        command.set_defaults(run=run)
        command.add_argument("folder", type=Path)
        if name != "verify":
            command.add_argument("--revision", default="HEAD", help="what to build (HEAD)")
        if name == "release":
            command.add_argument("--image", help="where ours is published, without a tag")
        if name != "build":
            command.add_argument("--key", type=Path, required=True, help="a file in PEM")
    command = commands.add_parser("lock", help=write_lock.__doc__)
    command.set_defaults(run=write_lock)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
