"""The operator's bench on the simulated cluster, for the examples."""

from tests.integration.operator.conftest import bench, cluster_url, lab

__all__ = ["bench", "cluster_url", "lab"]
