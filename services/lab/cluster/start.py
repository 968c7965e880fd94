"""Starting the simulated cluster as a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from services.platform.child import ProcessSpec
from services.platform.platform import Platform
from services.platform.processes import Supervisor

_NODES = "H100=4x8,A100=4x8,L4=8x4"


def start_cluster(supervisor: Supervisor, *options: str) -> str:
    """Start the cluster with options of `python -m services.lab.cluster`; returns its URL.

    Raises:
        Unavailable: It does not start.
    """
    argv = [sys.executable, "-m", "services.lab.cluster", *options]
    note = "it is empty: what was created in it is gone"
    supervisor.start_all(
        [ProcessSpec("cluster", argv, server="cluster", port_by="--port", restart_note=note)]
    )
    return supervisor.address("cluster")


def start_cluster_with_definitions(platform: Platform, kubeconfig: Path) -> None:
    """Start a GPU cluster in real time that knows Harmony's resources, and write its kubeconfig.

    Raises:
        Unavailable: It does not start.
    """
    kubeconfig.unlink(missing_ok=True)
    options = ("--clock", "real", "--nodes", _NODES, "--kubeconfig-out", str(kubeconfig))
    start_cluster(platform.supervisor, *options, "--definitions")
