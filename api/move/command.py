"""`move`: copies, verifies, and only then lets the installation's servers use the copy."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from api.cell_store import POSTGRES, SQLITE, cell_count, kept_store, kind_of
from api.installation import Installation, installation, sync_folder, write_whole
from api.local_postgres import kept_running
from api.move.control import NEW_TABLES, bring_up_to_date, opened
from api.move.errors import AlreadyMoved, NothingToMove
from api.processes.loop import run
from engine.persistence.move import begin_copy, copy_cell, verify_cell
from engine.persistence.postgres.copy_in import CopyIn
from engine.persistence.sqlite.copy_out import store_file

TOKEN_BYTES = 16
TELL_AGAIN_SECONDS = 1.0
MOVED = ".moved"
"""Behind the names of files that no server opens again."""

Say = Callable[[str], None]


def main(data: Path, choice: str, say: Say) -> None:
    """Raises InstallationError, StoreError, TenancyError. Killed, it goes on where it was."""
    if not any((data / name).exists() for name in ("store", "cell-1.db")):
        raise NothingToMove(data)
    with installation(data) as held:
        cell_count(held, 1)
        kept = kept_store(held)
        if kept != SQLITE:
            if not _set_aside(held):
                raise AlreadyMoved(data, str(kept))
            say(f"the data of {data} is in the store {kept!r}; what was left of SQLite is put away")
            return
        if not (held.cell_path.exists() and held.database_path.exists()):
            raise NothingToMove(data)
        with _target(held, choice) as url:
            run(_move(held, url, Progress(say)))
        write_whole(held.store_path, kind_of(choice).encode())
        _set_aside(held)
    say(
        f"moved: start with ./dev up --store {kind_of(choice)}{'' if choice == POSTGRES else '…'};"
        f" the files of SQLite are kept beside it, as *{MOVED}"
    )


class Progress:
    """Says how far it is, about once a second and at the end of each part."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self._told_at = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        is_due = time.monotonic() - self._told_at > TELL_AGAIN_SECONDS
        if total and (done >= total or is_due):
            self._told_at = time.monotonic()
            self.say(f"{what}: {done:,} of {total:,}")


async def _move(held: Installation, url: str, progress: Progress) -> None:
    await bring_up_to_date(held.database_url, url)
    async with CopyIn(url, held.cell_id) as target:
        with store_file(held.cell_path) as cell, opened(held.database_url, url) as control:
            await begin_copy(cell, target, _token(held), NEW_TABLES)
            if target.place.is_verified:
                return
            if target.place.part:
                progress.say(f"going on with {target.place.part}")
            await copy_cell(cell, target, progress)
            control.copy(target.place, progress)
            digest = await verify_cell(held.cell_path, url, target, progress)
            control.verify(progress)
        progress.say(f"equal on both sides; SHA-256 of all runs and histories: {digest}")
        await target.confirm()


@contextmanager
def _target(held: Installation, choice: str) -> Iterator[str]:
    if choice == POSTGRES:
        with kept_running(held.data / "postgres") as url:
            yield url
    else:
        yield choice


def _token(held: Installation) -> str:
    """The copy under way; another one once a server has changed what was copied."""
    if not held.moving_path.exists():
        write_whole(held.moving_path, secrets.token_hex(TOKEN_BYTES).encode())
    return held.moving_path.read_text()


def _set_aside(held: Installation) -> bool:
    """Rename the files of SQLite, with their logs, so that not even another release opens them."""
    found = False
    for path in (held.database_path, held.cell_path, held.system_path):
        for suffix in ("-wal", "-shm", ""):
            file = path.with_name(path.name + suffix)
            if file.exists():
                found = True
                file.rename(path.with_name(path.name + MOVED + suffix))
    held.moving_path.unlink(missing_ok=True)
    sync_folder(held.data)
    return found
