"""The time that a target's pods have to end, from its templates."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.grace import Grace, grace_of

FIELD = "spec.template.spec.terminationGracePeriodSeconds"


def template(grace_s: Any = None, *, hook: bool = False) -> dict[str, Any]:
    lifecycle = {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}} if hook else {}
    spec: dict[str, Any] = {"containers": [{"name": "proxy"}, {"name": "server", **lifecycle}]}
    if grace_s is not None:
        spec["terminationGracePeriodSeconds"] = grace_s
    return {"spec": spec}


@pytest.mark.parametrize(
    ("written", "seconds", "hook"), [(None, 30, False), (0, 0, False), (600, 600, True)]
)
def test_a_template_says_it_or_the_api_server_does(
    written: int | None, seconds: float, hook: bool
) -> None:
    found = grace_of({"spec": {"template": template(written, hook=hook)}})
    assert found == Grace(seconds, FIELD, hook)


def test_of_a_group_the_shortest_grace_counts() -> None:
    group = {"workerTemplate": template(90), "leaderTemplate": template(20, hook=True)}
    field = "spec.leaderWorkerTemplate.leaderTemplate.spec.terminationGracePeriodSeconds"
    assert grace_of({"spec": {"leaderWorkerTemplate": group}}) == Grace(20, field, True)
    alone = grace_of({"spec": {"leaderWorkerTemplate": {"workerTemplate": template(90)}}})
    assert alone is not None
    assert alone.seconds == 90


@pytest.mark.parametrize(
    "resource", [{}, {"spec": None}, {"spec": {"template": {}}}, {"spec": {"predictor": {}}}]
)
def test_without_a_template_nothing_is_known(resource: dict[str, Any]) -> None:
    assert grace_of(resource) is None


@pytest.mark.parametrize("odd", ["-inf", "inf", "nan", -1e308, 1e308, 2.0**63, 2**63])
def test_a_grace_that_no_pod_can_have_is_named(odd: object) -> None:
    """The schema of a custom kind may let it in."""
    with pytest.raises(ValueError, match=rf"^{FIELD}=.* must be a number of seconds") as raised:
        grace_of({"spec": {"template": template(odd)}})
    assert repr(odd) in str(raised.value)


@pytest.mark.parametrize(
    ("written", "seconds"), [(-1, 1.0), (2**62, 2.0**62), (2**63 - 1, 2.0**63)]
)
def test_what_the_api_server_lets_in_is_read(written: int, seconds: float) -> None:
    """It takes a negative grace as one of a second."""
    found = grace_of({"spec": {"template": template(written)}})
    assert found is not None
    assert found.seconds == seconds
