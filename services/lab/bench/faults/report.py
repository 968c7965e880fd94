"""The document and the table of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from services.lab.bench.faults.bounds import Violation
from services.lab.bench.faults.invariants import told
from services.lab.bench.faults.schedule import StruckFault

INVARIANTS = (
    "lost",
    "duplicated",
    "out_of_bounds",
    "unrecorded",
    "blast_radius",
    "samples_lost",
    "wrong_answers",
    "audit",
)
"""Each is counted in the document; all must be 0."""
RECOVERY_TARGET_S = 30.0


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How much was run.

    Attributes:
        n_origins: Origins of each workload that were looked at.
        n_scalings: Changes of replicas that the watcher saw.
        n_samples: Samples that were accepted.
        n_superseded: Decisions of healthy workloads that came too late to be applied, as recorded.
        n_audited: Entries of the audit chain.
    """

    seed: int
    step_s: int
    n_workloads: int
    n_origins: int
    n_scalings: int
    n_samples: int
    n_superseded: int
    n_audited: int


def to_document(
    facts: RunFacts,
    struck: Sequence[StruckFault],
    violations: Sequence[Violation],
    recovery: Mapping[int, float],
) -> dict[str, Any]:
    """The document of `--json`.

    Args:
        facts: How much was run.
        struck: The faults.
        violations: What did not hold.
        recovery: Seconds by the number of the fault.
    """
    counted = Counter(one.invariant for one in violations)
    bitten = Counter(one.planned.kind.name for one in struck if one.has_bitten)
    return {
        "seed": facts.seed,
        "faults": len(struck),
        "kinds": dict(sorted(bitten.items())),
        "not_bitten": sorted(one.planned.kind.name for one in struck if not one.has_bitten),
        "superseded": facts.n_superseded,
        **{name: counted[name] for name in INVARIANTS},
        "recovery_s": _spread(list(recovery.values())),
        "timeline": [_told(number, one, recovery) for number, one in enumerate(struck)],
        "offending": told(violations),
        "run": asdict(facts),
    }


def _told(
    number: int, one: StruckFault, recovery: Mapping[int, float]
) -> dict[str, str | float | bool | None]:
    """What became of a fault."""
    recovered = recovery.get(number)
    return {
        "kind": one.planned.kind.name,
        "began_at": None if one.began_at is None else one.began_at.isoformat(timespec="seconds"),
        "ended_at": None if one.ended_at is None else one.ended_at.isoformat(timespec="seconds"),
        "has_bitten": one.has_bitten,
        "recovery_s": None if recovered is None else _round(recovered),
    }


def is_kept(document: Mapping[str, Any]) -> bool:
    """Check whether every invariant held and the platform recovered from every fault."""
    return all(document[name] == 0 for name in INVARIANTS) and _is_recovered(document)


def _is_recovered(document: Mapping[str, Any]) -> bool:
    p95 = document["recovery_s"]["p95"]
    return p95 is None or p95 <= RECOVERY_TARGET_S


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """Quantiles; None where there is none. What never recovered is an infinite time."""
    if not values:
        return {"p50": None, "p95": None, "max": None}
    p50, p95, most = np.quantile(values, (0.5, 0.95, 1.0), method="higher")
    return {"p50": _round(p50), "p95": _round(p95), "max": _round(most)}


def _round(value: float) -> float:
    return value if math.isinf(value) else round(float(value), 1)


def rows(document: Mapping[str, Any]) -> list[dict[str, object]]:
    """The table for a terminal or a document."""
    run, recovery = document["run"], document["recovery_s"]
    n_kinds = len(document["kinds"])
    n_bitten = sum(document["kinds"].values())
    found: list[dict[str, object]] = [
        _row("faults that struck", n_bitten, document["faults"], n_bitten == document["faults"]),
        _row("kinds among them", n_kinds, None, None),
        _row("workloads, origins of each", f"{run['n_workloads']}, {run['n_origins']}", None, None),
        _row("scalings seen", run["n_scalings"], None, None),
        _row("samples accepted", run["n_samples"], None, None),
        _row("decisions too late to be applied", document["superseded"], None, None),
    ]
    found += [
        _row(name.replace("_", " "), document[name], 0, document[name] == 0) for name in INVARIANTS
    ]
    for name in ("p50", "p95", "max"):
        target = RECOVERY_TARGET_S if name == "p95" else None
        is_met = _is_recovered(document) if name == "p95" else None
        found.append(_row(f"recovery beyond a step, {name}, s", recovery[name], target, is_met))
    return found


def _row(figure: str, value: object, target: object, is_met: bool | None) -> dict[str, object]:
    met = "" if is_met is None else "yes" if is_met else "NO"
    return {
        "figure": figure,
        "value": value,
        "target": "" if target is None else target,
        "met": met,
    }
