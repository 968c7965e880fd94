"""The scoreboard for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from services.lab.report.data import ReportData, label_of, percent
from services.simulator import PolicyScore


def scoreboard_table(data: ReportData) -> Table:
    """A rich table: one row per policy, costs relative to the tuned HPA."""
    hpa = data.score("hpa")
    table = Table(
        title=f"{data.data}: {data.simulated_hours:g} h, {len(data.workloads)} workloads",
        caption=(
            f"promised: at most {percent(data.epsilon)} of time out of SLA; "
            + (
                "out of SLA is what requests felt; the oracle knows the demand to come, not this"
                if data.is_felt
                else "the oracle knows the future and is a bound, not a rival"
            )
        ),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("policy")
    felt_headings = ("over promise", "out of SLA", "worst", "as believed")
    for heading in felt_headings if data.is_felt else ("out of SLA",):
        table.add_column(heading, justify="right")
    for heading in ("promised", "GPU-hours", "cost USD", "vs HPA", "scale ops"):
        table.add_column(heading, justify="right")
    table.add_column("setting", style="dim")
    for s in data.ordered():
        table.add_row(
            Text(label_of(s.name), style="bold" if s.name == "harmony" else ""),
            *_promise_cells(s, data),
            "–" if s.promised is None else percent(s.promised),
            f"{s.gpu_hours:,.0f}",
            f"{s.cost_usd:,.0f}",
            _relative(s, hpa),
            f"{s.scale_ops:,}",
            s.setting,
        )
    return table


def _promise_cells(s: PolicyScore, data: ReportData) -> tuple[str | Text, ...]:
    rate = _violation(s, data.epsilon)
    if not data.is_felt:
        return (rate,)
    believed = s.believed_violation_rate
    return (
        "–" if s.n_over_promise is None else f"{s.n_over_promise} of {len(data.workloads)}",
        rate,
        percent(s.worst_rate),
        "–" if believed is None else percent(believed),
    )


def _relative(s: PolicyScore, hpa: PolicyScore | None) -> str:
    if hpa is None or s.name == "hpa" or hpa.cost_usd == 0:
        return "–"
    return f"{s.cost_usd / hpa.cost_usd - 1:+.1%}"


def _violation(s: PolicyScore, epsilon: float) -> Text:
    if s.violation_rate != s.violation_rate:
        return Text("unknown", style="yellow")
    text = percent(s.violation_rate)
    if s.promised is None and s.name == "oracle":
        return Text(text, style="dim")
    return Text(text, style="green" if s.violation_rate <= epsilon else "red")
