"""By what an indicator is measured: what is learned of it holds for no other unit. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from services.kernel.domain.workload import WorkloadSpec

MEASURED_BY = "measured_by"
"""Where a stored state keeps it; a state of before there was any counts as one of today's."""

DEMAND_MEASURED_BY = (
    "(SELECT md5(concat_ws(E'\\t', i->>'name', COALESCE(i->>'kind', 'gauge'), "
    "COALESCE(i->>'unit', ''), COALESCE(i->>'query', ''))) "
    "FROM jsonb_array_elements(w.spec->'indicators') i WHERE i->>'name' = w.spec->>'demand')"
)
"""The same of the demand in SQL, of a row `w` of `workloads`."""


def measured_by(spec: WorkloadSpec, names: Collection[str]) -> str:
    """One hash of the names, kinds, units and queries of some indicators, by their names."""
    found = sorted(
        "\t".join((one.name, one.kind, one.unit, one.query))
        for one in spec.indicators
        if one.name in names
    )
    return hashlib.md5("\n".join(found).encode(), usedforsecurity=False).hexdigest()


def is_learned_for(summary: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    """Whether what is stored was learned for a spec as it is now.

    Args:
        summary: Of a posterior. One that does not say by what its loads were measured is of an
            earlier release, and counts as one of today's queries.
        present: What would be learned of now: the parts of the spec that it holds for.
    """
    stored = summary.get("learned_for")
    if not isinstance(stored, dict):
        return False
    return {MEASURED_BY: present.get(MEASURED_BY), **stored} == present
