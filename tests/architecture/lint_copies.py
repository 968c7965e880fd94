"""`python lint_copies.py FOLDER...`: the import contracts of many trees, the linter loaded once.

To load it takes longer than to lint a small tree. Each tree is linted by a fork of its own, since
the linter finds packages by `sys.path` and by what was imported before.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from importlinter.cli import lint_imports

OUTPUT = "lint.txt"
"""Beside the configuration of a tree: the exit status in the first line, then what was said."""


def lint_here() -> int:
    """The exit status for the tree of the working directory; what is said goes to a file."""
    with Path(OUTPUT).open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        status = int(lint_imports(no_cache=True))
        sys.stdout.flush()
    return status


def main(folders: list[str]) -> None:
    """Lint each tree; its status comes before what was said."""
    for folder in folders:
        pid = os.fork()
        if pid == 0:
            os.chdir(folder)
            status = 2
            try:
                status = lint_here()
            finally:
                os._exit(status)
        _, wait_status = os.waitpid(pid, 0)
        path = Path(folder, OUTPUT)
        path.write_text(f"{os.waitstatus_to_exitcode(wait_status)}\n{path.read_text()}")


if __name__ == "__main__":
    main(sys.argv[1:])
