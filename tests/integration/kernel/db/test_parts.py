"""What SQL reads from a stored spec, also from one that somebody changed by hand."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.parts import PARTS, count_in

pytestmark = pytest.mark.integration


def asked(database: Engine, expression: str, spec: str) -> object:
    statement = f"SELECT {expression} FROM (SELECT CAST(:spec AS jsonb) AS spec) w"
    with database.connect() as connection:
        return connection.execute(text(statement), {"spec": spec}).scalar_one()


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ('{"n": 4}', 4),
        ('{"n": "4"}', 4),
        ("{}", None),
        ('{"n": -4}', None),
        ('{"n": 4.5}', None),
        ('{"n": "many"}', None),
        ('{"n": {}}', None),
        ('{"n": 99999999999}', None),
        ('"no object"', None),
    ],
)
def test_a_count_is_read_or_unknown(database: Engine, spec: str, count: int | None) -> None:
    assert asked(database, count_in("w.spec", "n"), spec) == count


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ('{"variants": [{"name": "a"}], "pools": []}', ["a"]),
        ('{"variants": [], "pools": [{"name": "b"}]}', ["b"]),
        ('{"variants": 7, "pools": null}', []),
        ("{}", []),
    ],
)
def test_parts_are_variants_or_pools_or_none(database: Engine, spec: str, names: list[str]) -> None:
    found = asked(database, PARTS, spec)
    assert isinstance(found, list)
    assert [part["name"] for part in found] == names
