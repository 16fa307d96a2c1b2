"""Why an installation is not moved.

InstallationError
└── MoveError
    ├── NothingToMove     the directory holds no data in SQLite
    ├── AlreadyMoved      its data is in PostgreSQL
    └── ControlDiffers    the copy of the control plane is not equal to what it was made from
"""

from __future__ import annotations

from pathlib import Path

from api.installation import InstallationError


class MoveError(InstallationError):
    """The installation is not moved."""


class NothingToMove(MoveError):
    def __init__(self, data: Path) -> None:
        super().__init__(
            f"{data} holds no installation: name its directory with --data, or begin in PostgreSQL"
            " with ./dev up --store postgres"
        )
        self.data = data


class AlreadyMoved(MoveError):
    def __init__(self, data: Path, kept: str) -> None:
        super().__init__(
            f"the data of {data} is in the store {kept!r} already: start with ./dev up"
            " and the --store that it is in"
        )
        self.data = data
        self.kept = kept


class ControlDiffers(MoveError):
    def __init__(self, what: str) -> None:
        super().__init__(
            f"the copy of the control plane differs in {what}: the installation keeps to SQLite;"
            " run the move again, and if it differs again, move to another database"
        )
        self.what = what
