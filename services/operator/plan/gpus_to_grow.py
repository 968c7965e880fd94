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

    def is_short(self, gpus_per_replica: int) -> bool:
        """There are none for one replica more, as far as is known."""
        return self.gpus is not None and self.gpus < gpus_per_replica

    def within(self, gpus: int, limit: str) -> GpusToGrow:
        """No more than `gpus`, for which there is a limit of this name.

        Free ones come first: the limit leaves nodes to come what is beyond them. Which of the free
        ones it leaves nobody knows, so as many of these are warm, in proportion, as of all of them.
        """
        if self.gpus is None:
            return GpusToGrow(gpus, limit, self.on_new_nodes, self.warm)
        if gpus >= self.gpus:
            return self
        here = self.gpus - (self.on_new_nodes or 0)
        left = min(gpus, here)
        new = None if self.on_new_nodes is None else gpus - left
        warm = self.warm and round(self.warm * left / here)
        return GpusToGrow(gpus, limit, new, warm)
