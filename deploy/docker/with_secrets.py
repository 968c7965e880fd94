"""Runs a command with variables from files: NAME__FILE=/path becomes NAME, the file's content.

So secrets are in files that a container mounts, not in what `docker inspect` shows.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

MARK = "__FILE"


def with_secrets(environ: dict[str, str]) -> dict[str, str]:
    """`environ` with every NAME__FILE replaced.

    Raises:
        OSError: A file cannot be read.
    """
    found = {name: value for name, value in environ.items() if not name.endswith(MARK)}
    for name in environ.keys() - found.keys():
        found[name.removesuffix(MARK)] = Path(environ[name]).read_text().strip()
    return found


def main(command: list[str]) -> NoReturn:
    """Become `command`; end with 2 where a secret cannot be read."""
    try:
        environ = with_secrets(dict(os.environ))
    except OSError as error:
        print(
            f"{error.filename}: {error.strerror}; did the service `secrets` end?", file=sys.stderr
        )
        sys.exit(2)
    os.execvpe(command[0], command, environ)  # noqa: S606  # an argument list, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
