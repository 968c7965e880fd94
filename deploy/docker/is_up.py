"""Health check of a container: a URL answers well, or a file was written not long ago.

A program of its own, since podman splits the words of a check at every space.
"""

from __future__ import annotations

import glob
import os
import sys
import time
import urllib.request

LIMIT_S = 15.0
OLDEST_S = 900.0


def main(what: str) -> int:
    """0: it is up; 1: the URL does not answer with 2xx, or no file of the pattern is young."""
    if "://" not in what:
        now_s = time.time()  # noqa: TID251  # the age of a file
        return int(not any(now_s - os.path.getmtime(file) < OLDEST_S for file in glob.glob(what)))
    try:
        with urllib.request.urlopen(what, timeout=LIMIT_S):  # noqa: S310  # compose names it
            return 0
    except OSError as error:
        print(f"{what}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
