"""Commands on a database of two clusters that each have a workload of the same name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert, text

from services.advisory.service import AdvisoryQuery
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster, rename_cluster
from services.kernel.db.partitions import ensure_partitions
from services.kernel.errors import NotFound
from services.kernel.settings import Settings
from services.platform import costs, repository
from services.platform.capacities import learned_capacities
from services.platform.stages import explain_decision
from tests.integration.advisory.watched import SINCE
from tests.integration.decision.stored_rows import NOW, STEP, add_workload

pytestmark = pytest.mark.integration

GPUS = {"default": 1, "eu-west": 8}
DECISIONS = {"default": 11, "eu-west": 22}


@dataclass(frozen=True)
class Named:
    """Settings by the cluster that `HARMONY_CLUSTER` names."""

    settings: Settings

    def __getitem__(self, cluster: str) -> Settings:
        return self.settings.model_copy(update={"cluster": cluster})


@pytest.fixture
def named(database: Engine, settings: Settings) -> Named:
    """Two clusters, each with a workload `demo/chat` and its decision."""
    mine = add_workload(database, "chat", gpus_per_replica=GPUS["default"], sla={"epsilon": 0.05})
    with database.begin() as connection:
        add_cluster(connection, "eu-west", NOW)
        statement = text(
            "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at, "
            "cluster_id) SELECT namespace, name, :shard, step_s, spec || CAST(:own AS jsonb), "
            "created_at, updated_at, 2 FROM workloads WHERE name = 'chat' RETURNING id"
        )
        own = f'{{"gpus_per_replica": {GPUS["eu-west"]}, "sla": {{"epsilon": 0.01}}}}'
        given = {"shard": SHARDS_PER_CLUSTER, "own": own}
        theirs = connection.execute(statement, given).scalar_one()
        ensure_partitions(connection, "decisions", NOW - STEP, NOW)
        common = {
            "origin_at": NOW,
            "policy_version": "harmony-1",
            "decided_at": NOW,
            "valid_until": NOW + 3 * STEP,
            "current_replicas": 2,
            "raw_replicas": 3,
            "desired_replicas": 3,
            "direction": "up",
            "reason": "scale_up_risk",
            "rung": "forecast",
            "risk_target": 0.01,
            "cost_delta_usd_per_h": 1.0,
            "explanation": {},
        }
        rows = [
            {"id": id_, "workload_id": workload, "forecast_id": id_, **common}
            for id_, workload in zip(DECISIONS.values(), (mine, theirs), strict=True)
        ]
        connection.execute(insert(schema.decisions), rows)
    return Named(settings)


@pytest.mark.parametrize("asked", GPUS)
@pytest.mark.parametrize("of", GPUS)
def test_a_decision_is_explained_with_its_own_workload(named: Named, asked: str, of: str) -> None:
    found = explain_decision(named[asked], str(DECISIONS[of]))
    assert (found.detail.cluster, found.workload.cluster) == (of, of)
    assert found.workload.gpus_per_replica == GPUS[of]


@pytest.mark.parametrize("asked", GPUS)
def test_a_name_is_of_the_cluster_that_is_asked_for(named: Named, asked: str) -> None:
    found = explain_decision(named[asked], "demo/chat")
    assert (found.detail.id, found.workload.cluster) == (DECISIONS[asked], asked)
    (row,) = learned_capacities(named[asked], "demo", "chat")
    assert row["workload"] == "demo/chat"
    (one,) = costs.advise(named[asked], AdvisoryQuery(SINCE, "demo", "chat")).services
    assert one.promise == {"default": 0.05, "eu-west": 0.01}[asked]


def test_a_cluster_that_is_not_there_is_named(named: Named) -> None:
    for ask in (
        lambda: explain_decision(named["us"], "demo/chat"),
        lambda: learned_capacities(named["us"], "", ""),
        lambda: costs.advise(named["us"], AdvisoryQuery(SINCE)),
    ):
        with pytest.raises(NotFound, match=r"HARMONY_CLUSTER='us' .* set it to default or eu-west"):
            ask()


@pytest.mark.usefixtures("named")
def test_lists_name_each_ones_cluster(database: Engine) -> None:
    status = repository.load_status(database, FixedClock(NOW))
    decided = repository.load_decisions_at(database, {STEP // timedelta(seconds=1): NOW})
    for rows in (status, decided):
        keys = [(row["workload"], row["cluster"]) for row in rows]
        assert keys == [("demo/chat", "default"), ("demo/chat", "eu-west")]
    assert [row["promised"] for row in status] == [0.05, 0.01]


def test_of_one_cluster_nothing_is_named(database: Engine, settings: Settings) -> None:
    """Nor need anything be: its name may have changed since."""
    workload = add_workload(database, "chat")
    with database.begin() as connection:
        rename_cluster(connection, "default", "eu-west")
    (row,) = repository.load_status(database, FixedClock(NOW))
    assert row["workload"] == "demo/chat"
    assert "cluster" not in row
    with pytest.raises(NotFound, match="has no decision yet"):
        explain_decision(settings, "demo/chat")
    assert workload
    assert [row["workload"] for row in learned_capacities(settings, "", "")] == ["demo/chat"]
