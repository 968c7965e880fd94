"""Examples of the OpenAPI document fit their schemas."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

pytestmark = pytest.mark.integration


def test_every_schema_has_an_example_that_fits_it(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert len(schemas) > 60
    for name, schema in schemas.items():
        root = schema | {"components": {"schemas": schemas}}
        for example in schema["examples"]:
            errors = list(Draft202012Validator(root).iter_errors(example))
            assert not errors, (name, errors[0].message)
