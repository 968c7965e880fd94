"""Settings that the documents show exist, and take the values that they are shown with."""

from __future__ import annotations

import re

import pytest

from services.kernel.settings import Settings
from tests.unit.docs.blocks import Block, in_language

KNOWN = {f"HARMONY_{name.upper()}" for name in Settings.model_fields}
INI = in_language("ini")


def assignments(text: str) -> dict[str, str]:
    """Names and values, without quotes and comments."""
    found = {}
    for line in text.splitlines():
        name, _, value = re.sub(r"\s+#.*", "", line).partition("=")
        found[name] = value.strip().strip('"')
    return found


@pytest.mark.parametrize("block", INI, ids=str)
def test_settings_exist_and_take_their_values(block: Block) -> None:
    given = assignments(block.text)
    plain = {name.removesuffix("_FILE") if name not in KNOWN else name for name in given}
    assert plain <= KNOWN
    fields = {n.removeprefix("HARMONY_").lower(): v for n, v in given.items() if n in KNOWN}
    made = Settings(**fields)
    for name in fields:
        assert getattr(made, name) is not None


@pytest.mark.parametrize("block", in_language("sh"), ids=str)
def test_variables_of_shell_blocks_are_settings(block: Block) -> None:
    others = {"HARMONY_KEY", "HARMONY_KEY_FILE", "HARMONY_URL", "HARMONY_DATA_DIR"}
    named = set(re.findall(r"\b(HARMONY_[A-Z_]+)\b", block.text))
    assert named <= KNOWN | others
