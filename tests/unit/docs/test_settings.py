"""Every setting is documented, with its default."""

from pathlib import Path

from services.kernel.settings import Settings

REPO = Path(__file__).parents[3]


def test_every_setting_is_documented_with_its_default() -> None:
    documented = (REPO / "docs" / "settings.md").read_text()
    missing = []
    for name, field in Settings.model_fields.items():
        default = field.default
        row = f"| `HARMONY_{name.upper()}` | `{'' if default is None else default}` |"
        if row not in documented:
            missing.append(f"{row} {field.description} |")
        assert field.description, name
    assert missing == [], "\n".join(missing)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = (REPO / "docs" / "settings.md").read_text()
    names = {f"HARMONY_{name.upper()}" for name in Settings.model_fields}
    found = {
        line.split("`")[1] for line in documented.splitlines() if line.startswith("| `HARMONY_")
    }
    assert found - names == set()
