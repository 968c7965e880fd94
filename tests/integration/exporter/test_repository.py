"""The newest rows of each active workload, and no longer than they are there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from services.exporter import metrics, repository
from services.exporter.metrics import WORKLOAD_METRICS
from services.exporter.repository import FleetPart
from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster
from tests.exported import exported, page_of
from tests.integration.admin.seeded_fleet import NOW, seed_fleet
from tests.integration.exporter.fleet_rows import LLAMA, STEP_S, write_fleet
from tests.integration.statement_costs import grown, statement_costs

pytestmark = pytest.mark.integration


def samples(page: str) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """Name and labels of each series."""
    families = text_string_to_metric_families(page)
    return [(s.name, tuple(sorted(s.labels.items()))) for f in families for s in f.samples]


def workloads_of(page: str) -> set[tuple[str, str, str]]:
    return {
        (labels["cluster"], labels["namespace"], labels["workload"])
        for _, pairs in samples(page)
        if (labels := dict(pairs))
    }


def test_figures_are_those_of_the_newest_rows(database: Engine) -> None:
    seed_fleet(database)
    with database.connect() as connection:
        newest = connection.execute(
            text(
                "SELECT d.desired_replicas, d.risk_estimated, s.spec_replicas FROM workloads w "
                "JOIN LATERAL (SELECT * FROM decisions WHERE workload_id = w.id "
                "  ORDER BY origin_at DESC LIMIT 1) d ON true "
                "JOIN LATERAL (SELECT * FROM replica_states WHERE workload_id = w.id "
                "  ORDER BY observed_at DESC LIMIT 1) s ON true WHERE w.name = 'llama-70b-chat'"
            )
        ).one()
    for name, value in zip(
        ("recommended_replicas", "risk_estimated", "current_replicas"), newest, strict=True
    ):
        assert exported(database, NOW, name, cluster="default", **LLAMA) == pytest.approx(value)
    assert exported(database, NOW, "active_workloads") == 3


def test_what_has_grown_old_is_not_known(database: Engine) -> None:
    seed_fleet(database)
    later = NOW + timedelta(days=1)
    for name in ("recommended_replicas", "current_replicas", "desired_replicas"):
        assert exported(database, NOW, name, **LLAMA) is not None
        assert exported(database, later, name, **LLAMA) is None
    names = {name for name, _ in samples(page_of(database, later))}
    assert not names & {"harmony_fallback_active", "harmony_forecast_quantile"}
    assert exported(database, later, "paused", **LLAMA) == 0.0


def test_of_all_metrics_nothing_is_left_that_has_grown_old(database: Engine) -> None:
    """But for what does not grow old: what is set, and the age itself."""
    write_fleet(database, 1, 2, NOW)
    with database.begin() as connection:  # a promise of which everything is known
        connection.execute(
            text(
                "UPDATE risk_states SET state = state || "
                '\'{"measured_low_ratio": 0.01, "measured_high_ratio": 0.02}\''
            )
        )
    before = {name for name, _ in samples(page_of(database, NOW))}
    assert before == {one.full_name for one in WORKLOAD_METRICS}
    later = {name for name, _ in samples(page_of(database, NOW + timedelta(seconds=5 * STEP_S)))}
    stays = (metrics.EXPORTED, metrics.STEP, metrics.PAUSED, metrics.TRUSTED, metrics.METRICS_AGE)
    assert later == {one.full_name for one in stays}


def test_what_is_of_a_time_to_come_is_not_the_newest(database: Engine) -> None:
    """A worker and an operator had a clock that was an hour ahead, for a moment."""
    write_fleet(database, 1, 2, NOW)
    with database.begin() as connection:
        for statement in (
            "INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object("
            "'id', 7, 'origin_at', d.origin_at + interval '1 hour', 'desired_replicas', 90))).* "
            "FROM decisions d LIMIT 1",
            "INSERT INTO replica_states SELECT (jsonb_populate_record(s, jsonb_build_object("
            "'observed_at', s.observed_at + interval '1 hour', 'spec_replicas', 90))).* "
            "FROM replica_states s LIMIT 1",
        ):
            connection.execute(text(statement))
    assert exported(database, NOW, "recommended_replicas") == 5
    assert exported(database, NOW, "current_replicas") == 5
    assert exported(database, NOW + timedelta(hours=1), "recommended_replicas") == 90


def test_series_go_with_their_workload(database: Engine) -> None:
    seed_fleet(database)
    assert ("default", *LLAMA.values()) in workloads_of(page_of(database, NOW))
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET is_active = false WHERE name LIKE 'llama%'"))
    page = page_of(database, NOW)
    assert "llama-70b-chat" not in page
    assert "mixtral-agents" in page


def test_equal_names_in_two_clusters_are_two_series(database: Engine) -> None:
    seed_fleet(database, n_workloads=1)
    with database.begin() as connection:
        add_cluster(connection, "other", NOW)
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at, cluster_id) SELECT namespace, name, :shard, step_s, "
                "spec || '{\"paused\": true}', created_at, updated_at, 2 FROM workloads"
            ),
            {"shard": SHARDS_PER_CLUSTER},
        )
    assert exported(database, NOW, "paused", cluster="default", **LLAMA) == 0.0
    assert exported(database, NOW, "paused", cluster="other", **LLAMA) == 1.0
    assert exported(database, NOW, "recommended_replicas", cluster="other", **LLAMA) is None


def test_the_operator_of_a_cluster_with_workloads_is_as_old_as_its_last_pass(
    database: Engine,
) -> None:
    """Of one that has none, or never had an operator, nothing is told: nobody misses it."""
    seed_fleet(database)
    with database.begin() as connection:
        connection.execute(text("UPDATE clusters SET operator_seen_at = NULL"))
        assert repository.read_operators(connection) == {}
        add_cluster(connection, "empty", NOW)
        connection.execute(text("UPDATE clusters SET operator_seen_at = :now"), {"now": NOW})
    name = "operator_seen_timestamp_seconds"
    assert exported(database, NOW, name, cluster="default") == NOW.timestamp()
    assert exported(database, NOW, name, cluster="empty") is None


def test_parts_hold_each_workload_once(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole is read in three goes and each part in more than one."""
    monkeypatch.setattr(repository, "_ROWS_AT_ONCE", 100)
    write_fleet(database, 300, 2, NOW, per_shard=20)
    whole = samples(page_of(database, NOW))
    parts = [samples(page_of(database, NOW, FleetPart(k, 3))) for k in range(3)]
    assert len(set(whole)) == len(whole)
    assert all(len(part) > 100 for part in parts)
    together = [one for part in parts for one in part if one[1]]
    assert sorted(together) == sorted(one for one in whole if one[1])


def test_a_page_does_not_cost_more_with_history(database: Engine) -> None:
    costs = []
    for n_steps in (8, 600):
        with database.begin() as connection:
            connection.execute(text("TRUNCATE workloads, decisions, actions CASCADE"))
            connection.execute(text("TRUNCATE forecasts, forecast_scores, replica_states"))
        write_fleet(database, 40, n_steps, NOW)
        with statement_costs() as found:
            page_of(database, NOW)
        costs.append(dict(found))
    assert grown(costs[0], costs[1], factor=2.0, slack=200) == []


@pytest.mark.parametrize(
    ("spoil", "unknown"),
    [
        ("workloads SET spec = jsonb_set(spec, '{paused}', '\"maybe\"') WHERE id", "paused"),
        (
            "risk_states SET state = jsonb_set(state, '{measured_steps}', '\"many\"') "
            "WHERE workload_id",
            "sla_budget_remaining_ratio",
        ),
        ("risk_states SET state = '\"none\"' WHERE workload_id", "sla_budget_remaining_ratio"),
        (
            'calibration_states SET state = \'{"n_seen": "many", "levels": "all", '
            '"hedge": {"weight": {"tail": "little"}}}\' WHERE workload_id',
            "forecast_hedge_weight",
        ),
        ('drift_states SET state = \'{"severities": {"pit": "high"}}\' WHERE workload_id', "drift"),
        ("forecast_scores SET pinball = '[0.5]' WHERE workload_id", "forecast_pinball_loss"),
    ],
)
def test_what_was_spoilt_by_hand_of_one_is_unknown_and_harms_no_other(
    database: Engine, spoil: str, unknown: str
) -> None:
    write_fleet(database, 2, 2, NOW)
    before = samples(page_of(database, NOW))
    with database.begin() as connection:
        connection.execute(text(f"UPDATE {spoil} = 1"))
    after = samples(page_of(database, NOW))
    lost = {(name, dict(labels)["workload"]) for name, labels in set(before) - set(after)}
    assert {workload for _, workload in lost} == {"llama-70b-chat-1"}
    assert any(unknown in name for name, _ in lost)
    assert not set(after) - set(before)
    assert exported(database, NOW, "active_workloads") == 2
    assert exported(database, NOW, "current_replicas", workload="llama-70b-chat-1") == 5
