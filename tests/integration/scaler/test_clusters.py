"""A scaler of one cluster advises for its workloads, whatever another has of the same names."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.clock import FixedClock
from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster
from services.kernel.errors import NotFound
from services.kernel.settings import Settings
from services.scaler.main import make_deps
from services.scaler.service import FleetFacts, ScalerDeps, advise_one
from tests.integration.scaler.conftest import NAMESPACE, Rows

pytestmark = pytest.mark.integration


def scaler(settings: Settings, clock: FixedClock, cluster: str) -> ScalerDeps:
    deps = make_deps(settings.model_copy(update={"cluster": cluster}))
    return ScalerDeps(deps.engine, clock, deps.settings)


def test_each_scaler_advises_for_its_own(
    database: Engine, settings: Settings, clock: FixedClock
) -> None:
    rows = Rows(database, clock, settings.step_s)
    mine, only_mine = rows.register("llama"), rows.register("mine")
    rows.decide(mine, 4)
    rows.decide(only_mine, 5)
    with database.begin() as connection:
        add_cluster(connection, "other", clock.now())
        theirs = connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at, cluster_id) SELECT namespace, name, :shard, step_s, spec, created_at, "
                "updated_at, 2 FROM workloads WHERE name = 'llama' RETURNING id"
            ),
            {"shard": SHARDS_PER_CLUSTER},
        ).scalar_one()
    rows.decide(theirs, 9)
    for cluster, counts in (("default", {"llama": 4, "mine": 5}), ("other", {"llama": 9})):
        deps, facts = scaler(settings, clock, cluster), FleetFacts()
        facts.refresh(deps)
        assert {key[1]: each.decision.desired for key, each in facts.facts.items()} == counts
        assert advise_one(deps, (NAMESPACE, "llama")).count == counts["llama"]
    with pytest.raises(NotFound):
        advise_one(scaler(settings, clock, "other"), (NAMESPACE, "mine"))
