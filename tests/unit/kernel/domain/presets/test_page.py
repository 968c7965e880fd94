"""Pages of metrics are read by what they name; anything else is refused with its beginning."""

from __future__ import annotations

import pytest

from services.kernel.domain.presets import read_page

PAGE = """\
# HELP wait_seconds Some words.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.1",pod="a"} 1
wait_seconds_bucket{le="0.5",pod="a"} 2
wait_seconds_bucket{le="+Inf",pod="a"} 3
wait_seconds_bucket{le="1",pod="b"} 2
wait_seconds_bucket{le="Inf",pod="b"} 3
wait_seconds_sum 1
wait_seconds_count 3
# TYPE done counter
done{kind="x"} 4
# TYPE asked_total counter
asked_total 4
# TYPE later histogram
"""


def test_series_types_and_edges() -> None:
    page = read_page(PAGE)
    assert page.edges == {"wait_seconds": (0.1, 0.5, 1.0)}
    presences = {
        name: page.presence(name)
        for name in ("done", "asked_total", "wait_seconds_sum", "later_bucket", "nothing")
    }
    assert presences == {
        "done": "there",
        "asked_total": "there",
        "wait_seconds_sum": "there",
        "later_bucket": "silent",
        "nothing": "missing",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a remark alone\n",
        "<html><body>Not found</body></html>",
        '{"status": "ok"}',
        "hello world",
        'up{a="b} 1',
        'x_bucket{le="wide"} 1',
    ],
)
def test_what_is_no_page_is_refused(text: str) -> None:
    start = text[:10].strip()
    with pytest.raises(ValueError, match="is no page of metrics") as refused:
        read_page(text)
    assert start in str(refused.value)
    assert "\n" not in str(refused.value)
