"""Since when a workload's goals and GPUs are what they are is noted, whoever writes its spec."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 5, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
TTFT, ERRORS = {"metric": "ttft", "threshold_s": 2}, {"metric": "errors", "threshold_s": None}
SPEC = {"gpu_type": "H100", "sla": {"objective": {"goals": [TTFT, ERRORS]}}}
A, B = ({"name": name, "gpu_type": name.upper(), "gpus_per_replica": 1} for name in "ab")
P = {"name": "prefill", "gpu_type": "H100", "loads": ["x"]}


def goals(*chosen: dict[str, Any], **others: Any) -> dict[str, Any]:
    return SPEC | {"sla": {"objective": {"goals": list(chosen), **others}}}


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (SPEC, goals(TTFT | {"threshold_s": 1}, ERRORS), "goals"),
        (SPEC, goals(TTFT), "goals"),
        (SPEC, {"gpu_type": "H100"}, "goals"),  # no objective any more
        (SPEC, goals(ERRORS, TTFT | {"threshold_s": 2.0}, share=0.9), ""),
        (SPEC, SPEC | {"capacity": {"per_replica": 9}, "gpus_per_replica": 1}, ""),
        ({"sla": SPEC["sla"]}, SPEC, ""),  # what is taken where nothing is said
        (SPEC, SPEC | {"gpu_type": "L4"}, "gpus"),
        (SPEC, SPEC | {"gpus_per_replica": 2}, "gpus"),
        (SPEC, SPEC | {"variants": [A, B]}, ""),
        (SPEC | {"variants": [A]}, SPEC | {"variants": [A, B]}, ""),
        (SPEC | {"variants": [A, B]}, SPEC | {"variants": [A]}, "gpus"),
        (SPEC | {"variants": [A, B]}, SPEC | {"variants": [B, A]}, "gpus"),
        (
            SPEC | {"variants": [A, B]},
            SPEC | {"variants": [A, B | {"gpus_per_replica": 2}]},
            "gpus",
        ),
        (SPEC | {"pools": [P]}, SPEC | {"pools": [P | {"gpu_type": "L4"}]}, "gpus"),
        (SPEC | {"pools": [P]}, SPEC | {"pools": [P | {"loads": ["x", "y"]}]}, "gpus"),
        (SPEC, None, ""),  # somebody has spoilt it
        (None, SPEC, ""),
    ],
)
def test_a_change_is_noted_where_what_was_counted_says_no_more(
    database: Engine, before: Any, after: Any, changed: str
) -> None:
    given = {"spec": json.dumps(before), "after": json.dumps(after), "at": AT, "later": LATER}
    insert = (
        "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
        "VALUES ('shop', 'chat', 0, 60, CAST(:spec AS jsonb), :at, :at)"
    )
    update = "UPDATE workloads SET spec = CAST(:after AS jsonb), updated_at = :later"
    with database.begin() as connection:
        connection.execute(text(insert), given)
        connection.execute(text(update), given)
        row = connection.execute(text("SELECT * FROM workloads")).mappings().one()
    expected = [LATER if changed == of else None for of in ("goals", "gpus")]
    assert [row["goals_since"], row["gpus_since"]] == expected
