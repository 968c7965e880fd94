"""Files of tests that one worker runs, one after the other: they share what takes long to make."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

OF_THE_SHORT_DEMO = frozenset(
    f"tests/e2e/test_{name}.py" for name in ("dashboards", "demo", "tracing")
)
"""They look at what one demo leaves; on three workers there would be three demos."""


class FilesThatShare(LoadFileScheduling):
    """Deals whole files to workers, and those of the short demo together."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/e2e (short demo)" if file in OF_THE_SHORT_DEMO else file
