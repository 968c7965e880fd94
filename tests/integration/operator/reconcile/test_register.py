"""Workloads that were made over REST: the operator leaves them alone, or takes them over."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


def make_over_rest(bench: Bench, name: str) -> None:
    """As `POST /v1/workloads` does, with the spec of another one."""
    with bench.deps.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, managed_by, "
                "created_at, updated_at) SELECT namespace, :name, shard, step_s, "
                "spec || '{\"mode\": \"Advisory\"}', 'api', created_at, updated_at "
                "FROM workloads LIMIT 1"
            ),
            {"name": name},
        )


def test_it_is_left_alone_until_an_autoscaler_takes_it_over(bench: Bench) -> None:
    for name in ("llama", "chat"):
        bench.lab.deploy(name)
    bench.lab.autoscale("llama")
    bench.reconcile()
    make_over_rest(bench, "chat")

    def chat() -> tuple[str, bool, str]:
        (row,) = [row for row in bench.rows("workloads") if row["name"] == "chat"]
        return row["managed_by"], row["is_active"], row["spec"]["mode"]

    bench.reconcile()
    assert chat() == ("api", True, "Advisory")
    bench.lab.autoscale("chat", mode="Auto")
    bench.reconcile()
    assert chat() == ("kubernetes", True, "Auto")
    bench.lab.delete_autoscaler("chat")
    bench.reconcile()
    assert chat() == ("kubernetes", False, "Auto")
