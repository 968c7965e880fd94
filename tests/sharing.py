"""Files of tests that one worker runs, one after the other: they share what takes long to make."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

OF_THE_SHORT_DEMO = frozenset(
    f"tests/e2e/test_{name}.py" for name in ("dashboards", "demo", "tracing")
)
"""They look at what one demo leaves; on three workers there would be three demos."""


class FilesThatShare(LoadFileScheduling):
    """Deals whole files to workers, and those of the short demo together."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/e2e (short demo)" if file in OF_THE_SHORT_DEMO else file

    def remove_node(self, node: WorkerController) -> str | None:
        """Take a worker out; what it had left goes to others, but the test that ended it.

        That one has failed. Given to others, as xdist does, it would end them one after the other.
        """
        left = self.assigned_work.pop(node)
        unfinished = [
            (scope, test)
            for scope, tests in left.items()
            for test, done in tests.items()
            if not done
        ]
        if not unfinished:
            return None
        scope, culprit = unfinished[0]
        left[scope][culprit] = True
        self.workqueue.update({s: tests for s, tests in left.items() if not all(tests.values())})
        for other in self.assigned_work:
            self._reschedule(other)
        return culprit
