"""Public names are made of the glossary's words, one word for each thing."""

from __future__ import annotations

import pytest

from tests.architecture.glossary import PAGE, Glossary, public_names, read_glossary, words

MOST_EXCEPTIONS = 11
"""How many public names differ: lower it when one goes, never raise it."""


@pytest.fixture(scope="module")
def glossary() -> Glossary:
    return read_glossary(PAGE.read_text())


def test_every_word_of_a_public_name_is_in_the_glossary(glossary: Glossary) -> None:
    allowed = glossary.known | glossary.refused.keys()
    unknown = {
        f"{word}: {where} {name}"
        for where, name in public_names()
        for word in words(name)
        if word not in allowed
    }
    assert sorted(unknown) == []


def test_no_public_name_holds_a_second_word_for_a_term(glossary: Glossary) -> None:
    wrong = {
        f"{where} {name}: {word}, the glossary has {glossary.refused[word]}"
        for where, name in public_names()
        for word in words(name)
        if word in glossary.refused and name not in glossary.exceptions
    }
    assert sorted(wrong) == []


def test_exceptions_only_shrink(glossary: Glossary) -> None:
    names = {name for _, name in public_names()}
    needed = {name for name in names if set(words(name)) & glossary.refused.keys()}
    assert sorted(glossary.exceptions - needed) == []
    assert len(glossary.exceptions) == MOST_EXCEPTIONS


def test_a_word_is_known_or_refused_not_both(glossary: Glossary) -> None:
    assert sorted(glossary.known & glossary.refused.keys()) == []
    assert len(glossary.known) > 200


def test_the_page_is_read_as_it_is_written() -> None:
    page = (
        "| term | what it is | other words in names | not |\n|---|---|---|---|\n"
        "| rung | which | tier, tiers | level |\n\n## Words of form\n\nUnits: s, ms.\n"
        "\n## Public names that differ\n\n* `old_level`: since then\n"
    )
    found = read_glossary(page)
    assert found.known == {"rung", "tier", "tiers", "s", "ms"}
    assert found.refused == {"level": "rung"}
    assert found.exceptions == {"old_level"}
