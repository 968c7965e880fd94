"""The operator is wired by its settings; a wrong one is one line."""

from __future__ import annotations

import pytest

from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings
from services.operator import main as operator
from services.operator.kube.client import KubeClient
from services.operator.kube.mirrored import MirroredKube

URL = "postgresql+psycopg://nobody@127.0.0.1:1/none"


def settings(**changes: object) -> Settings:
    given = {"database_url": URL, "kube_url": "http://127.0.0.1:1"} | changes
    return Settings(**given)  # type: ignore[arg-type]


def test_copies_are_read_unless_a_replays_clock_leaps() -> None:
    deps, election = operator.make_deps(settings())
    assert isinstance(deps.kube, MirroredKube)
    assert election.keeper is None
    assert not deps.may_write(), "no pass has begun"
    election.fence.enter()
    assert deps.may_write()
    replayed, _ = operator.make_deps(settings(clock="replay", redis_url="redis://127.0.0.1:1"))
    assert type(replayed.kube) is KubeClient
    assert replayed.pace == deps.pace, "decisions are followed between two reports in either"


def test_a_wrong_setting_is_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = settings(leader_election="on", lease_namespace="")
    with pytest.raises(ConfigurationError):
        operator.make_deps(wrong)
    monkeypatch.setattr(operator, "get_settings", lambda: wrong)
    monkeypatch.setattr(operator, "bound_heap", lambda: True)
    monkeypatch.setattr(operator, "configure_tracing", lambda *_: None)
    monkeypatch.setattr(operator.telemetry, "configure_logging", lambda *_: None)
    assert operator.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "HARMONY_LEASE_NAMESPACE" in line


def test_it_says_that_pods_are_not_marked(capsys: pytest.CaptureFixture[str]) -> None:
    operator.say_what_is_off(settings(operator_deletion_cost=True))
    assert capsys.readouterr().out == ""
    operator.say_what_is_off(settings())
    said = capsys.readouterr().out
    assert "deletion_cost_off" in said
    assert "HARMONY_OPERATOR_DELETION_COST=true" in said
