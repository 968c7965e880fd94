"""A layout is made once and found again."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.kernel.db.steps.layouts import find_layouts, load_layouts

pytestmark = pytest.mark.integration


def test_the_order_of_names_makes_a_layout(database: Engine) -> None:
    wanted = [("a", "b"), ("b", "a"), ("a", "b"), ("a",)]
    with database.begin() as connection:
        made = find_layouts(connection, wanted)
    with database.begin() as connection:
        assert find_layouts(connection, wanted) == made
        assert load_layouts(connection, made.values()) == {id_: key for key, id_ in made.items()}
    assert len(set(made.values())) == 3


def test_a_layout_that_was_rolled_back_is_made_again(database: Engine) -> None:
    with database.connect() as connection:
        find_layouts(connection, [("a",)])
        connection.rollback()
    with database.begin() as connection:
        (id_,) = find_layouts(connection, [("a",)]).values()
    with database.connect() as connection:
        assert load_layouts(connection, [id_]) == {id_: ("a",)}
