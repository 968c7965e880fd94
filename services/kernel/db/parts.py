"""What the stored spec of a workload says, in SQL."""

from __future__ import annotations


def _listed(field: str) -> str:
    """A field of the spec of the row `w`; NULL where somebody made it something else by hand."""
    value = f"w.spec -> '{field}'"
    return f"CASE jsonb_typeof({value}) WHEN 'array' THEN NULLIF({value}, '[]'::jsonb) END"


PARTS = f"COALESCE({_listed('variants')}, {_listed('pools')}, '[]'::jsonb)"
"""JSON array of the variants or pools in the spec of the row `w` of `workloads`; empty: none."""


def count_in(json: str, field: str) -> str:
    """A count that a JSON object states; NULL where somebody made it something else by hand.

    Args:
        json: SQL of the object, such as `w.spec`.
        field: Its field.
    """
    value = f"({json} ->> '{field}')"
    return f"CASE WHEN {value} ~ '^[0-9]{{1,9}}$' THEN {value}::int END"


def asked_in(state: str, part: str) -> str:
    """Replicas that the target of a part asks for; NULL where the snapshot does not know.

    A snapshot of before the workload had parts, or had this one, tells nothing of it.

    Args:
        state: SQL of a row of `replica_states`, such as `r`.
        part: SQL of the part's name; NULL: the workload has one target.
    """
    own = f"({state}.variants #>> ARRAY[{part}, 'spec'])::int"
    return f"CASE WHEN {part} IS NULL THEN {state}.spec_replicas ELSE {own} END"


IS_GONE = (
    "COALESCE((SELECT a.result = 'target_missing' AND NOT EXISTS (SELECT FROM replica_states r "
    "WHERE r.workload_id = w.id AND r.observed_at >= a.applied_at "
    "AND r.observed_at >= CAST(:now AS timestamptz) - interval '1 day') "
    "FROM (SELECT n.origin_at FROM actions n WHERE n.workload_id = w.id "
    "AND n.origin_at >= CAST(:now AS timestamptz) - interval '1 day' "
    "ORDER BY n.origin_at DESC LIMIT 1) newest "
    "JOIN actions a ON a.workload_id = w.id AND a.origin_at = newest.origin_at "
    "ORDER BY a.applied_at DESC LIMIT 1), false)"
)
"""Whether the operator found no target for the newest decision of the row `w` of `workloads`, and
has seen none since; takes `now`. Of variants and pools some may be there."""
