"""Waits until the database has the schema of this image, which `harmony migrate` makes.

A pod that started earlier would end with an error, be started again ever more slowly, and lose
minutes. The wait is bounded: what never comes is then shown by the pod's status.

With `--reachable` it waits for the database only: the migration itself does.
"""

from __future__ import annotations

import os
import sys
import time

from sqlalchemy.exc import SQLAlchemyError

from services.kernel.db.migrations import current_revision, head_revision
from services.kernel.db.session import make_engine
from services.kernel.errors import ConfigurationError

LIMIT_S = float(os.environ.get("HARMONY_WAIT_LIMIT_S", "600"))
PAUSE_S = 2.0


def state(url: str, wanted: str) -> str:
    """What is in the way; nothing when the schema is there."""
    try:
        found = current_revision(make_engine(url))
    except SQLAlchemyError as error:
        return f"database cannot be reached: {str(error).splitlines()[0]}"
    if not wanted or found == wanted:
        return ""
    return f"database is at revision {found or 'none'}, waiting for {wanted} (harmony migrate)"


def main(arguments: list[str]) -> int:
    """0: it is there; 1: it did not come; 2: a wrong URL."""
    wanted, said = "" if "--reachable" in arguments else head_revision(), ""
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        try:
            now = state(os.environ.get("HARMONY_DATABASE_URL", ""), wanted)
        except ConfigurationError as error:
            print(error.message, file=sys.stderr)
            return 2
        if not now:
            print(f"database is at revision {wanted}" if wanted else "database answers")
            return 0
        if now != said:
            print(now, flush=True)
            said = now
        if time.monotonic() > deadline_s:
            print(f"gave up after {LIMIT_S:.0f} s", file=sys.stderr)
            return 1
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
