"""`kubectl harmony explain|diff|history` over HTTP against the admin API of a seeded fleet."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from services.cli.kubectl import api as kubectl_api
from tests.integration.cli.conftest import Plugin

pytestmark = pytest.mark.integration

CHAT = ("llama-70b-chat", "-n", "llm-prod")


def test_explain_says_what_why_and_what_it_costs(seeded_plugin: Plugin, database: Engine) -> None:
    with database.begin() as connection:
        moved = connection.execute(
            text("SELECT id FROM decisions WHERE direction = 'up' ORDER BY id DESC LIMIT 1")
        ).scalar_one()
        workload = connection.execute(
            text(
                "SELECT w.namespace, w.name FROM workloads w JOIN decisions d "
                "ON d.workload_id = w.id WHERE d.id = :id"
            ),
            {"id": moved},
        ).one()
    answer = seeded_plugin(
        "explain", workload.name, "-n", workload.namespace, "--decision", f"{moved}"
    )
    assert (answer.status, answer.err) == (0, "")
    head = answer.out.splitlines()[0]
    assert head.startswith(f"{workload.namespace}/{workload.name}: ")
    assert "replicas, +" in head
    assert " per hour" in head
    for words in (
        "so the count rises before the load does",
        "bound by",
        "Promised: 1 %",
        "Estimated if kept at",
        "p50",
        "by harmony-flow-3",
        "promise",
        "measured 3 % of minutes missed; believed 27 %; error budget 93 % left,",
        "at a promise of 0.1 %:",
        "if replicas started at once:",
    ):
        assert words in answer.out


def test_explain_takes_the_newest_decision_and_several_names(seeded_plugin: Plugin) -> None:
    answer = seeded_plugin(
        "explain", "llama-70b-chat", "mixtral-agents", "-n", "llm-prod", "--json"
    )
    assert answer.status == 0
    assert [(d["workload"], d["id"]) for d in answer.items] == [
        ("llama-70b-chat", 100047),
        ("mixtral-agents", 200047),
    ]
    first = answer.items[0]
    assert first["explanation"]["guard_trace"]
    assert first["actions"][0]["result"] == "unchanged"


def test_explain_refuses_a_decision_of_another_workload(seeded_plugin: Plugin) -> None:
    line = seeded_plugin.fails("explain", *CHAT, "--decision", "200047")
    assert line == (
        "decision 200047 belongs to llm-prod/mixtral-agents, not to llm-prod/llama-70b-chat"
    )
    assert "does not exist" in seeded_plugin.fails("explain", *CHAT, "--decision", "999")


def test_one_unknown_name_does_not_hide_the_others(seeded_plugin: Plugin) -> None:
    answer = seeded_plugin("explain", "nope", "llama-70b-chat", "-n", "llm-prod")
    assert answer.status == 2
    assert answer.err == (
        "kubectl harmony: workload llm-prod/nope does not exist, or its spec cannot be read\n"
    )
    assert answer.out.startswith("llm-prod/llama-70b-chat: ")


def test_diff_is_one_where_something_differs_and_zero_where_nothing_does(
    seeded_plugin: Plugin,
) -> None:
    differs = seeded_plugin("diff", "-A")
    assert differs.status == 1
    row = next(line for line in differs.out.splitlines() if line.startswith("diffusion/sdxl"))
    assert row.split()[1:6] == ["8", "5", "-3", "−4.80", "0.42"]
    assert "kubectl harmony approve sdxl-turbo -n diffusion" in differs.out
    assert "1 of 3 differ: -3 GPUs, −$4.80 per hour" in differs.out
    same = seeded_plugin("diff", "-n", "llm-prod")
    assert same.status == 0
    assert "2 of 2 run as Harmony recommends" in same.out
    one = seeded_plugin("diff", "sdxl-turbo", "-n", "diffusion", "--json")
    assert one.status == 1
    assert one.items[0] | {"decided_at": None} == {
        "namespace": "diffusion", "name": "sdxl-turbo", "mode": "Approval", "is_paused": False,
        "current": 8, "recommended": 5, "delta_gpus": -3, "delta_usd_per_h": pytest.approx(-4.8),
        "risk_estimated": 0.0042, "risk_target": 0.01, "decision_id": 300047, "decided_at": None,
        "result": "awaiting_approval", "result_reason": "mode Approval", "problem": "",
        "is_different": True, "held_by": [],
    }  # fmt: skip


def test_diff_counts_no_lapsed_decision_as_an_answer(
    seeded_plugin: Plugin, database: Engine
) -> None:
    with database.begin() as connection:
        connection.execute(
            text("UPDATE decisions SET valid_until = decided_at WHERE workload_id = 3")
        )
        connection.execute(text("UPDATE decisions SET decided_at = decided_at - interval '1 day'"))
        connection.execute(
            text("UPDATE decisions SET valid_until = decided_at WHERE workload_id = 3")
        )
    answer = seeded_plugin("diff", "-n", "diffusion")
    assert answer.status == 2
    row = answer.out.splitlines()[1].split()
    assert row[:5] == ["sdxl-turbo", "8", "–", "–", "–"]
    assert "is no longer valid; is the decision service running?" in answer.out
    (item,) = seeded_plugin("diff", "-n", "diffusion", "--json").items
    assert (item["recommended"], item["delta_gpus"], item["is_different"]) == (None, None, None)


def test_history_joins_decisions_with_what_came_of_them(seeded_plugin: Plugin) -> None:
    answer = seeded_plugin("history", *CHAT, "--limit", "30", "--json")
    assert answer.status == 0
    assert [row["id"] for row in answer.items] == list(range(100047, 100017, -1))
    passed = [row for row in answer.items if row["believed"] is not None]
    assert passed
    assert all(row["n_steps"] >= 1 and row["gpu_hours"] > 0 for row in passed)
    assert {row["measured"] for row in answer.items} == {None}
    felt = seeded_plugin("history", "mixtral-agents", "-n", "llm-prod", "--json").items
    assert {row["measured"] for row in felt} == {0.0, 0.12}
    assert all(row["workload"] == "llm-prod/llama-70b-chat" for row in answer.items)
    moves = seeded_plugin("history", *CHAT, "--changes", "--json").items
    assert moves
    assert all(row["current"] != row["final"] for row in moves)
    table = seeded_plugin("history", *CHAT, "--limit", "2").out.splitlines()
    names = ["ID", "DECIDED", "REPLICAS", "RESULT", "RISK", "MEASURED", "BELIEVED", "WHY"]
    assert table[1].split() == names
    assert [line.split()[0] for line in table[2:]] == ["100047", "100046"]


def test_long_lists_are_read_page_by_page(
    seeded_plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = seeded_plugin("history", *CHAT, "--limit", "30", "--json")
    fleet = seeded_plugin("diff", "-A", "--json")
    monkeypatch.setattr(kubectl_api, "_PAGE", 2)
    assert seeded_plugin("history", *CHAT, "--limit", "30", "--json").out == whole.out
    assert seeded_plugin("diff", "-A", "--json").out == fleet.out
    assert len(fleet.items) == 3


def test_what_is_missing_is_said_in_one_line(
    seeded_plugin: Plugin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "answered 404 without" not in seeded_plugin.fails("explain", "nope")
    assert "goes with one NAME" in seeded_plugin.fails("explain", "a", "b", "--decision", "1")
    assert "goes without NAME" in seeded_plugin.fails("diff", "-A", "-n", "llm-prod")
    assert "cannot be read" in seeded_plugin.fails("explain", *CHAT, "--key-file", "/none/such")
    assert "is not in the kubeconfig" in seeded_plugin.fails("explain", "a", "--context", "other")
    (tmp_path / "wrong").write_text("hk_0123456789_" + "x" * 43)
    wrong = seeded_plugin.fails("explain", *CHAT, "--key-file", str(tmp_path / "wrong"))
    assert "no valid credential" in wrong
    away = seeded_plugin.fails("explain", *CHAT, "--server", "http://127.0.0.1:9")
    assert away.startswith("http://127.0.0.1:9 cannot be reached")
    monkeypatch.delenv("HARMONY_URL")
    assert "set HARMONY_URL or --server" in seeded_plugin.fails("diff")


def test_a_key_in_the_environment_serves_where_no_file_is_named(
    seeded_plugin: Plugin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HARMONY_KEY_FILE")
    assert "no API key: set --key-file" in seeded_plugin.fails("diff", "-A")
    monkeypatch.setenv("HARMONY_KEY", (tmp_path / "key").read_text())
    assert seeded_plugin("diff", "-n", "llm-prod").status == 0
