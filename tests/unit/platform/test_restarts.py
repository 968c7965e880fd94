"""What ends again and again is started ever more slowly, and never given up."""

from __future__ import annotations

from hypothesis import given, strategies as st

from services.platform.restarts import N_SOON, WINDOW_S, EndHistory

gaps = st.lists(st.floats(0, 3 * WINDOW_S), min_size=1, max_size=60)


@given(gaps)
def test_a_restart_is_never_far_away(gaps: list[float]) -> None:
    history, now_s = EndHistory(), 0.0
    for gap in gaps:
        now_s += gap
        assert 0 < history.note(now_s) <= 5.0
        assert 1 <= history.n_recent <= len(gaps)


def test_the_wait_grows_to_a_limit_and_is_short_again_after_a_quiet_while() -> None:
    history = EndHistory()
    waits = [history.note(float(second)) for second in range(6)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert history.n_recent > N_SOON
    assert history.note(10 * WINDOW_S) == 0.5
    assert history.n_recent == 1
