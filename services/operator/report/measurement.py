"""Conditions of what is measured: counts, demand, and what replicas do not cure; pure."""

from __future__ import annotations

from typing import NamedTuple

from services.operator.report.facts import FALSE, TRUE, UNKNOWN, AutoscalerFacts, Finding
from services.operator.resource.quantities import format_duration

_MEASURED = ("Measured", "NoRequests")
_REMEDIES = {
    "NoObjective": (
        "being out of SLA is only believed, from the capacity: state sla.objective.goals"
    ),
    "NoSeries": (
        "the objective has no counts: set indicatorsFrom, goodQuery and totalQuery, or push them"
    ),
    "NoAnswer": (
        "the counts of the objective have no values: run the queries by hand, compare the bucket "
        "edges with `harmony presets check URL`, or push them"
    ),
}
"""By the status of the counts: what to do, where the stored state does not say it."""


def sli_measured(facts: AutoscalerFacts) -> Finding:
    """Whether the promise is measured on requests, or only believed."""
    unmeasured = facts.autoscaler.unmeasured
    if unmeasured is not None:
        return Finding("SLIMeasured", FALSE, unmeasured.reason, unmeasured.message)
    if facts.details is None:
        return Finding("SLIMeasured", UNKNOWN, "NotReadYet")
    found = facts.details.sli_status
    if found is None:
        return Finding("SLIMeasured", UNKNOWN, "NoDecision", "the first decision tells")
    if found in _MEASURED:
        note = facts.details.sli_message or facts.autoscaler.objective_note
        return Finding("SLIMeasured", TRUE, found, note)
    message = facts.details.sli_message or _REMEDIES.get(found, "")
    return Finding("SLIMeasured", FALSE, found, message)


def demand_censored(facts: AutoscalerFacts) -> Finding:
    """Whether the demand is less than what was asked for, since the replicas serve no more."""
    message = None if facts.details is None else facts.details.censored_message
    return _told(facts, "DemandCensored", message, _Reasons("ReplicasSaturated", "DemandSeen"))


def goal_unreachable(facts: AutoscalerFacts) -> Finding:
    """Whether more requests miss at any load than the promise tolerates."""
    if facts.details is None:
        return Finding("GoalUnreachable", UNKNOWN, "NotReadYet")
    message = facts.details.unreachable_message
    if message:
        return Finding("GoalUnreachable", TRUE, "MissesAtAnyLoad", message)
    if facts.details.measured is None:
        return Finding("GoalUnreachable", UNKNOWN, "NotMeasured")
    return Finding("GoalUnreachable", FALSE, "NothingSaysSo")


def not_capacity(facts: AutoscalerFacts) -> Finding:
    """Whether more requests missed in the last hour than their load explains."""
    message = None if facts.details is None else facts.details.not_capacity_message
    return _told(facts, "NotCapacity", message, _Reasons("MissesWithoutLoad", "LoadExplains"))


def lead_time_beyond_horizon(facts: AutoscalerFacts) -> Finding:
    """Whether a start may take longer than a decision looks: then nothing is early enough.

    Decisions look further than forecasts reach where starts take longer, as far as history carries.
    """
    name, details = "LeadTimeBeyondHorizon", facts.details
    if details is None:
        return Finding(name, UNKNOWN, "NotReadYet")
    if details.horizon_s is None:
        return Finding(name, UNKNOWN, "NoForecast")
    reach_s, wanted_s = details.reach_s or 0.0, details.wanted_s or 0.0
    if wanted_s <= details.horizon_s:
        return Finding(name, FALSE, "WithinHorizon")
    reach, forecast = (format_duration(round(s)) for s in (reach_s, details.horizon_s))
    if wanted_s <= reach_s:
        message = f"decisions look {reach} ahead, since starts take long; {forecast} are forecast"
        return Finding(name, FALSE, "WithinReach", message)
    message = (
        f"1 % of the starts land later than {format_duration(round(wanted_s))} after they were "
        f"asked for, and decisions look {reach} ahead: what rises beyond that is met too late; "
        "shorten the start, or let forecasts read more history or reach further "
        "(HARMONY_CONTEXT_STEPS, HARMONY_HORIZON_STEPS)"
    )
    return Finding(name, TRUE, "StartsOutlastForecast", message)


class _Reasons(NamedTuple):
    """Reason of a condition that is true, and of one that is false."""

    of_true: str
    of_false: str


def _told(facts: AutoscalerFacts, name: str, message: str | None, reasons: _Reasons) -> Finding:
    """A condition by what is stored of it: a message where it is true, none where nobody knows."""
    if facts.details is None:
        return Finding(name, UNKNOWN, "NotReadYet")
    if message is None:
        return Finding(name, UNKNOWN, "NotKnown")
    if message:
        return Finding(name, TRUE, reasons.of_true, message)
    return Finding(name, FALSE, reasons.of_false)
