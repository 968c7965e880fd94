"""Tests of the database itself, which begin with none of its partitions."""

from __future__ import annotations

import pytest


@pytest.fixture
def copied_database(template_database: str) -> str:
    """The migrated database: what is written here makes the partitions that it needs."""
    return template_database
