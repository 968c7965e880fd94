"""What several dashboards ask for in the same words."""

# ruff: noqa: S608 - text for Grafana; what it puts in is escaped by Grafana
from __future__ import annotations

from deploy.grafana.source.parts import annotation, variable


def is_chosen(column: str, name: str) -> str:
    """Condition: the column is among the values of a variable; none where that has no value.

    Of such a one Grafana makes nothing, and `IN ()` is no SQL: a fleet without workloads, or a
    model without scores, would be shown as an error.
    """
    return f"{column} = ANY (ARRAY[${{{name}:sqlstring}}]::text[])"


_CHOSEN_CLUSTERS = f"cluster_id IN (SELECT id FROM clusters WHERE {is_chosen('name', 'cluster')})"
CLUSTER_OF = "(SELECT k.name FROM clusters k WHERE k.id = w.cluster_id)"
SPENT_NAMESPACES = f"w.{_CHOSEN_CLUSTERS} AND {is_chosen('w.namespace', 'namespace')}"
"""Workloads of the chosen namespaces, with those that left: what they cost was spent."""
CHOSEN_NAMESPACES = f"w.is_active AND {SPENT_NAMESPACES}"
CHOSEN_WORKLOADS = f"{CHOSEN_NAMESPACES} AND {is_chosen('w.name', 'workload')}"
MEASURED = """CASE WHEN w.spec->'sla'->>'kind' = 'DemandFraction'
  THEN sum({t}.measured_violation_ratio * {t}.sli_requests) / nullif(sum({t}.sli_requests)
    FILTER (WHERE {t}.measured_violation_ratio IS NOT NULL), 0)
  ELSE avg({t}.measured_violation_ratio) END"""
"""Share out of SLA as requests felt it, over the steps of one workload; NULL: not measured."""
_EPSILON = "(w.spec->'sla'->>'epsilon')::float8"
STEP_PROMISE = f"""CASE WHEN w.spec->'sla'->>'kind' = 'AnyInWindow'
  THEN greatest(least({_EPSILON}, 1e-12), 1 - power(greatest(1 - {_EPSILON}, 0),
    1 / greatest(1, (w.spec->'sla'->>'window_s')::float8 / nullif(w.step_s, 0))))
  ELSE {_EPSILON} END"""
"""Largest share out of SLA that is promised of each step: of windows what they come to."""
NAMESPACE_SERIES = 'cluster=~"${cluster:regex}",namespace=~"${namespace:regex}"'
SERIES = f'{NAMESPACE_SERIES},workload=~"${{workload:regex}}"'
EACH = "cluster, namespace, workload"
"""Labels that tell workloads apart."""
LEGEND = "{{cluster}}/{{namespace}}/{{workload}}"


def at_points(t: str, columns: str, source: str, n_steps: str = "1") -> str:
    """Rows of several workloads, each with the `time` that it is shown at.

    Workloads may have steps of different lengths, few of which begin together: all are shown at the
    time that the longest begin. Without what the range, or the present, cuts a part off: not every
    workload is in that.

    Args:
        t: Name of the rows, in and outside of `source`; each has an `origin_at`.
        columns: What is wanted of them.
        source: Where they come from, with their workloads `w` and their condition.
        n_steps: Steps from its origin until a row can be there.
    """
    reach = f"make_interval(secs => w.step_s * {n_steps})"
    return f"""FROM (SELECT {columns},
        date_bin(make_interval(secs => max(w.step_s) OVER ()), {t}.origin_at, to_timestamp(0))
          AS time,
        max({reach}) OVER () AS longest, max({t}.origin_at + {reach}) OVER () AS end_at
      {source}) {t}
    WHERE {t}.time >= $__timeFrom() AND {t}.time + {t}.longest <= {t}.end_at"""


_CLUSTERS = """
SELECT k.name FROM clusters k WHERE EXISTS (
  SELECT 1 FROM workloads w WHERE w.cluster_id = k.id AND w.is_active) ORDER BY k.id
"""
_NAMESPACES = f"""
SELECT DISTINCT namespace FROM workloads WHERE is_active AND {_CHOSEN_CLUSTERS} ORDER BY namespace
"""
_SPENT_NAMESPACES = _NAMESPACES.replace(
    "WHERE is_active AND", "WHERE (is_active OR updated_at >= $__timeFrom()) AND"
)
_WORKLOADS = f"""
SELECT DISTINCT name FROM workloads WHERE is_active AND {_CHOSEN_CLUSTERS}
AND {is_chosen("namespace", "namespace")} ORDER BY name
"""

CLUSTERS = variable("cluster", "Cluster", _CLUSTERS)
CLUSTER = variable("cluster", "Cluster", _CLUSTERS, is_multi=False)
NAMESPACES = variable("namespace", "Namespace", _NAMESPACES)
FLEET_NAMESPACES = variable("namespace", "Namespace", _SPENT_NAMESPACES)
"""With those whose last workload left within the range."""
WORKLOADS = variable("workload", "Workload", _WORKLOADS)
NAMESPACE = variable("namespace", "Namespace", _NAMESPACES, is_multi=False)
WORKLOAD = variable("workload", "Workload", _WORKLOADS, is_multi=False)

SCALINGS = annotation(
    "Decisions",
    "#b85300",
    f"""
    SELECT d.decided_at AS time,
      w.name || ': ' || d.current_replicas || ' → ' || d.desired_replicas || ', ' || d.reason
        AS text,
      d.direction AS tags
    FROM decisions d JOIN workloads w ON w.id = d.workload_id
    WHERE {CHOSEN_WORKLOADS} AND d.desired_replicas <> d.current_replicas
      AND $__timeFilter(d.origin_at)
    ORDER BY d.origin_at LIMIT 500
    """,
)
FLEET_SCALINGS = annotation(
    "Decisions",
    "#b85300",
    f"""
    SELECT d.decided_at AS time,
      w.name || ': ' || d.current_replicas || ' → ' || d.desired_replicas || ', ' || d.reason
        AS text,
      d.direction AS tags
    FROM decisions d JOIN workloads w ON w.id = d.workload_id
    WHERE {CHOSEN_NAMESPACES} AND $__timeFilter(d.origin_at)
      AND abs(d.desired_replicas - d.current_replicas) >= greatest(2, 0.2 * d.current_replicas)
    ORDER BY d.origin_at LIMIT 200
    """,
)
PROMOTIONS = annotation(
    "Models",
    "#5794f2",
    """
    SELECT coalesce(m.promoted_at, m.created_at) AS time,
      m.version || ' ' || m.status || ': ' || m.reason AS text, m.kind AS tags
    FROM models m WHERE $__timeFilter(m.created_at) ORDER BY m.created_at LIMIT 100
    """,
)
