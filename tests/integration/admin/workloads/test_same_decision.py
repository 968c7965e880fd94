"""What was decided of a workload: the same counts, cost and reason wherever it is read."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Engine, text

from services.admin.decisions.reason_wording import short_reason
from services.admin.decisions.schemas import DecisionDetail
from services.admin.decisions.wording import explain
from services.admin.workloads.schemas import WorkloadView
from services.cli.kubectl.diff import to_diff_row
from services.cli.kubectl.explain import render_decision
from services.cli.kubectl.history import to_history_rows
from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from services.platform.repository import load_status
from services.platform.stages import explain_decision
from tests.exported import exported
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]

NAMES = ("llm-prod/llama-70b-chat", "llm-prod/mixtral-agents", "diffusion/sdxl-turbo")
CURRENT, DESIRED = 5, 8
"""Counts that no seeded row has: a surface that reads another row shows others."""


def decide(database: Engine, key: str) -> None:
    """Make the newest decision of a workload, and what runs, known figures."""
    namespace, _, name = key.partition("/")
    whose = {"namespace": namespace, "name": name}
    newest = (
        "(workload_id, {at}) = (SELECT w.id, max(n.{at}) FROM {table} n JOIN workloads w "
        "ON w.id = n.workload_id WHERE w.namespace = :namespace AND w.name = :name GROUP BY w.id)"
    )
    decisions = newest.format(at="origin_at", table="decisions")
    states = newest.format(at="observed_at", table="replica_states")
    with database.begin() as connection:
        changed = connection.execute(
            text(
                "UPDATE decisions SET current_replicas = :current, desired_replicas = :desired, "
                "direction = 'up', reason = 'scale_up_risk', cost_delta_usd_per_h = :usd, "
                f"decided_at = :at, valid_until = :until WHERE {decisions}"
            ),
            whose
            | {"current": CURRENT, "desired": DESIRED, "usd": 3.0 * price(connection, key)}
            | {"at": NOW, "until": NOW.replace(hour=NOW.hour + 1)},
        )
        assert changed.rowcount == 1
        connection.execute(
            text(f"UPDATE replica_states SET spec_replicas = :current WHERE {states}"),
            whose | {"current": CURRENT},
        )


def price(connection: Any, key: str) -> float:
    """Dollars of one replica for an hour."""
    spec = connection.execute(
        text("SELECT spec FROM workloads WHERE namespace || '/' || name = :key"), {"key": key}
    ).scalar_one()
    return float(spec["price_usd_per_gpu_hour"]) * int(spec["gpus_per_replica"])


def words(page: str) -> str:
    """Text of a page or of a terminal, without tags and line breaks."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def printed(found: Any) -> str:
    """What a terminal shows."""
    terminal = Console(width=200, force_terminal=False)
    with terminal.capture() as capture:
        terminal.print(found)
    return words(capture.get())


@pytest.mark.parametrize("key", NAMES)
def test_every_surface_tells_the_same_decision(
    viewer: Any, console: Any, database: Engine, database_url: str, key: str
) -> None:
    decide(database, key)
    namespace, _, name = key.partition("/")
    view = WorkloadView.model_validate(viewer.get(f"/v1/workloads/{key}").json())
    listed = viewer.get("/v1/decisions", params={"workload": key, "limit": 1}).json()["items"][0]
    detail = DecisionDetail.model_validate(viewer.get(f"/v1/decisions/{listed['id']}").json())
    assert view.last_decision is not None
    gpus = (DESIRED - CURRENT) * view.gpus_per_replica
    cost = gpus * view.price_usd_per_gpu_hour
    # REST: the workload, the list and the decision itself
    assert (view.last_decision.id, view.last_decision.reason) == (listed["id"], "scale_up_risk")
    for one in (listed, detail.model_dump()):
        assert (one["current_replicas"], one["desired_replicas"]) == (CURRENT, DESIRED)
        assert one["cost_delta_usd_per_h"] == pytest.approx(cost)
    assert view.replicas is not None
    assert (view.replicas.spec, view.last_decision.desired_replicas) == (CURRENT, DESIRED)
    # harmony status
    (row,) = [row for row in load_status(database, FixedClock(NOW)) if row["workload"] == key]
    assert (row["current"], row["desired"], row["reason"]) == (CURRENT, DESIRED, "scale_up_risk")
    # metrics
    labels = {"namespace": namespace, "workload": name}
    assert exported(database, NOW, "recommended_replicas", **labels) == DESIRED
    assert exported(database, NOW, "current_replicas", **labels) == CURRENT
    # kubectl harmony diff and history
    diff = to_diff_row(view, NOW)
    assert (diff.current, diff.recommended, diff.problem) == (CURRENT, DESIRED, "")
    assert (diff.delta_gpus, diff.delta_usd_per_h) == (gpus, pytest.approx(cost))
    (history,) = to_history_rows([detail], [])
    assert (history.current, history.final) == (CURRENT, DESIRED)
    # kubectl harmony explain, harmony explain and the console: one sentence, one headline
    sentence = words(explain(detail).sentence)
    settings = Settings(database_url=database_url)
    own = explain_decision(settings, key)
    assert own.detail == detail
    for told in (
        printed(render_decision(detail, view, NOW)),
        printed(render_decision(own.detail, own.workload, NOW)),
    ):
        assert f"{key}: {CURRENT} → {DESIRED} replicas, {gpus:+d} GPUs" in told
        assert sentence in told
    page = words(console.get(f"/decisions/{listed['id']}").text)
    assert sentence in page
    assert f"{CURRENT} → {DESIRED}" in page
    row_text = words(console.get(f"/fleet?search={name}").text)
    assert f"{CURRENT} → {DESIRED}" in row_text
    assert short_reason("scale_up_risk", detail.risk_estimated, detail.risk_target) in row_text
    live = words(console.get(f"/workloads/{key}/live").text)
    assert f"Desired {DESIRED}" in live
    assert short_reason("scale_up_risk", detail.risk_estimated, detail.risk_target) in live
