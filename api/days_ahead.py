"""How many days an installation is ahead of the machine's clock."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

from api.installation import Installation, InstallationError, kept_number
from tenancy import clock

DAYS_AHEAD_MAX = 36_500
NOTE = "days-ahead"


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
    refused = partial(TimeWouldGoBack, held)
    days = kept_number(held.data / NOTE, wanted, first=0, refused=refused)
    clock.set_ahead(timedelta(days=days))


def follow_clock(data: Path) -> None:
    """Set this process's clock as that of the installation in this directory is."""
    note = data / NOTE
    clock.set_ahead(timedelta(days=int(note.read_text()) if note.exists() else 0))
