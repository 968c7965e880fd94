"""Values of single indicators become rows of whole steps."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.step_blocks import StepSeries, StepValues, to_blocks
from services.kernel.db.steps.blocks import GAP, SEEN


def workload(number: int, *names: str) -> WorkloadRef:
    refs = {name: IndicatorRef(name, False, is_signed=False, query="") for name in names}
    return WorkloadRef(number, "demo", f"w{number}", 0, 60, refs)


WORKLOADS = [workload(1, "a", "b"), workload(2, "b"), workload(3, "a", "b")]
SERIES = [
    StepSeries(WORKLOADS[number], name) for number, name in ((0, "b"), (0, "a"), (1, "b"), (2, "a"))
]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 4)), st.none() | st.floats(0, 9, width=32)
    )
)
def test_every_value_stands_in_its_place_and_nothing_else_does(
    values: dict[tuple[int, int], float | None],
) -> None:
    found = StepValues(
        np.array([key[0] for key in values], dtype=np.int64),
        np.array([60 * key[1] for key in values], dtype=np.int64),
        np.array([value or 0.0 for value in values.values()], dtype=np.float32),
        np.array([value is not None for value in values.values()], dtype=bool),
    )
    stored = {}
    for block in to_blocks(SERIES, found):
        keys = list(zip(block.workload_ids.tolist(), block.at_us.tolist(), strict=True))
        assert keys == sorted(set(keys))
        for row, key in enumerate(keys):
            for place, name in enumerate(block.names):
                state, value = int(block.states[row, place]), float(block.values[row, place])
                if state:
                    assert state == (GAP if np.isnan(value) else SEEN)
                    stored[*key, name] = None if state == GAP else value
    expected = {
        (SERIES[number].workload.id, 60 * step, SERIES[number].indicator): value
        for (number, step), value in values.items()
    }
    assert stored == expected


def test_workloads_with_the_same_names_share_a_layout_whatever_is_written() -> None:
    one = np.array([0, 3])
    found = StepValues(one, np.array([0, 0]), np.ones(2, dtype=np.float32), np.ones(2, dtype=bool))
    (block,) = (block for block in to_blocks(SERIES, found) if len(block.at_us))
    assert (block.names, block.workload_ids.tolist()) == (("a", "b"), [1, 3])
