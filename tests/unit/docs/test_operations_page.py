"""The operations page shows what the kubectl plugin prints."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from services.admin.decisions.schemas import (
    ActionView,
)
from services.admin.workloads.schemas import RiskView
from services.cli.kubectl.diff import render_diff, to_diff_row
from services.cli.kubectl.explain import render_decision
from tests.unit.cli.kubectl.views import NOW, decision, shown, workload


def test_the_operations_page_shows_what_is_printed() -> None:
    risk = RiskView(
        kind="TimeFraction", target=0.01, estimated=0.0042, window_s=86400.0, n_steps=1440,
        source="believed", violation_ratio=0.003, believed_ratio=0.003, budget_remaining=0.7,
        sli_status="NoObjective", sli_message="no objective is set: violations are what the "
        "believed capacity says. Set sla.objective to what requests are to feel",
    )  # fmt: skip
    chat = workload("chat", mode="Advisory", gpus_per_replica=1, risk=risk)
    action = ActionView(
        id=1, decision_id=4711, cluster="default", namespace="serving", workload="chat",
        origin_at=NOW, attempt=1,
        from_replicas=8, to_replicas=10, result="advisory", reason="mode Advisory applies nothing",
        applied_at=NOW,
    )  # fmt: skip
    made = decision(
        workload="chat", cost_delta_usd_per_h=5.0, action_result="advisory", actions=[action]
    )
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    row = to_diff_row(chat, NOW)
    why = shown(render_decision(made, chat, NOW + timedelta(minutes=2)))
    for lines in (shown(render_diff([row], False, NOW)), why):
        printed = "\n".join(lines).strip()
        assert f"```text\n{printed}\n```" in page, printed
    shares = [{"replicas": 8, "share": 0.031}, {"replicas": 10, "share": 0.006}]
    learned = decision(expected_misses={"of": "requests", "by_replicas": shares})
    more = [line for line in shown(render_decision(learned, chat, NOW)) if line not in why]
    first = next(n for n, line in enumerate(more) if line.startswith("expected"))
    printed = "\n".join(more[first : first + 2])
    assert f"```text\n{printed}\n```" in page, printed
