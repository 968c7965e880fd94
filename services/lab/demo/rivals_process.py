"""`python -m services.lab.demo.rivals_process FOLDER`: the process of `RivalsAside`."""

from __future__ import annotations

import sys
from pathlib import Path

from services.lab.demo.rivals import judge_in

if __name__ == "__main__":
    judge_in(Path(sys.argv[1]))
