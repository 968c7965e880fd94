"""Renders the report as one HTML page without scripts or network."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from services.lab.report.calibration import calibration_chart, calibration_line
from services.lab.report.charts import (
    allocation_chart,
    bars_chart,
    fan_chart,
    savings_chart,
    workload_rows,
)
from services.lab.report.data import (
    LABELS,
    MONTH_H,
    ReportData,
    label_of,
    measured_line,
    percent,
)
from services.lab.report.dots import dots_chart
from services.lab.report.frontier import equal_rows, frontier_chart, own_month
from services.lab.report.promise import (
    headline,
    luck_line,
    pool_rows,
    promise_rows,
    promise_tiles,
)
from services.lab.report.starts import starts_chart, starts_line
from services.simulator import PolicyScore

_ORACLE = (
    "The oracle knows future demand. It is a lower bound on cost, not a policy that anyone can run."
)
_ORACLE_FELT = (
    "The oracle knows future demand and believes the stated capacities: no bound, and no promise."
)
STANDING_NOTES = (
    "The cluster, its start-up times and the services' capacity are simulated.",
    "A promise is about the average over time, not a guarantee: coverage does not hold against "
    "arbitrary shocks.",
    "HPA sees an unclipped load metric once per step; a utilisation metric that saturates at 1 "
    "would serve it worse.",
    "GPU time counts from the moment a replica is placed on a node; replicas waiting for a node "
    "cost nothing. Steps with unknown demand count for cost, not for the violation rate.",
)


def render_report(data: ReportData) -> str:
    """The whole page."""
    environment = Environment(
        loader=PackageLoader("services.lab.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    fans = [
        {"workload": f.workload, "caption": f.caption, "svg": Markup(fan_chart(f))}  # noqa: S704  # our own SVG, labels escaped
        for f in data.fans
    ]
    return environment.get_template("report.html").render(
        data=data,
        headline=headline(data),
        measured=measured_line(data),
        chips=_chips(data),
        tiles=_tiles(data),
        rows=[_row(s, data) for s in data.ordered()],
        promise_rows=promise_rows(data),
        luck=luck_line(data),
        pool_rows=pool_rows(data),
        cost_chart=Markup(bars_chart(data, "cost")),  # noqa: S704  # our own SVG
        violation_chart=Markup(bars_chart(data, "violation")),  # noqa: S704  # our own SVG
        dots_chart=Markup(dots_chart(data)),  # noqa: S704  # our own SVG
        frontier_chart=Markup(frontier_chart(data)),  # noqa: S704  # our own SVG
        equal_rows=equal_rows(data),
        own_month=own_month(data),
        calibration_chart=Markup(calibration_chart(data)),  # noqa: S704  # our own SVG
        calibration=calibration_line(data),
        starts_chart=Markup(starts_chart(data)),  # noqa: S704  # our own SVG
        starts=starts_line(data),
        allocation_chart=Markup(allocation_chart(data)),  # noqa: S704  # our own SVG
        savings_chart=Markup(savings_chart(data)),  # noqa: S704  # our own SVG
        fans=fans,
        fan_lead=_lead(data),
        workload_rows=workload_rows(data),
        losing=_losing(data),
        notes=(*data.notes, _ORACLE_FELT if data.is_felt else _ORACLE, *STANDING_NOTES),
    )


def _chips(data: ReportData) -> list[tuple[str, str]]:
    chips = [
        ("from", f"{data.start_at:%Y-%m-%d %H:%M} UTC"),
        ("length", f"{data.simulated_hours:g} h"),
        ("step", f"{data.step_s} s"),
        ("workloads", str(len(data.workloads))),
        ("promise", f"≤ {100 * data.epsilon:g} % out of SLA"),
        ("seed", str(data.seed)),
    ]
    if data.wall_s:
        chips.append(("ran in", f"{data.wall_s:,.0f} s"))
    if data.peak_rss_gib:
        chips.append(("peak memory", f"{data.peak_rss_gib:.2f} GiB"))
    if data.machine:
        chips.append(("machine", data.machine))
    return chips


def _tiles(data: ReportData) -> list[dict[str, str]]:
    ours = data.score("harmony")
    if ours is None:
        return []
    tiles = promise_tiles(data)
    for rival in ("hpa", "trailing_percentile", "static_peak"):
        other = data.score(rival)
        if other is None or other.cost_usd <= 0:
            continue
        saved_usd = other.cost_usd - ours.cost_usd
        note = f"at {percent(other.violation_rate)} out of SLA"
        tiles.append(
            {
                "name": f"Against {label_of(rival)}",
                "figure": f"{-saved_usd / other.cost_usd:+.1%}",
                "css": "good" if saved_usd >= 0 else "bad",
                "more": f"{abs(saved_usd):,.0f} USD {'saved' if saved_usd >= 0 else 'more'}, "
                f"rival {note}",
            }
        )
    return tiles


def _row(s: PolicyScore, data: ReportData) -> dict[str, str]:
    hpa = data.score("hpa")
    relative = "–"
    if hpa is not None and s.name != "hpa" and hpa.cost_usd > 0:
        relative = f"{s.cost_usd / hpa.cost_usd - 1:+.1%}"
    return {
        "name": s.name,
        "css": s.name if s.name in LABELS else "other",
        "label": label_of(s.name),
        "gpu_hours": f"{s.gpu_hours:,.0f}",
        "cost": f"{s.cost_usd:,.0f}",
        "month": f"{s.cost_usd * MONTH_H / data.simulated_hours:,.0f}",
        "vs_hpa": relative,
        "violation": percent(s.violation_rate),
        "verdict": "" if s.name == "oracle" else _verdict(s, data),
        "promised": "–" if s.promised is None else f"≤ {100 * s.promised:g} %",
        "believed": "–"
        if s.believed_violation_rate is None
        else percent(s.believed_violation_rate),
        "over": "–" if s.n_over_promise is None else str(s.n_over_promise),
        "measured": _measured(s, data),
        "worst": percent(s.worst_rate),
        "unserved": percent(s.unserved_ratio),
        "used": f"{s.utilisation:.0%}",
        "scale_ops": f"{s.scale_ops:,}",
        "setting": s.setting,
    }


def _measured(s: PolicyScore, data: ReportData) -> str:
    """What Harmony counted; nobody else counts."""
    if s.name != "harmony" or data.felt is None:
        return "–"
    return percent(data.felt.measured_mean)


def _verdict(s: PolicyScore, data: ReportData) -> str:
    return "good" if s.violation_rate <= data.epsilon else "bad"


def _lead(data: ReportData) -> str:
    leads = {f.lead_steps * f.step_s for f in data.fans}
    if len(leads) != 1:
        return "some steps"
    minutes = leads.pop() / 60
    return f"{minutes:g} minutes"


def _losing(data: ReportData) -> str:
    """Workloads where Harmony cost more than the trailing percentile without violating less."""
    ours, trailing = data.score("harmony"), data.score("trailing_percentile")
    if ours is None or trailing is None:
        return ""
    is_dearer = ours.workload_gpu_hours > trailing.workload_gpu_hours
    # NaN (no known demand) compares as false and is not counted as a loss
    is_not_safer = ours.workload_violation_rate >= trailing.workload_violation_rate
    names = [n for n, lost in zip(data.workloads, is_dearer & is_not_safer, strict=True) if lost]
    if not names:
        return (
            "On no workload did Harmony cost more than the tuned trailing percentile without "
            "violating less."
        )
    shown = ", ".join(names[:6]) + (" and others" if len(names) > 6 else "")
    return (
        f"Forecasting did not pay on {len(names)} of {len(data.workloads)} workloads, which cost "
        f"more than under the trailing percentile without violating less: {shown}."
    )
