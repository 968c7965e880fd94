"""Files that appear with all that is written to them, or stay as they were."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from services.kernel.errors import InvalidInput


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file as a whole: where that fails, or is cut off, what was there before stays.

    A pipe or a terminal is written to, and so is a file in a folder that takes no other.

    Args:
        path: The file; folders above it are made.
        content: What it is to hold; text is written in UTF-8.

    Raises:
        InvalidInput: It cannot be written, as on a full disk.
    """
    raw = content.encode() if isinstance(content, str) else content
    try:
        _write(path, raw)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InvalidInput(f"{path}: cannot be written: {why}; name a file elsewhere") from error


def _write(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path.resolve()  # of a link what it leads to is replaced, not the link
    if target.exists() and not target.is_file():
        target.write_bytes(raw)
        return
    try:
        number, name = tempfile.mkstemp(prefix=f".{target.name[:80]}.", dir=target.parent)
    except OSError:
        target.write_bytes(raw)
        return
    part = Path(name)
    try:
        with os.fdopen(number, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    """Rights that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
