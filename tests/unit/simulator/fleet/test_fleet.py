"""Bounds and node pools of a fleet."""

from __future__ import annotations

import numpy as np


def test_bounds_let_every_demand_be_served(fleet):
    needed = np.ceil(fleet.demand / fleet.capacity[:, None])
    assert np.all(needed.max(axis=1) <= [w.max_replicas for w in fleet.workloads])


def test_the_cluster_holds_everyone_s_peak_at_once(fleet):
    peak = fleet.needed_replicas().max(axis=1)
    for pool in fleet.node_pools():
        wanted = sum(
            n * w.gpus_per_replica
            for n, w in zip(peak, fleet.workloads, strict=True)
            if w.gpu_type == pool.gpu_type
        )
        total = pool.n_nodes * pool.gpus_per_node
        assert 1.1 * wanted <= total <= 1.1 * wanted + pool.gpus_per_node
