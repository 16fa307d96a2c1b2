"""Exits with 0 if the address in its argument answers 200, for the health check of a container."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

SECONDS_MAX = 4.0


def main(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=SECONDS_MAX) as answer:  # noqa: S310 - ours
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
