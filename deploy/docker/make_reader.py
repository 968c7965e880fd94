"""Makes the role that Grafana reads with: runs reader.sql, sets its password from a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg
from psycopg import sql


def main(statements: Path, password: Path) -> int:
    """Run it as the owner of the schema, whom HARMONY_DATABASE_URL names; again is harmless."""
    given = sql.Literal(password.read_text().strip())
    with psycopg.connect(os.environ["HARMONY_DATABASE_URL"]) as connection:
        connection.execute(statements.read_bytes())
        connection.execute(sql.SQL("ALTER ROLE harmony_reader PASSWORD {}").format(given))
    print("harmony_reader may read")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
