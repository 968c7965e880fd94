"""SQL of the documents runs on the schema."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.unit.docs.blocks import in_language

pytestmark = pytest.mark.integration


def test_every_statement_can_be_planned(database: Engine) -> None:
    with database.connect() as connection:
        for block in in_language("sql"):
            for statement in filter(str.strip, block.text.split(";")):
                plan = connection.exec_driver_sql(f"EXPLAIN {statement}").all()
                assert plan, str(block)
