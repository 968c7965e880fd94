"""Replays requests on the engine: a script for the arena's own Python.

It answers lines as `replay_serve` says. Of the product it loads only the modules beside it whose
names begin with `replay_`, which import nothing else of it. The engine's own messages go to the
standard error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Keep the answers' stream for answers: whatever else is printed goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # The tree is on the path for a moment only: where it is an installed product, packages that
    # the arena lacks must not come from there.
    root = str(Path(__file__).parents[3])
    sys.path.append(root)
    from services.lab.arena.replay_serve import serve

    sys.path.remove(root)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
