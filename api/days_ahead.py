"""How many days an installation is ahead of the machine's clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from api.installation import Installation, InstallationError, write_whole
from tenancy import clock

DAYS_AHEAD_MAX = 36_500


class TimeWouldGoBack(InstallationError):
    def __init__(self, held: Installation, days: int) -> None:
        super().__init__(
            f"{held.data} has lived {days} days ahead of this machine's clock, and its time cannot"
            f" go back: start it with --days-ahead {days} or more, or choose another directory with"
            " --data"
        )
        self.days = days


def set_clock(held: Installation, wanted: int | None) -> None:
    """Set this process's clock as the installation's is; that is noted, and never gets less.

    With None it stays as it was. Raises TimeWouldGoBack.
    """
    kept = days_ahead(held.data)
    if wanted is not None and wanted < kept:
        raise TimeWouldGoBack(held, kept)
    if wanted is not None and wanted > kept:
        write_whole(_note(held.data), str(wanted).encode())
    follow_clock(held.data)


def follow_clock(data: Path) -> None:
    """Set this process's clock as that of the installation in this directory is."""
    clock.set_ahead(timedelta(days=days_ahead(data)))


def days_ahead(data: Path) -> int:
    note = _note(data)
    return int(note.read_text()) if note.exists() else 0


def _note(data: Path) -> Path:
    return data / "days-ahead"
