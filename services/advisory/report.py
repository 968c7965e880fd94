"""The advisory report as it is handed on: its parts, its JSON, its CSV."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from typing import Any

from services.advisory.comparison import Ran, SideBySide
from services.advisory.counterfactual import HOUR_S
from services.kernel.domain.figures import percentage
from services.kernel.domain.workload import RiskKind

OF_REQUESTS: RiskKind = "DemandFraction"
_FIGURES = ("harmony_usd", "harmony_believed_ratio", "cost_change", "ratio_change")


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """One service that Harmony does not scale.

    Attributes:
        workload: `namespace/name`.
        mode: Its mode.
        promise: Largest share out of SLA that is promised.
        kind: What the promise is about.
        scaled_by: Who scales it today, as far as it is told.
        window_hours: Hours of the window in which it was there.
        undecided_hours: Those in which no decision of Harmony's was in force.
        unpriced_hours: Those of which it is not known what ran.
        unsized_hours: Those decided for, of known cost, of which it is not known how many GPUs a
            replica had.
        own_hours: Those in which Harmony scaled it itself.
        guarded_hours: Those compared in which a guard changed the count, starting from today's.
        today: What ran in all hours of known cost but Harmony's own.
        compared: What ran in the hours compared.
        comparison: These with and without Harmony; None: nothing can be compared.
        reason: Why nothing can; empty: something is.
        starts: Where start-up times come from.
    """

    workload: str
    mode: str
    promise: float
    kind: RiskKind
    scaled_by: str
    window_hours: float
    undecided_hours: float
    unpriced_hours: float
    unsized_hours: float
    own_hours: float
    guarded_hours: float
    today: Ran
    compared: Ran
    comparison: SideBySide | None
    reason: str
    starts: str

    @property
    def verdict(self) -> str:
        """The comparison in a sentence, or why there is none."""
        if self.comparison is None:
            return f"What Harmony would have cost is not known: {self.reason}."
        words = self.comparison.sentence(self.time_limit)
        return f"{words} {self._of_requests()}" if self.kind == OF_REQUESTS else words

    def _of_requests(self) -> str:
        """What is known of a promise about requests: no share of time tells whether it is kept."""
        found = self.compared.measured_ratio
        known = "none were measured"
        if found is not None:
            known = f"{percentage(found)} of them missed, measured"
        return (
            f"The promise is about requests, at most {percentage(self.promise)}: under what ran "
            f"{known}, under Harmony's counts none can be."
        )

    @property
    def time_limit(self) -> float | None:
        """Share of time out of SLA that the promise allows; None: it is not about that."""
        return self.promise if self.kind == "TimeFraction" else None

    def limit_of(self, shown: Ran) -> float | None:
        """What the share of what ran may be at most; None: it is of something else."""
        if self.kind == OF_REQUESTS:
            return self.promise if shown.source == "measured" else None
        return self.time_limit

    @property
    def unit(self) -> str:
        """What a measured share is of."""
        return "requests" if self.kind == OF_REQUESTS else "time"


@dataclass(frozen=True, slots=True)
class Day:
    """A day (UTC) of all services together."""

    at: datetime
    comparison: SideBySide


@dataclass(frozen=True, slots=True)
class AdvisoryReport:
    """All services that were asked for.

    Attributes:
        from_at: Start of the window.
        to_at: Its end.
        seed: Of everything random.
        block_s: Length of the blocks that intervals resample.
        services: Each service, by name.
        fleet: All of them together; None: nothing can be compared.
        days: The same day by day.
        left_out: Workloads that are not among them, with the reason.
    """

    from_at: datetime
    to_at: datetime
    seed: int
    block_s: float
    services: tuple[ServiceReport, ...]
    fleet: SideBySide | None
    days: tuple[Day, ...]
    left_out: tuple[tuple[str, str], ...]


def to_json(report: AdvisoryReport) -> dict[str, Any]:
    """The document that `--json` writes."""
    return {
        "from_at": report.from_at.isoformat(),
        "to_at": report.to_at.isoformat(),
        "seed": report.seed,
        "block_hours": round(report.block_s / HOUR_S, 4),
        "services": [_service_json(one) for one in report.services],
        "fleet": report.fleet and report.fleet.to_json(),
        "days": [{"day": f"{one.at:%Y-%m-%d}", **one.comparison.to_json()} for one in report.days],
        "left_out": [{"workload": key, "reason": reason} for key, reason in report.left_out],
    }


def _service_json(one: ServiceReport) -> dict[str, Any]:
    hours = ("window", "undecided", "unpriced", "unsized", "own", "guarded")
    return {
        "workload": one.workload,
        "mode": one.mode,
        "promise": one.promise,
        "kind": one.kind,
        "scaled_by": one.scaled_by,
        **{f"{name}_hours": round(getattr(one, f"{name}_hours"), 4) for name in hours},
        "today": one.today.to_json(),
        "compared": one.compared.to_json(),
        "comparison": one.comparison and one.comparison.to_json(),
        "verdict": one.verdict,
        "starts": one.starts,
    }


def to_csv(report: AdvisoryReport) -> str:
    """A line per service; an empty field is not known."""
    written = StringIO()
    lines = [_line(one) for one in report.services]
    names = list(lines[0]) if lines else ["workload"]
    writer = csv.DictWriter(written, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return written.getvalue()


def _line(one: ServiceReport) -> dict[str, Any]:
    document = _service_json(one)
    found = {name: value for name, value in document.items() if not isinstance(value, dict)}
    del found["verdict"]
    found.pop("comparison", None)
    for part in ("today", "compared"):
        found |= {f"{part}_{name}": value for name, value in document[part].items()}
    comparison = None if one.comparison is None else one.comparison.to_json()
    for name in _FIGURES:
        for end in ("value", "low", "high"):
            column = name if end == "value" else f"{name}_{end}"
            found[column] = None if comparison is None else comparison[name][end]
    return found
