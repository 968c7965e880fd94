"""What is measured, believed and left of a promise: the same figures wherever they are read."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
import pytest
from rich.console import Console
from sqlalchemy import Engine, text

from decider import RiskState, error_budget
from services.admin.decisions.schemas import DecisionDetail
from services.admin.rest.formats import percent
from services.admin.workloads.schemas import WorkloadView
from services.cli.kubectl.explain import render_decision
from services.decision.decide.range_ends import RangeEnds, range_ends
from services.decision.decide.settling import _to_stored
from services.decision.rows.members import ShardMember, to_member
from services.decision.rows.sli_status import SliStanding
from services.decision.rows.translate import EndLedgers, to_sla
from services.kernel.clock import FixedClock
from services.operator.reconcile.report_statuses import to_details
from services.operator.reconcile.repository import load_details
from services.platform.repository import load_status
from tests.exported import exported
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]

MEASURED, BELIEVED = "mixtral-agents", "llama-70b-chat"
ELSEWHERE = RiskState(
    spent_steps=9.6,
    observed_steps=480.0,
    measured_missed=3.7,
    measured_total=310.0,
    measured_steps=310.0,
)
"""Ledgers that no row tells of: a surface that counts for itself shows other figures."""
LOW = RiskState(measured_missed=2.2, measured_total=310.0, measured_steps=310.0)
"""The same had the least been missed, as of a threshold between two bucket edges."""
HIGH = RiskState(measured_missed=124.0, measured_total=310.0, measured_steps=310.0)
"""The same had the most been missed: beside an estimate."""
SHARES = {"a range": "0.71 % to 1.2 %", "an estimate": "1.2 % (0.71 % to 40 %)"}


@dataclass(frozen=True)
class Figures:
    """What one surface shows of a promise; the ends only where they are other figures."""

    measured: float | None
    believed: float | None
    source: str | None
    left: float | None
    low: float | None = None
    left_high: float | None = None
    high: float | None = None
    left_low: float | None = None

    def assert_like(self, other: Figures, surface: str) -> None:
        """The same as another's, as far as surfaces round."""
        assert self.source == other.source, surface
        for name in (
            *("measured", "believed", "left"),
            *("low", "left_high", "high", "left_low"),
        ):
            mine, theirs = getattr(self, name), getattr(other, name)
            assert mine == pytest.approx(theirs, abs=5e-5), (surface, name)

    @property
    def out_of_sla(self) -> str:
        """The measured share in words: both ends where they differ."""
        if self.high is not None:
            return f"{percent(self.measured)} ({_range(self.low, self.high)})"
        return _range(self.low, self.measured)

    @property
    def remaining(self) -> str:
        """The budget in words."""
        if self.left_low is not None:
            return f"{percent(self.left)} ({_range(self.left_low, self.left_high)})"
        return _range(self.left, self.left_high)


def _range(low: float | None, high: float | None) -> str:
    return " to ".join(percent(end) for end in (low, high) if end is not None)


def member_of(database: Engine, name: str) -> ShardMember:
    with database.connect() as connection:
        row = connection.execute(text("SELECT * FROM workloads WHERE name = :name"), {"name": name})
        return to_member(row.mappings().one())


def ledgers_of_rows(database: Engine, member: ShardMember) -> RiskState:
    """What the outcome rows sum up to."""
    statement = text(
        "SELECT sum(violation_ratio) AS spent_steps, count(violation_ratio) AS observed_steps, "
        "coalesce(sum(measured_violation_ratio), 0) AS measured_missed, "
        "count(measured_violation_ratio) AS measured_total, "
        "count(measured_violation_ratio) AS measured_steps "
        "FROM outcomes WHERE workload_id = :id AND is_final"
    )
    with database.connect() as connection:
        row = connection.execute(statement, {"id": member.id}).mappings().one()
    return RiskState(**{name: float(value) for name, value in row.items()})


def stored(member: ShardMember, risk: RiskState, ends: EndLedgers | None = None) -> dict[str, Any]:
    """The state as the decision service stores it; one figure where no `ends` are given."""
    is_measured = member.spec.sla.objective is not None
    standing = SliStanding("Measured" if is_measured else "NoObjective")
    return _to_stored(member, risk, ends or EndLedgers(risk, risk), standing)


def store(database: Engine, member: ShardMember, state: Mapping[str, Any]) -> None:
    statement = "UPDATE risk_states SET state = CAST(:state AS jsonb) WHERE workload_id = :id"
    values = {"state": orjson.dumps(state).decode(), "id": member.id}
    with database.begin() as connection:
        connection.execute(text(statement), values)


def of_rest(viewer: Any, member: ShardMember) -> Figures:
    risk = viewer.get(f"/v1/workloads/{member.key}").json()["risk"]
    by_source = {"measured": risk["measured_ratio"], "believed": risk["believed_ratio"]}
    assert risk["violation_ratio"] == by_source[risk["source"]]
    names = ("measured_ratio", "believed_ratio", "source", "budget_remaining")
    ends = ("measured_low_ratio", "budget_remaining_high")
    above = ("measured_high_ratio", "budget_remaining_low")
    return Figures(*(risk[name] for name in (*names, *ends, *above)))


def of_status_line(database: Engine, member: ShardMember) -> Figures:
    (row,) = [
        row for row in load_status(database, FixedClock(NOW)) if row["workload"] == member.key
    ]
    names = ("measured", "believed", "source", "budget_left")
    ends = ("measured_low", "budget_left_high", "measured_high", "budget_left_low")
    return Figures(*(row[name] for name in (*names, *ends)))


def of_metrics(database: Engine, member: ShardMember, ends: RangeEnds) -> Figures:
    """What is exported; of the budget that is the end that decides."""

    def value(name: str, source: str | None = None) -> float | None:
        labels = {"namespace": member.namespace, "workload": member.name}
        labels |= {"source": source} if source else {}
        return exported(database, NOW, name, **labels)

    def out(source: str) -> float | None:
        good = value("sli_good_ratio", source)
        return None if good is None else 1 - good

    left = {one: value("sla_budget_remaining_ratio", one) for one in ("measured", "believed")}
    known = {source: found for source, found in left.items() if found is not None}
    assert len(known) == 1
    ((source, remaining),) = known.items()
    best, worst = value("sli_good_high_ratio"), value("sli_good_low_ratio")
    low, left_high = (None, None) if best is None else (1 - best, ends.left_high_ratio)
    high, left_low = (None, None) if worst is None else (1 - worst, ends.left_low_ratio)
    shares = (out("measured"), out("believed"))
    return Figures(*shares, source, remaining, low, left_high, high, left_low)


def assert_operator(database: Engine, member: ShardMember, wanted: Figures) -> None:
    """The details that the operator writes into the object's status."""
    with database.connect() as connection:
        (row,) = load_details(connection, [member.id])
    details = asdict(to_details(row))
    names = {
        "measured": wanted.measured,
        "believed": wanted.believed,
        "budget_left": wanted.left,
        "budget_source": wanted.source,
        "measured_low": wanted.low,
        "budget_left_high": wanted.left_high,
        "measured_high": wanted.high,
        "budget_left_low": wanted.left_low,
    }
    assert names.keys() <= details.keys()
    for name in details.keys() & names.keys():
        expected = names[name]
        is_number = isinstance(expected, float)
        assert details[name] == (pytest.approx(expected) if is_number else expected), name


def words(page: str) -> str:
    """Text of a page or of a terminal, without tags and line breaks."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def assert_said(said: str, wanted: Figures, surface: str) -> None:
    """Both shares and the budget in words, each under its own name."""
    assert f"believed {percent(wanted.believed)}" in said, surface
    assert f"error budget {wanted.remaining} left, {wanted.source}" in said, surface
    if wanted.measured is None:
        assert "measured" not in said.replace("nothing measured", ""), surface
    else:
        why = ": the threshold lies between two bucket edges)"
        share = wanted.out_of_sla.replace(")", why)
        assert f"measured {share} of minutes missed" in said, surface


def kubectl_text(viewer: Any, member: ShardMember) -> str:
    """What `kubectl harmony explain` prints."""
    workload = WorkloadView.model_validate(viewer.get(f"/v1/workloads/{member.key}").json())
    assert workload.last_decision is not None
    answer = viewer.get(f"/v1/decisions/{workload.last_decision.id}").json()
    detail = DecisionDetail.model_validate(answer | {"outcomes": []})
    terminal = Console(width=200, force_terminal=False)
    with terminal.capture() as capture:
        terminal.print(render_decision(detail, workload, NOW))
    rows = words(capture.get()).split(" Promised: ")[1]  # not the sentence above them
    return rows.split(" promise ")[1].split(" forecast ")[0]


def console_text(console: Any, member: ShardMember) -> str:
    """The sentence on a promise on the workload's page."""
    page = words(console.get(f"/workloads/{member.key}/live").text)
    return page.split("The promise: ")[1].split(" Decided ")[0]


@pytest.mark.parametrize("name", [MEASURED, BELIEVED])
@pytest.mark.parametrize("ledgers", ["of rows", "elsewhere", "a range", "an estimate"])
def test_every_surface_shows_the_figures_of_the_one_function(
    viewer, console, database: Engine, name: str, ledgers: str
) -> None:
    member = member_of(database, name)
    risk = ledgers_of_rows(database, member) if ledgers == "of rows" else ELSEWHERE
    ends = {"a range": EndLedgers(LOW, risk), "an estimate": EndLedgers(LOW, HIGH)}.get(
        ledgers, EndLedgers(risk, risk)
    )
    budget = error_budget(risk, to_sla(member.spec), member.step_s)
    found = range_ends(risk, ends, member)
    wanted = Figures(budget.measured_ratio, budget.believed_ratio, budget.source, budget.left_ratio)
    if ledgers in SHARES and name == MEASURED:
        wanted = replace(wanted, low=2.2 / 310, left_high=found.left_high_ratio)
        if ledgers == "an estimate":
            wanted = replace(wanted, high=0.4, left_low=found.left_low_ratio)
        assert wanted.out_of_sla == SHARES[ledgers]
    assert wanted.source == ("measured" if name == MEASURED else "believed")
    assert (wanted.measured is None) == (name == BELIEVED)
    assert wanted.measured != wanted.believed, "a mix-up would be seen"
    store(database, member, stored(member, risk, ends))
    of_rest(viewer, member).assert_like(wanted, "REST")
    of_status_line(database, member).assert_like(wanted, "harmony status")
    of_metrics(database, member, found).assert_like(wanted, "metrics")
    assert_operator(database, member, wanted)
    assert_said(console_text(console, member), wanted, "console")
    assert_said(kubectl_text(viewer, member), wanted, "kubectl")
    row = words(console.get(f"/fleet?search={name}").text)
    assert (wanted.out_of_sla or percent(wanted.believed)) in row
    assert f"{wanted.remaining} " in row


def test_rows_of_one_workload_sum_up_to_what_rest_shows(viewer, database: Engine) -> None:
    member = member_of(database, MEASURED)
    risk = ledgers_of_rows(database, member)
    store(database, member, stored(member, risk))
    outcomes = viewer.get(f"/v1/outcomes?workload={member.key}&limit=500").json()["items"]
    felt = [one["measured_ratio"] for one in outcomes]
    thought = [one["believed_ratio"] for one in outcomes]
    assert len(felt) == 48
    shown = of_rest(viewer, member)
    assert shown.measured == pytest.approx(sum(felt) / len(felt))
    assert shown.believed == pytest.approx(sum(thought) / len(thought), rel=1e-6)


def test_what_replicas_do_not_cure_is_told_in_the_same_words(
    viewer, console, database: Engine
) -> None:
    member = member_of(database, MEASURED)
    told = {
        "goal_unreachable_message": "6 % of requests miss at any load",
        "not_capacity_message": "more requests miss than this load explains",
    }
    state = stored(member, ledgers_of_rows(database, member))
    store(database, member, state)
    unsaid = console_text(console, member) + kubectl_text(viewer, member)
    store(database, member, state | told)
    risk = viewer.get(f"/v1/workloads/{member.key}").json()["risk"]
    assert {name: risk[name] for name in told} == told
    page, terminal = console_text(console, member), kubectl_text(viewer, member)
    for message in told.values():
        assert message not in unsaid
        assert message in page
        assert message in terminal
    with database.connect() as connection:
        (row,) = load_details(connection, [member.id])
    details = to_details(row)
    assert (details.unreachable_message, details.not_capacity_message) == tuple(told.values())
