"""JSON paths and ages of tables."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.wire.tables import human_age, look_up, wants_table

OBJ = {
    "status": {
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Paused", "status": "False"}],
        "counts": [4, 5],
    }
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ('.status.conditions[?(@.type=="Paused")].status', "False"),
        ('.status.conditions[?(@.type=="Absent")].status', None),
        (".status.counts[1]", 5),
        (".status.counts[7]", None),
        (".spec.nothing", None),
        (".status.counts.inner", None),
        ("status", None),
    ],
)
def test_paths(path: str, value: Any) -> None:
    assert look_up(OBJ, path) == value


@pytest.mark.parametrize(
    ("then", "age"),
    [
        ("2026-01-05T12:00:00Z", "0s"),
        ("2026-01-05T11:58:01Z", "119s"),
        ("2026-01-05T11:58:00Z", "2m"),
        ("2026-01-05T09:00:00Z", "3h"),
        ("2026-01-01T00:00:00Z", "4d"),
        ("2026-01-05T12:00:09Z", "0s"),
    ],
)
def test_ages(then: str, age: str) -> None:
    assert human_age(then, "2026-01-05T12:00:00Z") == age


def test_only_the_first_of_what_a_client_accepts_counts() -> None:
    assert wants_table("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    assert not wants_table("application/json, application/json;as=Table;v=v1;g=meta.k8s.io")
    assert not wants_table("")
