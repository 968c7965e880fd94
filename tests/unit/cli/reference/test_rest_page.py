"""The page of the REST API has every operation; the viewer holds the document."""

from __future__ import annotations

from services.cli.reference.rest_page import rest_page, rest_viewer
from services.cli.reference.site import make_document

DOCUMENT = {
    "paths": {
        "/v1/things": {
            "get": {"summary": "List Things", "description": "All\nof them.", "tags": ["things"]},
            "post": {"summary": "Make a thing"},
            "parameters": [],
        }
    }
}


def test_operations_are_listed_by_tag() -> None:
    page = rest_page(DOCUMENT)
    assert page.index("## other") < page.index("## things")
    assert "| `GET /v1/things` | All of them. |" in page
    assert "| `POST /v1/things` | Make a thing |" in page


def test_every_operation_of_the_service_is_listed() -> None:
    document = make_document()
    page = rest_page(document)
    operations = [
        f"`{verb.upper()} {path}`"
        for path, found in document["paths"].items()
        for verb in found
        if verb in {"get", "post", "put", "patch", "delete"}
    ]
    assert len(operations) > 40
    assert [each for each in operations if each not in page] == []


def test_a_document_cannot_end_the_script_that_holds_it() -> None:
    page = rest_viewer({"info": {"title": "</script><b>"}})
    assert "</script><b>" not in page
    assert page.count("</script>") == 2
