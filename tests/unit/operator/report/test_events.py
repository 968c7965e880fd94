"""Events of rescales and of conditions that changed, one each."""

from __future__ import annotations

from dataclasses import replace

from services.operator.cluster.kills import Kills
from services.operator.report.events import notices, to_event
from services.operator.report.status import build
from tests.unit.operator.examples import NOW
from tests.unit.operator.reports import DETAILS, applied, facts, report


def test_events_tell_rescales_and_transitions_once() -> None:
    before = build(report(), NOW)
    assert notices(report(status=before), build(report(status=before), NOW)) == []
    scaled = report(applied(), status=before)
    (rescale,) = notices(scaled, build(scaled, NOW))
    assert (rescale.reason, rescale.message) == (
        "SuccessfulRescale",
        "New size: 6; was: 4; reason: scale_up_risk",
    )
    pause = report(status=before, annotations={"scaling.harmony.dev/paused": "true"})
    paused = build(pause, NOW)
    assert [n.reason for n in notices(pause, paused)] == ["Paused"]
    resumed = report(status=paused)
    assert [n.reason for n in notices(resumed, build(resumed, NOW))] == ["Resumed"]


def test_requests_that_were_cut_off_are_an_event_of_their_own_once() -> None:
    kills = replace(DETAILS, kills=Kills(1, 60.0, NOW))
    before = build(report(), NOW)
    cut = report(status=before, details=kills)
    after = build(cut, NOW)
    (notice,) = notices(cut, after)
    assert (notice.kind, notice.reason) == ("Warning", "RequestsCutOff")
    assert notice.message.startswith("1 pod that scalings in took")
    again = report(status=after, details=kills)
    assert notices(again, build(again, NOW)) == []


def test_an_event_names_its_autoscaler() -> None:
    event = to_event(facts().autoscaler, notices(report(applied()), build(report(), NOW))[0], NOW)
    assert event["involvedObject"]["uid"] == "u1"
    assert event["metadata"] == {"namespace": "serving", "generateName": "llama."}
    assert event["firstTimestamp"] == "2026-01-05T12:00:00Z"
