"""A decision that waits for a person."""

from __future__ import annotations

import pytest
from sqlalchemy import Double, Engine, Text, bindparam, text


@pytest.fixture
def waiting(database: Engine) -> int:
    """The newest decision of sdxl-turbo, which is in mode Approval, asks for two replicas more."""
    with database.begin() as connection:
        decision = connection.execute(
            text(
                "SELECT d.id FROM decisions d JOIN workloads w ON w.id = d.workload_id "
                "WHERE w.name = 'sdxl-turbo' ORDER BY d.origin_at DESC LIMIT 1"
            )
        ).scalar_one()
        connection.execute(
            text("UPDATE decisions SET desired_replicas = current_replicas + 2 WHERE id = :id"),
            {"id": decision},
        )
    return int(decision)


def lasting(database: Engine, valid_s: object) -> None:
    """Every workload's decisions may be approved up to an age, in seconds."""
    statement = text(
        "UPDATE workloads SET spec = jsonb_set(spec, '{approval_valid_s}', to_jsonb(:valid))"
    )
    given = bindparam("valid", valid_s, type_=Double if isinstance(valid_s, float) else Text)
    with database.begin() as connection:
        connection.execute(statement.bindparams(given))
