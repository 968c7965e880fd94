"""Starting the simulated cluster as a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import yaml

from services.operator.resource.definitions import rendered as rendered_crds
from services.platform.platform import Platform
from services.platform.processes import ProcessSpec, Supervisor

_NODES = "H100=4x8,A100=4x8,L4=8x4"


def start_cluster(supervisor: Supervisor, *options: str) -> str:
    """Start the cluster with options of `python -m services.lab.cluster`; returns its URL.

    Raises:
        Unavailable: It does not start.
    """
    argv = [sys.executable, "-m", "services.lab.cluster", *options]
    supervisor.start_all([ProcessSpec("cluster", argv, server="cluster")])
    return supervisor.address("cluster")


def start_cluster_with_definitions(platform: Platform, kubeconfig: Path) -> None:
    """Start a GPU cluster in real time that knows Harmony's resources, and write its kubeconfig.

    Raises:
        Unavailable: It does not start.
    """
    kubeconfig.unlink(missing_ok=True)
    url = start_cluster(
        platform.supervisor,
        *("--clock", "real", "--nodes", _NODES, "--kubeconfig-out", str(kubeconfig)),
    )
    for text in rendered_crds().values():
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        httpx.post(url + path, json=yaml.safe_load(text), timeout=10.0).raise_for_status()
