"""The page of the REST API: every operation in a table, and the whole document in a browser."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

VIEWER = "redoc-2.5.4.standalone.js"
_VERBS = ("get", "post", "put", "patch", "delete")
# A page that is read without a network asks nobody.
_NOTHING_ELSEWHERE = (
    "default-src 'none'; script-src 'self' file: 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' data:"
)


def rest_page(document: Mapping[str, Any]) -> str:
    """Every operation of an OpenAPI document, by tag."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, operations in document["paths"].items():
        for verb in _VERBS:
            if verb in operations:
                found = operations[verb]
                what = " ".join(str(found.get("description") or found["summary"]).split())
                row = f"| `{verb.upper()} {path}` | {_cell(what)} |"
                by_tag[found.get("tags", ["other"])[0]].append(row)
    parts = [
        "# REST API",
        'Every operation. <a href="rest-viewer.html">The whole document</a> has parameters, '
        "bodies, answers and examples; a running Harmony serves it as `/openapi.json` and, to "
        "read, as `/reference`. How keys, pages and errors work: [the guide](../api.md).",
    ]
    for tag in sorted(by_tag):
        rows = "\n".join(by_tag[tag])
        parts += [f"## {tag}", f"| operation | what |\n|---|---|\n{rows}"]
    return "\n\n".join(parts) + "\n"


def rest_viewer(document: Mapping[str, Any]) -> str:
    """A page that shows an OpenAPI document, which is in it: it loads from a disk too."""
    inside = json.dumps(document).replace("</", "<\\/")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_NOTHING_ELSEWHERE}">
<title>Harmony REST API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
</head>
<body>
<main id="redoc"></main>
<script src="{VIEWER}"></script>
<script>
Redoc.init({inside}, {{disableSearch: true, hideDownloadButton: true}},
  document.getElementById("redoc"));
</script>
</body>
</html>
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
