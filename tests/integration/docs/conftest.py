"""The servers that the documents talk to: both APIs over a seeded fleet."""

from __future__ import annotations

from tests.integration.admin.conftest import (  # noqa: F401 - fixtures
    copied_database,
    deps,
    seeded,
    seeded_template,
)
