"""Traces of seeds, run in a process of their own under a given PYTHONHASHSEED."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def traces_of(script: str, hash_seed: str) -> list[str]:
    """What `script` prints, word by word."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, cwd=ROOT
    )
    return done.stdout.decode().split()
