"""The release after this code: it has one migration more, in a folder of the test."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from services.kernel.db import migrations
from services.kernel.db.migrations import head_revision

NEXT = f"{int(head_revision()) + 1:04d}"
"""Revision of its migration."""
# columns that have a default, or may be null, and stand last: as the rules of migrations want it
_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = {next!r}, {head!r}, None, None
oldest_code = {oldest_code!r}
SEE = (
    "CREATE OR REPLACE VIEW cell.workloads AS SELECT * FROM workloads "
    "WHERE cluster_id = (SELECT current_cluster()) WITH CASCADED CHECK OPTION"
)


def upgrade():
    op.add_column("workloads", sa.Column("hue", sa.Text(), nullable=False, server_default="red"))
    op.execute(SEE)
    op.add_column("observations", sa.Column("hue", sa.Text(), nullable=True))


def downgrade():
    pass
"""


def migrate_by_the_next_release(engine: Engine, folder: Path, oldest_code: str) -> None:
    """Run `harmony migrate` of the next release, whose migration states `oldest_code`."""
    text = _MIGRATION.format(next=NEXT, head=head_revision(), oldest_code=oldest_code)
    (folder / f"{NEXT}_next.py").write_text(text)
    ours = migrations._config()
    known = Path(str(ours.get_main_option("script_location"))) / "versions"
    ours.set_main_option("path_separator", "newline")
    ours.set_main_option("version_locations", f"{known}\n{folder}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "_config", lambda: ours)
        patch.setattr(migrations, "head_revision", lambda: NEXT)
        assert migrations.migrate(engine) == NEXT
