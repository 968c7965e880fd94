"""A fleet under GPU budgets."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.integration.admin.budgets.budget_rows import Fleet


@pytest.fixture
def fleet(database: Engine) -> Fleet:
    return Fleet(database)
