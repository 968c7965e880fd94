"""Forms of the console: what they hold, and what stands beside a field that is wrong."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
from sqlalchemy import Engine, text

from tests.integration.admin.console_visitor import Person


def hidden(page: str, name: str) -> str:
    """Value of a hidden field."""
    found = re.search(rf'type="hidden" name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return html.unescape(found.group(1))


def beside(answer: httpx.Response, name: str) -> str:
    """What stands beside a field, which says so to those who do not see it."""
    assert answer.status_code == 422, answer.text
    found = re.search(rf'id="e-{name}">([^<]*)<', answer.text)
    assert found is not None, f"nothing beside {name}: {answer.text}"
    assert f'aria-describedby="e-{name}"' in answer.text or name == "days"
    return html.unescape(found.group(1))


def open_form(human: Person, path: str, **fields: Any) -> dict[str, Any]:
    """The fields of a form as a browser would send them, with changes."""
    return {"if_match": hidden(human.get(path).text, "if_match")} | fields


def stored(database: Engine) -> dict[str, Any]:
    with database.connect() as connection:
        found = connection.execute(text("SELECT body FROM workload_controls")).scalar()
    return dict(found or {})
