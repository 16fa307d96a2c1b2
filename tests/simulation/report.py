"""The dated report of simulated seeds: ranges add up as long as the code stays the same."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.house.resume import fingerprint
from tests.house.tree import ROOT
from tests.simulation.world import Seed

FOLDER = ROOT / "docs" / "reports"
DATA_BEGIN = "<!-- data: "
DATA_END = " -->"


@dataclass
class Tally:
    """What a number of seeds did together."""

    first: int
    last: int
    seeds: int = 0
    simulated_seconds: float = 0.0
    steps: int = 0
    calls: int = 0
    commits: int = 0
    runs: int = 0
    rare: Counter[str] = field(default_factory=Counter)

    def add(self, seed: Seed) -> None:
        self.seeds += 1
        self.simulated_seconds += seed.seconds
        self.steps += seed.step_count
        self.calls += len(seed.record.operations)
        self.commits += len(seed.record.commits)
        self.runs += len(seed.record.histories)
        self.rare.update(seed.record.sometimes)


def add_to_report(tally: Tally, folder: Path = FOLDER) -> Path:
    """Adds passed seeds to the report of today's code; another state of the code begins anew."""
    code = fingerprint()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    # Tests may run in several processes; the lock is the folder's and ends with the descriptor.
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = _path_of(code, folder)
        kept = _read(path)
        kept[f"{tally.first}..{tally.last}"] = {**vars(tally), "rare": dict(tally.rare)}
        path.write_text(_text(code, kept))
    finally:
        os.close(lock)
    return path


def _path_of(code: str, folder: Path) -> Path:
    """The report of this state of the code, which keeps the date on which it was begun."""
    for path in sorted(folder.glob("simulation-*.md")):
        if f"`{code}`" in path.read_text():
            return path
    return folder / f"simulation-{datetime.now(UTC):%Y-%m-%d}-{code[:6]}.md"


def _read(path: Path) -> dict[str, dict[str, object]]:
    if not path.exists():
        return {}
    data = path.read_text().rpartition(DATA_BEGIN)[2].partition(DATA_END)[0]
    kept: dict[str, dict[str, object]] = json.loads(data)
    return kept


def _commit() -> str:
    """The commit that is checked out; what was changed since then shows in the digest alone."""
    command = ["git", "-c", "safe.directory=*", "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def _text(code: str, kept: dict[str, dict[str, object]]) -> str:
    def total(name: str) -> float:
        return sum(float(str(part[name])) for part in kept.values())

    rare: Counter[str] = Counter()
    for part in kept.values():
        rare.update(part["rare"])  # type: ignore[call-overload]
    ranges = sorted(kept, key=lambda name: int(name.partition("..")[0]))
    lines = [
        "# Simulated seeds",
        "",
        f"State of the code `{code}` (a digest of all Python files and the lock), "
        f"commit `{_commit()}`, "
        f"Python {sys.version_info.major}.{sys.version_info.minor}. "
        "Every seed kept every invariant of `docs/simulation.md`.",
        "",
        "| what | how much |",
        "|---|---:|",
        f"| seeds | {total('seeds'):,.0f} |",
        f"| simulated hours | {total('simulated_seconds') / 3600:,.1f} |",
        f"| callbacks | {total('steps'):,.0f} |",
        f"| calls | {total('calls'):,.0f} |",
        f"| commits | {total('commits'):,.0f} |",
        f"| runs | {total('runs'):,.0f} |",
        f"| ranges | {', '.join(ranges)} |",
        "",
        "| it happened | times |",
        "|---|---:|",
        *(f"| {name} | {count:,} |" for name, count in sorted(rare.items())),
        "",
        DATA_BEGIN + json.dumps(kept, sort_keys=True) + DATA_END,
    ]
    return "\n".join(lines) + "\n"
