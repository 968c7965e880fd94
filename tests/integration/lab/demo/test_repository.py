"""A demo begins in an empty database: nothing that the migrations make stays of the one before."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.migrations import current_revision, head_revision, migrate
from services.lab.demo.repository import drop_everything

pytestmark = pytest.mark.integration

MADE = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = 'cell'
UNION ALL SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


def made(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text(MADE)).scalars())


def test_nothing_stays_and_the_schema_can_be_made_again(database: Engine) -> None:
    assert len(made(database)) > 100
    drop_everything(database)
    assert made(database) == []
    migrate(database)
    assert current_revision(database) == head_revision()


def test_what_is_somebody_elses_stays(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE mine (n int)"))
        connection.execute(text("CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"))
    drop_everything(database)
    assert made(database) == ["mine", "mine"]


def test_a_demo_of_an_earlier_release_leaves_nothing_either(database: Engine) -> None:
    drop_everything(database)
    migrate(database, "0017")
    drop_everything(database)
    assert made(database) == []
    migrate(database)
    assert current_revision(database) == head_revision()
