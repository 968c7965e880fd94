"""The rivals in a process of their own: `python -m services.lab.demo.rivals_process FOLDER`.

It loads what judges rivals and no more: who starts it is in `services.lab.demo.rivals_aside`.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from services.lab.demo.rivals import SharedDay, judge_rivals

ASKED, ANSWER = "day.pickle", "rivals.pickle"
"""Files of its folder: what it is asked, and what it answers."""


def judge_in(folder: Path) -> None:
    """In the process: judge the rivals of the day in a folder, and leave their scores there."""
    day: SharedDay = pickle.loads((folder / ASKED).read_bytes())  # noqa: S301 - from our own parent
    (folder / ANSWER).write_bytes(pickle.dumps(judge_rivals(day)))


if __name__ == "__main__":
    judge_in(Path(sys.argv[1]))
