"""A share of a fleet has an objective, a response that decisions take, and counters to push."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.decision.beliefs.miss_data import learned_for
from services.decision.beliefs.miss_view import draws_of
from services.decision.rows.members import to_member
from services.lab.bench.api.repository import StoredHistory, store_history
from services.lab.bench.fleet.history_repository import END_AT
from services.lab.bench.fleet.objectives_repository import add_objectives
from services.lab.bench.fleet.repository import load_senders

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STEP_S = 43_200


def test_half_of_the_fleet_has_learned_what_its_requests_feel(database: Engine) -> None:
    store_history(database, StoredHistory(100, 1, STEP_S, END_AT), lambda _: None)
    with database.begin() as connection:
        add_objectives(connection, 0.5, END_AT, 7)
        rows = connection.execute(
            text(
                "SELECT w.id, w.namespace, w.name, w.step_s, w.spec::text AS spec, p.summary, "
                "p.draws FROM posteriors p JOIN workloads w ON p.scope = 'workload:' || w.id "
                "ORDER BY w.id"
            )
        ).mappings()
        found = list(rows)
        counters = {one.id: list(one.counters) for one in load_senders(connection)}
    assert len(found) == 50
    assert {row["id"] % 10 for row in found} == set(range(10)), "of all classes"
    for row in found:
        member = to_member(row)
        assert member.spec.needs_paths
        assert row["summary"]["learned_for"] == learned_for(member), "else it is not used"
        median = float(draws_of(row).load_within(0.05).mean())
        assert 0.6 * 900.0 < median < 1.2 * 900.0
    pushed = {id_ for id_, names in counters.items() if names}
    assert pushed == {row["id"] for row in found}
    assert counters[found[0]["id"]] == ["sli_ttft_total", "sli_ttft_good"]
