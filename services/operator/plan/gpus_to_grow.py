"""GPUs that more replicas of a target could have, and what holds back the rest; pure."""

from __future__ import annotations

from dataclasses import dataclass

NODES, CEILING, REFUSED, CLAIMS = "nodes", "ceiling", "refused", "claims"
"""What may hold back GPUs, besides a quota: nodes that exist; the most that may be asked for; a
refusal of nodes, until it may be tried again; claims that cannot be allocated."""


@dataclass(frozen=True, slots=True)
class GpusToGrow:
    """GPUs that more replicas could have.

    Attributes:
        gpus: None: neither nodes nor a quota are known.
        limit: What holds back the rest: one of the above, `ResourceQuota/NAME`, or of Kueue
            `ClusterQueue/NAME`.
        on_new_nodes: How many are on nodes still to come; None: the supply is fixed.
        warm: How many free ones are on nodes that have the images; None: nobody knows.
    """

    gpus: int | None
    limit: str = ""
    on_new_nodes: int | None = None
    warm: int | None = None

    def within(self, gpus: int, limit: str) -> GpusToGrow:
        """No more than `gpus`, for which there is a limit of this name."""
        if self.gpus is not None and gpus >= self.gpus:
            return self
        new = None if self.on_new_nodes is None else min(self.on_new_nodes, gpus)
        return GpusToGrow(gpus, limit, new, self.warm)
