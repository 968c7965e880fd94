"""Tests of what writes its rows by statements of its own, and so makes its own partitions."""

from __future__ import annotations

import pytest


@pytest.fixture
def copied_database(template_database: str) -> str:
    """The migrated database, in which no partition has been made for anyone."""
    return template_database
