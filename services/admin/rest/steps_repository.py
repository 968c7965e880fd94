"""SQL of how long the steps of stored outcomes were.

No row says how long its step was, and `step_s` of its workload only how long steps are now. A step
ends where the next one begins, unless some are missing between, which two gaps of one length tell
apart.
"""

from __future__ import annotations

from datetime import timedelta

LONGEST = timedelta(hours=1)
"""Longest step; outcomes that lie further apart do not follow each other."""

STEP_GAPS = """lead(step_at) OVER own - step_at AS next,
           lead(step_at, 2) OVER own - lead(step_at) OVER own AS second,
           step_at - lag(step_at) OVER own AS last,
           lag(step_at) OVER own - lag(step_at, 2) OVER own AS before"""
"""Columns over a window `own` of the outcomes of one workload in order of `step_at`."""

STEP_LENGTH = """CASE WHEN next <= :longest AND next IN (last, second) THEN next
            WHEN last <= :longest AND last = before THEN least(next, last)
            ELSE least(next, last, w.step_s * interval '1 second') END"""
"""Length of a step from these columns; it needs the workload `w`, and `LONGEST` as `longest`."""
