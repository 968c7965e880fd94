"""The advisory report as one HTML page without scripts, fonts, and as rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.advisory.comparison import Estimate, Ran, SideBySide
from services.advisory.counterfactual import HOUR_S
from services.advisory.report import AdvisoryReport, ServiceReport, to_json
from services.backtest.page import page_templates
from services.kernel.domain.figures import fixed, percentage
from services.kernel.whole_files import write_whole

DASH = "unknown"


def write_report(report: AdvisoryReport, path: Path) -> None:
    """Write the page to a file.

    Raises:
        InvalidInput: It cannot be written.
    """
    write_whole(path, render_report(report))


def render_report(report: AdvisoryReport) -> str:
    """The page's text."""
    compared = [one for one in report.services if one.comparison is not None]
    return (
        page_templates("services.advisory")
        .get_template("advisory.html")
        .render(
            from_at=f"{report.from_at:%Y-%m-%d %H:%M}",
            to_at=f"{report.to_at:%Y-%m-%d %H:%M}",
            n_compared=len(compared),
            n_services=len(report.services),
            hours=f"{0.0 if report.fleet is None else report.fleet.hours:,.1f}",
            verdict=fleet_verdict(report),
            days=_days(report),
            services=[_service(one) for one in report.services],
            notes=notes(report),
        )
    )


def to_result(report: AdvisoryReport) -> dict[str, Any]:
    """The report for whoever asked through the API: its figures, and the same in words."""
    return {
        **to_json(report),
        "verdict": fleet_verdict(report),
        "rows": [_service(one) for one in report.services],
        "notes": notes(report),
    }


def fleet_verdict(report: AdvisoryReport) -> str:
    """All services together, in a sentence."""
    if report.fleet is None:
        return "Nothing can be compared yet: the reasons stand beside the services."
    return report.fleet.sentence()


def table_rows(report: AdvisoryReport) -> list[dict[str, str]]:
    """The services as rows of a table on the terminal."""
    return [
        {
            "service": row["workload"],
            "scaled by": row["scaled_by"],
            "hours": row["hours"],
            "cost USD": row["today_usd"],
            "Harmony USD": row["harmony_usd"],
            "out of SLA": row["today_out"],
            "Harmony, believed": row["harmony_out"],
            "promise": row["promise"],
        }
        for row in map(_service, report.services)
    ]


def notes(report: AdvisoryReport) -> list[str]:
    """How the figures came about, and what they do not say."""
    found = [
        "Harmony's counts are those that it decided at the time, from the forecasts of that time. "
        "They are carried out in the grid simulator of `harmony backtest`, with GPUs enough.",
        "Measured: what requests felt. Believed: what the capacity that Harmony believed then says "
        "of the replicas. Of counts that never ran nothing is measured: both are compared as "
        "believed.",
        "Guards started from what ran, so a count that they held lies nearer to today's than "
        "Harmony's own would.",
        "The error budget counts what happened under today's counts: beside an ample rival Harmony "
        "decides leaner, and beside a scarce one with more to spare, than where it acts itself.",
        f"Intervals hold 90 % of {report.block_s / HOUR_S:.3g}-hour blocks drawn anew "
        f"(seed {report.seed}). What another week would bring they do not know.",
        "Time in which Harmony decided nothing, or of which it is not known what ran or how many "
        "GPUs a replica had, is left out of both sides: it is unknown.",
    ]
    return found + [f"Left out: {key}: {reason}." for key, reason in report.left_out]


def service_notes(one: ServiceReport) -> str:
    """What is unknown of a service, and what its figures rest on."""
    said = [
        f"{fixed(hours, 1, 1)} h {words}"
        for hours, words in (
            (one.undecided_hours, "without a decision"),
            (one.unpriced_hours, "of unknown cost"),
            (one.unsized_hours, "of unknown GPUs per replica"),
            (one.own_hours, "scaled by Harmony"),
            (one.guarded_hours, "with a count that a guard changed"),
        )
        if hours > 0
    ]
    if one.comparison is not None:
        said.append(one.starts)
    return f"{'; '.join(said)}." if said else ""


def _service(one: ServiceReport) -> dict[str, str]:
    comparison = one.comparison
    shown = one.today if comparison is None else one.compared
    harmony_usd = Estimate(None) if comparison is None else comparison.harmony_usd
    harmony_ratio = Estimate(None) if comparison is None else comparison.harmony_ratio
    return {
        "workload": one.workload,
        "scaled_by": one.scaled_by,
        "hours": f"{0.0 if comparison is None else comparison.hours:,.1f} of "
        f"{one.window_hours:,.1f}",
        "today_usd": _usd(shown.cost_usd),
        "today_out": _out(shown, one.unit),
        "today_css": _css(shown.ratio, one.limit_of(shown)),
        "harmony_usd": _figure(harmony_usd, fixed),
        "harmony_out": _figure(harmony_ratio, percentage),
        "harmony_css": _css(harmony_ratio.value, one.time_limit),
        "promise": percentage(one.promise),
        "verdict": one.verdict,
        "notes": service_notes(one),
    }


def _days(report: AdvisoryReport) -> list[dict[str, Any]]:
    found = [(one.at, one.comparison) for one in report.days]
    dearest = max((max(_costs(each)) for _, each in found), default=0.0) or 1.0
    return [
        {
            "day": f"{at:%a %Y-%m-%d}",
            "hours": f"{each.hours:,.1f}",
            "today_usd": _usd(each.today_usd),
            "harmony_usd": _usd(each.harmony_usd.value),
            "today_out": DASH if each.today_ratio is None else percentage(each.today_ratio),
            "harmony_out": _figure(each.harmony_ratio, percentage),
            "today_width": f"{100 * _costs(each)[0] / dearest:.1f}",
            "harmony_width": f"{100 * _costs(each)[1] / dearest:.1f}",
        }
        for at, each in found
    ]


def _costs(each: SideBySide) -> tuple[float, float]:
    return each.today_usd, each.harmony_usd.value or 0.0


def _usd(value: float | None) -> str:
    return DASH if value is None else fixed(value)


def _figure(figure: Estimate, written: Callable[[float], str]) -> str:
    if figure.value is None:
        return DASH
    value = written(figure.value)
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({written(figure.low)} to {written(figure.high)})"


def _out(shown: Ran, unit: str) -> str:
    """A share out of SLA, of what it is, and how it is known; what is believed is of time."""
    if shown.ratio is None:
        return DASH
    of = unit if shown.source == "measured" else "time"
    return f"{percentage(shown.ratio)} of {of}, {shown.source}"


def _css(ratio: float | None, limit: float | None) -> str:
    return "" if ratio is None or limit is None else "good" if ratio <= limit else "bad"
