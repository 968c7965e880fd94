"""What the documents show of `kubectl get` has the columns that our definitions print."""

from __future__ import annotations

from services.operator.resource.definitions import DEFINITIONS, to_crd
from tests.unit.docs.blocks import all_blocks


def test_the_table_of_autoscalers_has_its_columns() -> None:
    shown = next(b for b in all_blocks() if b.text.startswith("NAME   TARGET "))
    definition = next(d for d in DEFINITIONS if d.kind == "GPUAutoscaler")
    (version,) = to_crd(definition)["spec"]["versions"]
    columns = [c for c in version["additionalPrinterColumns"] if not c.get("priority")]
    head, row = shown.text.splitlines()
    assert head.split() == ["NAME", *(column["name"].upper() for column in columns)]
    # what is empty leaves a gap: each cell that is there stands under its heading
    starts = {head.index(f" {name}") + 1 for name in head.split()[1:]} | {0}
    cells = [at for at in range(len(row)) if row[at] != " " and row[at - 1 : at] in ("", " ")]
    assert set(cells) <= starts
