"""A large fleet in the tables that the exporter reads, written by a statement for each."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, text

from services.kernel.db.partitions import ensure_partitions

LLAMA = {"namespace": "llm-prod", "workload": "llama-70b-chat"}
"""Labels of the first workload of `seed_fleet`."""
STEP_S = 60
_STATE = """jsonb_build_object('budget_source', 'measured', 'measured_steps', 900.0,
  'observed_steps', 1200.0, 'violation_ratio', 0.0123, 'measured_ratio', 0.0123,
  'believed_ratio', 0.0071, 'budget_left_ratio', 0.4567, 'sli_status', 'Measured',
  'sli_message', '')"""
_LEVELS = "ARRAY[0.01,0.05,0.1,0.25,0.5,0.75,0.9,0.95,0.99]"
_STATEMENTS = (
    """INSERT INTO workloads (id, namespace, name, shard, step_s, spec, created_at, updated_at)
    OVERRIDING SYSTEM VALUE SELECT i, 'team-' || i % 40, 'llama-70b-chat-' || i,
      i / CAST(:per_shard AS int), 60, '{"sla": {"objective": {"goals": []}}}', :now, :now
    FROM generate_series(1, :n) i""",
    """INSERT INTO ingest_cursors (workload_id, last_sample_at, updated_at)
    SELECT id, CAST(:now AS timestamptz) - interval '10 s', :now FROM workloads""",
    f"""INSERT INTO risk_states SELECT id, {_STATE}, :now FROM workloads""",
    f"""INSERT INTO forecasts (id, origin_at, workload_id, model_version, rung, step_s, n_horizon,
      quantile_levels, quantiles, n_paths, created_at)
    SELECT s * 1000000 + id, CAST(:now AS timestamptz) - s * interval '60 s', id, 'flow-1', 'model',
      60, 12, {_LEVELS}, (SELECT array_agg(ARRAY[12.5,13,14,15,16,17,18,19,20,21,22,23]::real[])
      FROM generate_series(1, 9)), 0, :now FROM workloads, generate_series(1, :steps) s""",
    """INSERT INTO calibration_states SELECT id, 'flow-1', jsonb_build_object('n_seen', 500,
      'levels', '[0.01,0.05,0.1,0.25,0.5,0.75,0.9,0.95,0.99]'::jsonb,
      'below_ratio', '[0.01,0.05,0.1,0.25,0.5,0.75,0.9,0.95,0.99]'::jsonb,
      'offsets', (SELECT jsonb_agg(jsonb_build_array(0.123456, 0.234567, 0.345678))
        FROM generate_series(1, 9)),
      'hedge', '{"weight": {"tail": 0.25, "body": 0.5}}'::jsonb), :now FROM workloads""",
    """INSERT INTO drift_states (workload_id, model_version, state, updated_at) SELECT id, 'flow-1',
      '{"severities": {"pit": 0.31, "level": 0.2, "spread": 0.1, "shape": 0.4, "missing": 0.0,
      "stuck": 0.0}}', :now FROM workloads""",
    """INSERT INTO forecast_scores (forecast_id, origin_at, workload_id, model_version, n_steps,
      crps, pinball, coverage, crps_last_value, skill_vs_last_value, scored_at)
    SELECT s * 1000000 + id, CAST(:now AS timestamptz) - s * interval '60 s', id, 'flow-1', 12, 0.1,
      '{"0.5": 0.123456, "0.9": 0.2, "0.99": 0.3}', '{}', 0.2, 0.5, :now
    FROM workloads, generate_series(12, 12 + :steps) s""",
    """INSERT INTO decisions (id, origin_at, workload_id, forecast_id, policy_version, decided_at,
      valid_until, current_replicas, raw_replicas, desired_replicas, direction, reason, rung,
      risk_target, risk_estimated, cost_delta_usd_per_h, explanation)
    SELECT s * 1000000 + id, CAST(:now AS timestamptz) - s * interval '60 s', id, s * 1000000 + id,
      'harmony', :now, :now, 4, 5, 5, 'out', 'forecast', 'forecast', 0.01, 0.0042, 2.5, '{}'
    FROM workloads, generate_series(1, :steps) s""",
    """INSERT INTO actions (id, origin_at, decision_id, workload_id, attempt, from_replicas,
      to_replicas, result, reason, applied_at)
    SELECT s * 1000000 + id, CAST(:now AS timestamptz) - s * interval '60 s', s * 1000000 + id, id,
      1, 4, 5, 'applied', '', :now FROM workloads, generate_series(1, :steps) s""",
    """INSERT INTO replica_states (workload_id, observed_at, spec_replicas, ready_replicas,
      starting_replicas, pending_replicas, start_ages_s)
    SELECT id, CAST(:now AS timestamptz) - s * interval '60 s', 5, 4, 1, 0, '{}'
    FROM workloads, generate_series(1, :steps) s""",
)
_PARTITIONED = (
    *("forecasts", "forecast_scores", "decisions", "actions"),
    "replica_states",
)


def write_fleet(
    engine: Engine, n_workloads: int, n_steps: int, now: datetime, per_shard: int = 256
) -> None:
    """Write workloads with `n_steps` steps behind them, and let the planner know."""
    with engine.begin() as connection:
        for table in _PARTITIONED:
            first = connection.execute(
                text("SELECT CAST(:now AS timestamptz) - :steps * interval '60 s'"),
                {"now": now, "steps": n_steps + 12},
            ).scalar_one()
            ensure_partitions(connection, table, first, now)
        for statement in _STATEMENTS:
            values = {"now": now, "n": n_workloads, "steps": n_steps, "per_shard": per_shard}
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), used)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
