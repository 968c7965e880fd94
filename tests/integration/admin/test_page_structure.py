"""Pages as a screen reader walks them: headings in order, parts and fields that have names.

The rules are those of WCAG 2.2 and WAI-ARIA that HTML alone decides; colours and sizes are seen in
a real browser (`test_browser.py`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from html.parser import HTMLParser

import pytest

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import BASE_URL
from tests.integration.admin.console_visitor import person
from tests.integration.admin.test_pages import PAGES

pytestmark = pytest.mark.integration

WHOLE = [page for page in PAGES if not re.search(r"/(fleet|live|timeline\?.*)$", page)]
MORE = ["/audit", "/audit?check=true", "/cells", "/keys", "/advice", "/nothing-here"]
FIELDS = {"input", "select", "textarea"}
NAMED = {"nav", "form", "section"}
"""Landmarks of which a page may have several; a form or a section is one where it has a name."""
VOID = {"input", "img", "meta", "link", "br", "hr", "col", "source"}


class Structure(HTMLParser):
    """What a page has of what has to be in order.

    Attributes:
        headings: Levels, in order.
        ids: How often each id occurs.
        refers: Ids that labels and descriptions name.
        landmarks: Kind and name of each.
        problems: Elements without a name.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.ids: Counter[str] = Counter()
        self.refers: set[str] = set()
        self.landmarks: list[tuple[str, str]] = []
        self.problems: list[str] = []
        self._open: list[tuple[str, str]] = []
        self._texts: defaultdict[str, str] = defaultdict(str)
        self._labelled: set[str] = set()
        self._fields: list[tuple[str, Mapping[str, str]]] = []
        self.feed(html)
        self.landmarks = [(kind, self._texts.get(n, n).strip()) for kind, n in self.landmarks]
        self.problems += [
            f"field without a label: {name}"
            for name, given in self._fields
            if given.get("id", "") not in self._labelled
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self._open.append((tag, given.get("id", "")))
        if "id" in given:
            self.ids[given["id"]] += 1
        for name in ("aria-labelledby", "aria-describedby", "for"):
            self.refers |= set(given.get(name, "").split())
        if tag == "label" and "for" in given:
            self._labelled.add(given["for"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self._landmark(tag, given)
        self._field(tag, given)
        if tag == "img" and "alt" not in given:
            self.problems.append(f"image without alt: {given.get('src')}")
        if tag == "th" and "scope" not in given:
            self.problems.append(f"header cell without scope, line {self.getpos()[0]}")
        if tag == "html" and not given.get("lang"):
            self.problems.append("no language")

    def handle_endtag(self, tag: str) -> None:
        if any(tag == name for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            self._texts[name] += data

    def _landmark(self, tag: str, given: Mapping[str, str]) -> None:
        kind = given.get("role") or tag
        name = given.get("aria-label") or given.get("aria-labelledby") or ""
        if kind in {"main", "banner"} or (kind in {*NAMED, "region", "search"} and name):
            self.landmarks.append((kind, name))
        if kind == "nav" and not name:
            self.problems.append("navigation without a name")

    def _field(self, tag: str, given: Mapping[str, str]) -> None:
        if tag not in FIELDS or given.get("type") in {"hidden", "submit"}:
            return
        is_named = (
            any(name == "label" for name, _ in self._open)
            or given.get("aria-label")
            or given.get("aria-labelledby")
        )
        if not is_named:
            self._fields.append((given.get("name", tag), given))


def faults(page: str) -> list[str]:
    found = Structure(page)
    said = list(found.problems)
    steps = zip([0, *found.headings], found.headings, strict=False)
    said += [f"h{here} after h{before}" for before, here in steps if here > before + 1]
    if found.headings.count(1) != 1:
        said.append(f"{found.headings.count(1)} first headings")
    said += [f"id twice: {name}" for name, n in found.ids.items() if n > 1]
    said += [f"names no part: {name}" for name in sorted(found.refers - set(found.ids))]
    twice = [
        one for one, n in Counter(name for _, name in found.landmarks if name).items() if n > 1
    ]
    return said + [f"two landmarks of one name: {name}" for name in twice]


@pytest.mark.usefixtures("seeded")
def test_every_page_can_be_walked_without_seeing_it(deps: AdminDeps) -> None:
    with person(deps, Role.ADMIN) as admin:
        pages = {path: admin.get(path).text for path in [*WHOLE, *MORE]}
    with person(deps, Role.VIEWER) as viewer:
        pages["not allowed"] = viewer.get("/keys").text
        viewer.post("/logout", headers={"Origin": BASE_URL})
        pages["login"] = viewer.get("/login").text
    assert all("<html" in page for page in pages.values())
    assert {path: said for path, page in pages.items() if (said := faults(page))} == {}


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ("<h1>a</h1><h3>b</h3>", "h3 after h1"),
        ("<h1>a</h1><h1>b</h1>", "2 first headings"),
        ('<h1>a</h1><input name="n">', "field without a label: n"),
        ('<h1>a</h1><p id="x"></p><p id="x"></p>', "id twice: x"),
        ('<h1>a</h1><p aria-labelledby="y"></p>', "names no part: y"),
        ("<h1>a</h1><nav></nav>", "navigation without a name"),
        ("<h1>a</h1><table><th>b</th></table>", "header cell without scope, line 1"),
        ('<h1>a</h1><img src="b">', "image without alt: b"),
        (
            '<h1>a</h1><div role="region" aria-label="b"></div><nav aria-label="b"></nav>',
            "two landmarks of one name: b",
        ),
    ],
)
def test_each_fault_is_found(html: str, said: str) -> None:
    assert faults(html) == [said]
    labels = '<label>c <input name="n"></label><label for="d">e</label><input id="d">'
    assert faults(f"<h1>a</h1><h2>b</h2>{labels}") == []
