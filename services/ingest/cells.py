"""The push API's dependencies for each cluster that samples are sent for.

The workloads of a cluster are found by connections that see no other, and what is remembered of
series goes by names that another cluster may have too: so each has its own of both.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from services.ingest.deps import IngestDeps
from services.ingest.series.catalog import WorkloadCatalog
from services.ingest.series.known_series import KnownSeries
from services.ingest.series.owners import SeriesOwners
from services.ingest.series.pod_memory import PodMemory
from services.kernel.db.clusters import find_cluster, load_clusters
from services.kernel.db.session import make_engine


class Cells:
    """Dependencies by cluster, made when the first samples for it come. Safe between threads."""

    def __init__(self, deps: IngestDeps) -> None:
        """Those that are given are for the cluster of their settings."""
        self._own = deps
        self._lock = threading.Lock()
        self._by_name: dict[str, IngestDeps] = {deps.settings.cluster: deps}

    def of(self, cluster: str) -> IngestDeps:
        """The dependencies for a cluster.

        Raises:
            NotFound: There is no such cluster.
        """
        with self._lock:
            found = self._by_name.get(cluster)
        if found is not None:
            return found
        with self._own.engine.connect() as connection:
            find_cluster(load_clusters(connection), cluster)
        with self._lock:
            return self._by_name.setdefault(cluster, self._made(cluster))

    def _made(self, cluster: str) -> IngestDeps:
        own = self._own
        return replace(
            own,
            engine=make_engine(own.settings.database_url, n_kept=2, cluster=cluster),
            settings=own.settings.model_copy(update={"cluster": cluster}),
            catalog=WorkloadCatalog(),
            known=KnownSeries(),
            announced={},
            owners=SeriesOwners(),
            pods=PodMemory(),
        )
