"""The workload that a request names, in a real database."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.admin.rest.service import WorkloadKey, find_workload
from services.kernel.domain import WorkloadSpec
from services.kernel.errors import NotFound
from tests.integration.admin.seeded_rows import STEP_S
from tests.integration.admin.seeded_workload import NAMES, spec_of

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_workload_is_found_with_its_step_and_its_spec(database: Engine, k: int) -> None:
    namespace, name = NAMES[k][:2]
    with database.connect() as connection:
        found = find_workload(connection, WorkloadKey(namespace, name))
        own = connection.execute(
            text("SELECT id FROM workloads WHERE name = :name"), {"name": name}
        ).scalar_one()
    assert (found.id, found.step_s) == (own, STEP_S)
    assert found.spec == WorkloadSpec.model_validate(spec_of(k))


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("llm-prod", "none"), ("diffusion", "llama-70b-chat"), ("llm-prod", "LLAMA-70B-CHAT")],
)
def test_another_is_not_there_and_the_message_names_it(
    database: Engine, namespace: str, name: str
) -> None:
    with (
        database.connect() as connection,
        pytest.raises(NotFound, match=f"workload {namespace}/{name} does not exist"),
    ):
        find_workload(connection, WorkloadKey(namespace, name))


def test_a_key_reads_as_namespace_and_name() -> None:
    assert str(WorkloadKey("llm-prod", "llama-70b-chat")) == "llm-prod/llama-70b-chat"
