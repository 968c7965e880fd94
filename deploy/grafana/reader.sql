-- The role that Grafana reads with: the tables that dashboards use, and nothing else (no API keys, no
-- audit log, no model files of anybody's). Run it as the owner of the schema, once it is migrated, and
-- again after an upgrade that says so; give the role a password with \password harmony_reader.
--
--   psql "$HARMONY_DATABASE_URL" -f deploy/grafana/reader.sql
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'harmony_reader') THEN
    CREATE ROLE harmony_reader LOGIN;
  END IF;
END
$$;
ALTER ROLE harmony_reader SET default_transaction_read_only = on;
ALTER ROLE harmony_reader SET statement_timeout = '30s';
ALTER ROLE harmony_reader SET timezone = 'UTC';
GRANT USAGE ON SCHEMA public TO harmony_reader;
GRANT SELECT ON
  clusters, workloads, ingest_cursors, indicators, replica_states, pod_starts,
  forecasts, forecast_scores, drift_states, trust_verdicts,
  decisions, actions, outcomes, gpu_budgets
TO harmony_reader;
GRANT SELECT (id, version, kind, status, reason, created_at, promoted_at, retired_at)
  ON models TO harmony_reader;
