"""python -m benchmarks NAME [--json FILE] [--quick] [OPTION ...]: prints a table."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import uvloop

from benchmarks.awake import kept_awake
from benchmarks.report import Record, document, table
from benchmarks.servers import ServerFailed
from benchmarks.windows import Plan

NAMES = ("floor", "hello", "chain5", "wide", "signals", "ack", "tls", "import", "peers")
MODULES = {"import": "sdk_import"}
"""Of scenarios whose name is none that a module can have."""

# Not the system's temporary folder: that may be memory, where a flush to disk costs nothing.
DATA = Path(__file__).parent.parent / ".data"


def main() -> int:
    """Exit status 0: every result was right; 1: some were not; 2: a server did not come up."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--quick", action="store_true", help="about 10 s; for a first look")
    parser.add_argument("--published", action="store_true", help="worker on published RPCs alone")
    parser.add_argument("--processes", action="store_true", help="the product's parts apart")
    parser.add_argument("--awake", action="store_true", help="keep a virtual machine's cores busy")
    arguments = parser.parse_args()
    plan = Plan.quick() if arguments.quick else Plan.full()
    plan = replace(plan, published=arguments.published, has_processes=arguments.processes)
    scenario = import_module(f"benchmarks.scenarios.{MODULES.get(arguments.name, arguments.name)}")
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=DATA) as folder:
        # A server may run its PostgreSQL as another user, who has to pass.
        Path(folder).chmod(0o711)
        try:
            with kept_awake() if arguments.awake else nullcontext():
                rows: list[Record] = uvloop.run(scenario.run(Path(folder), plan))
        except ServerFailed as error:
            print(error, file=sys.stderr)
            return 2
    print(table(rows))
    if arguments.json:
        figures = document(arguments.name, rows)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if any(row["errors"] or row["lost"] or row["duplicates"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
