"""Declared metrics: named once, and told apart by the labels of their workload."""

from __future__ import annotations

from services.exporter.metrics import EXPORTED, WORKLOAD_LABELS, WORKLOAD_METRICS


def test_each_is_declared_once() -> None:
    names = [one.full_name for one in WORKLOAD_METRICS]
    assert len(set(names)) == len(names) >= 20
    assert all(name.startswith("harmony_") for name in names)


def test_each_names_cluster_namespace_and_workload_but_the_total() -> None:
    for one in WORKLOAD_METRICS:
        own = (one.label,) if one.label else ()
        assert one.labels == (() if one is EXPORTED else (*WORKLOAD_LABELS, *own))
