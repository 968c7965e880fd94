"""The operations page shows what the kubectl plugin prints."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from services.admin.decisions.schemas import (
    ActionView,
)
from services.cli.kubectl.diff import render_diff, to_diff_row
from services.cli.kubectl.explain import render_decision
from tests.unit.cli.kubectl.views import NOW, decision, shown, workload


def test_the_operations_page_shows_what_is_printed() -> None:
    chat = workload("chat", mode="Advisory", gpus_per_replica=1)
    action = ActionView(
        id=1, decision_id=4711, namespace="serving", workload="chat", origin_at=NOW, attempt=1,
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
        assert f"```\n{printed}\n```" in page, printed
