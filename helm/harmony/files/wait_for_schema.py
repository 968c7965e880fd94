"""Waits until the database has a schema that serves this image; `harmony migrate` makes it.

A pod that started earlier would end with an error, be started again ever more slowly, and lose
minutes. The wait is bounded: what never comes is then shown by the pod's status. A schema that a
newer image made serves this one or it does not (docs/operations.md, Rollback): nothing comes of
waiting.

During an upgrade the pods of the image before run it too: it needs of an image what each has.

With `--reachable` it waits for the database only: the migration itself does.
"""

from __future__ import annotations

import os
import sys
import time

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from services.kernel.db.migrations import current_revision, head_revision
from services.kernel.db.session import make_engine
from services.kernel.errors import ConfigurationError

LIMIT_S = float(os.environ.get("HARMONY_WAIT_LIMIT_S", "600"))
PAUSE_S = 2.0
OLDEST_CODE = text("SELECT to_jsonb(v) ->> 'oldest_code' FROM alembic_version v")


def state(url: str, own: str) -> str:
    """What is in the way; nothing when the schema serves code of the revision `own`.

    Raises:
        ConfigurationError: The URL is wrong, or the schema is newer and does not serve it.
    """
    try:
        engine = make_engine(url)
        found = current_revision(engine)
        if not own or found == own:
            return ""
        if found is None or found < own:
            return f"database is at revision {found or 'none'}, waiting for {own} (harmony migrate)"
        with engine.connect() as connection:
            oldest = connection.execute(OLDEST_CODE).scalar()
    except SQLAlchemyError as error:
        return f"database cannot be reached: {str(error).splitlines()[0]}"
    if oldest is not None and own >= oldest:
        return ""
    raise ConfigurationError(
        f"the database is at revision {found}, which serves code of {oldest or found} and later, "
        f"and this code's is {own}; run the newer image, or restore the backup of before the "
        "upgrade"
    )


def main(arguments: list[str]) -> int:
    """0: it is there; 1: it did not come; 2: a wrong URL, or a schema that is too new."""
    own, said = "" if "--reachable" in arguments else head_revision(), ""
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        try:
            now = state(os.environ.get("HARMONY_DATABASE_URL", ""), own)
        except ConfigurationError as error:
            print(error.message, file=sys.stderr)
            return 2
        if not now:
            print(f"database serves code of revision {own}" if own else "database answers")
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
