"""A promise in words: what is believed is never called measured."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import given, strategies as st

from services.admin.workloads.schemas import RiskView
from services.admin.workloads.wording import (
    UNKNOWN,
    budget_left,
    faults,
    missed,
    promise,
    remaining,
    share,
    violation,
    why_unmeasured,
)
from services.kernel.domain.workload import RiskKind

MEASURED: dict[str, Any] = {
    "kind": "DemandFraction",
    "target": 0.01,
    "source": "measured",
    "violation_ratio": 0.012,
    "measured_ratio": 0.012,
    "believed_ratio": 0.004,
    "window_s": 86400.0,
    "n_steps": 288,
    "budget_remaining": -0.2,
    "sli_status": "Measured",
}
BELIEVED: dict[str, Any] = MEASURED | {
    "source": "believed",
    "violation_ratio": 0.004,
    "measured_ratio": None,
    "budget_remaining": 0.6,
    "sli_status": "NoSeries",
    "sli_message": "sli_ttft_total has no query; set spec.objective.series.",
}


def risk(values: dict[str, Any], **changes: Any) -> RiskView:
    return RiskView.model_validate(values | changes)


def test_measured_is_what_requests_or_minutes_missed() -> None:
    assert violation(risk(MEASURED)) == "measured 1.2 % of requests missed"
    assert violation(risk(MEASURED, kind="TimeFraction")) == "measured 1.2 % of minutes missed"
    assert missed(risk(MEASURED, kind="AnyInWindow")) == "of minutes missed"
    assert why_unmeasured(risk(MEASURED)) == ""


def test_believed_says_why_nothing_is_measured() -> None:
    assert violation(risk(BELIEVED, kind="TimeFraction")) == (
        "believed 0.4 % of the time beyond capacity (nothing measured: "
        "sli_ttft_total has no query; set spec.objective.series)"
    )
    assert {missed(risk(BELIEVED, kind=kind)) for kind in get_args(RiskKind)} == {
        "of the time beyond capacity"
    }
    assert violation(risk(BELIEVED, sli_message="")).endswith("capacity (nothing measured)")


def test_the_budget_names_its_source() -> None:
    assert budget_left(risk(MEASURED)) == "-20 % left, measured"
    assert budget_left(risk(BELIEVED)) == "60 % left, believed"
    assert budget_left(risk(BELIEVED, budget_remaining=None)) == "–"
    assert budget_left(risk(BELIEVED, source=None)) == "–"


def test_a_range_is_told_by_both_ends_where_they_read_differently() -> None:
    ranged = risk(MEASURED, measured_low_ratio=0.008, budget_remaining_high=0.2)
    assert promise(ranged) == (
        "measured 0.8 % to 1.2 % of requests missed; believed 0.4 %; "
        "error budget -20 % to 20 % left, measured"
    )
    alike = risk(MEASURED, measured_low_ratio=0.01199, budget_remaining_high=-0.199)
    assert promise(alike) == promise(risk(MEASURED))
    assert (share(ranged), share(risk(BELIEVED))) == ("0.8 % to 1.2 %", "0.4 %")
    assert remaining(risk(BELIEVED, budget_remaining=None)) == "–"


def test_an_estimate_is_told_with_the_range_that_is_sure_and_why_it_is_one() -> None:
    ends = {"measured_low_ratio": 0.001, "measured_high_ratio": 0.4}
    left = {"budget_remaining_low": -39.0, "budget_remaining_high": 0.9}
    estimated = risk(MEASURED, violation_ratio=0.007, measured_ratio=0.007, **ends, **left)
    assert violation(estimated) == (
        "measured 0.7 % (0.1 % to 40 %: the threshold lies between two bucket edges) "
        "of requests missed"
    )
    assert share(estimated) == "0.7 % (0.1 % to 40 %)"
    assert budget_left(estimated) == "-20 % (-3900 % to 90 %) left, measured"
    no_less = risk(MEASURED, measured_high_ratio=0.4, budget_remaining_low=-39.0)
    assert (share(no_less), remaining(no_less)) == (
        "1.2 % (1.2 % to 40 %)",
        "-20 % (-3900 % to -20 %)",
    )
    alike = risk(MEASURED, measured_high_ratio=0.01201, budget_remaining_low=-0.2001)
    assert promise(alike) == promise(risk(MEASURED))


def test_the_promise_gives_both_figures() -> None:
    assert promise(risk(MEASURED)) == (
        "measured 1.2 % of requests missed; believed 0.4 %; error budget -20 % left, measured"
    )
    assert promise(risk(BELIEVED, sli_message="")) == (
        "believed 0.4 % of the time beyond capacity (nothing measured); "
        "error budget 60 % left, believed"
    )


def test_a_window_without_requests_has_no_share() -> None:
    idle = risk(MEASURED, violation_ratio=None, measured_ratio=None, budget_remaining=1.0)
    assert promise(idle) == (
        "measured, no requests in the window; believed 0.4 %; error budget 100 % left, measured"
    )


def test_series_that_have_gone_silent_are_said_beside_what_was_measured() -> None:
    silent = risk(MEASURED, sli_status="NoAnswer", sli_message="the query gives nothing.")
    assert promise(silent).startswith(
        "measured 1.2 % of requests missed; not measured at present: the query gives nothing; "
    )


def test_the_unknown_is_no_figure() -> None:
    nothing = {"source": None, "violation_ratio": None, "budget_remaining": None}
    assert promise(risk(BELIEVED, **nothing, sli_message="")) == UNKNOWN
    assert promise(risk(BELIEVED, **nothing)) == (
        f"{UNKNOWN}; nothing measured: sli_ttft_total has no query; set spec.objective.series"
    )


def test_what_replicas_do_not_cure_is_told_one_by_one() -> None:
    assert faults(risk(MEASURED)) == faults(risk(MEASURED, not_capacity_message="")) == ()
    told = {"goal_unreachable_message": "errors", "not_capacity_message": "release"}
    assert faults(risk(MEASURED, **told)) == ("errors", "release")


@given(
    ratio=st.floats(0, 1),
    kind=st.sampled_from(["TimeFraction", "DemandFraction", "AnyInWindow"]),
    message=st.sampled_from(["", "no answer"]),
)
def test_a_believed_figure_is_never_called_measured(ratio: float, kind: str, message: str) -> None:
    said = promise(
        risk(BELIEVED, violation_ratio=ratio, believed_ratio=ratio, kind=kind, sli_message=message)
    )
    assert said.startswith("believed ")
    assert "measured" not in said.replace("nothing measured", "")
