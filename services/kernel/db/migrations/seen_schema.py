"""The schema of a database as this code finds it: its own, older, or newer and kept for it.

A migration states the oldest code that its schema serves (`oldest_code` of its module), and the
database holds that beside its revision. So code that does not know a revision can still be told
whether it may go on: during an upgrade, and after one that was taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, text

_FOUND = text("SELECT version_num, to_jsonb(v) ->> 'oldest_code' FROM alembic_version v")
"""In one statement, so that the two are of one moment; of before migration 0034 one is NULL."""


@dataclass(frozen=True, slots=True)
class SeenSchema:
    """The schema of a database beside the code that looks at it; revisions go up with time.

    Attributes:
        revision: Revision of the database; None: it has no schema yet.
        oldest_code: Newest revision that the oldest code which the schema serves knows; None: the
            schema is of before migration 0034 and serves code of its own revision only.
        head: Newest revision that this code knows.
    """

    revision: str | None
    oldest_code: str | None
    head: str

    @property
    def is_newer(self) -> bool:
        """Code after this one has migrated the database."""
        return self.revision is not None and self.revision > self.head

    @property
    def is_served(self) -> bool:
        """This code can work in the schema."""
        if self.is_newer:
            return self.oldest_code is not None and self.head >= self.oldest_code
        return self.revision == self.head

    @property
    def message(self) -> str:
        """What the schema is to this code, and what to do where it cannot work in it."""
        if not self.is_newer:
            if self.is_served:
                return f"database is at revision {self.revision}"
            found = f"at revision {self.revision}" if self.revision else "without a schema"
            return f"the database is {found}, this code needs {self.head}; run `harmony migrate`"
        if self.is_served:
            return (
                f"database is at revision {self.revision}, newer than this code's {self.head}, "
                "which it serves"
            )
        return (
            f"the database is at revision {self.revision}, which serves code of "
            f"{self.oldest_code or self.revision} and later, and this code's is {self.head}; "
            "run the newer image, or restore the backup of before the upgrade"
        )


def load_schema(connection: Connection, head: str) -> SeenSchema:
    """The schema of the database beside code whose newest revision is `head`."""
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return SeenSchema(None, None, head)
    found = connection.execute(_FOUND).one_or_none()
    return SeenSchema(None, None, head) if found is None else SeenSchema(found[0], found[1], head)


def note_oldest_code(
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: Collection[Any],
    run_args: Mapping[str, Any],
) -> None:
    """Store, within the transaction of a migration, the oldest code that its schema serves."""
    for script in step.destination_revisions:
        # the modules of before 0034 state none, and their schema has no place for it
        oldest_code = getattr(getattr(script, "module", None), "oldest_code", None)
        if oldest_code is not None and ctx.connection is not None:
            noted = text("UPDATE alembic_version SET oldest_code = :oldest_code")
            ctx.connection.execute(noted, {"oldest_code": oldest_code})
