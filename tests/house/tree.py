"""The files of the product as git sees them: tracked, or new and not ignored."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def product_files(*suffixes: str) -> tuple[str, ...]:
    """Sorted paths relative to the checkout, of these suffixes or of all if none is given.

    `safe.directory` lets git read a checkout that another user owns, as in a container.
    """
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-zco", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(
        path
        for path in sorted(set(listing.split("\0")))
        if path and (not suffixes or path.endswith(suffixes)) and (ROOT / path).is_file()
    )
