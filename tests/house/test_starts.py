"""A process reads the modules of its own work alone, so that it starts soon and stays small."""

from __future__ import annotations

import json
import subprocess
import sys

CONTROL_PLANES_OWN = {
    *("alembic", "api.composition", "api.control", "api.payments", "api.system"),
    *("billing.closing", "fpdf", "jinja2", "perdure", "segno", "stripe", "web"),
}
"""None of these has any work in a cell or before one."""

CELLS_OWN = {"engine.node"}
DOORS_OWN = {"api.asgi", "fastapi"}
LOOK = """
import importlib, json, sys
import api.__main__
told = []
for part in ("cell", "frontend", "control_plane"):
    importlib.import_module(f"api.processes.{part}")
    told.append(sorted(sys.modules))
print(json.dumps(told))
"""


def test_neither_a_cell_nor_a_frontend_reads_what_is_the_control_planes_own() -> None:
    looked = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, check=True
    )
    cell, frontend, control_plane = map(set, json.loads(looked.stdout))
    assert cell & (CONTROL_PLANES_OWN | DOORS_OWN) == set()
    assert frontend & CONTROL_PLANES_OWN == set()
    assert cell >= CELLS_OWN
    assert frontend >= DOORS_OWN
    # What is read when it is needed, or not at all without a setting, is not read here either.
    assert control_plane & CONTROL_PLANES_OWN == CONTROL_PLANES_OWN - {"alembic", "fpdf", "stripe"}
