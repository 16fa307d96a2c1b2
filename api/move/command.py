"""`move`: copies, verifies, and only then lets the installation's servers use the copy."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

from api.cell_store import POSTGRES, SQLITE, cell_count, cell_schema, kept_store, kind_of
from api.installation import Installation, installation, part_of, sync_folder, write_whole
from api.local_postgres import kept_running
from api.move.control import NEW_TABLES, bring_up_to_date, opened
from api.move.errors import AlreadyMoved, NothingToMove
from api.part_settings import cells_named
from api.processes.loop import run
from engine.persistence.move import Report, begin_copy, copy_cell, verify_cell
from engine.persistence.postgres.copy_in import CopyIn
from engine.persistence.sqlite.copy_out import store_file
from tenancy.placement import CELL_DEFAULT

TOKEN_BYTES = 16
TELL_AGAIN_SECONDS = 1.0
MOVED = ".moved"
"""Behind the names of files that no server opens again."""

Say = Callable[[str], None]


def main(data: Path, choice: str, say: Say) -> None:
    """Raises InstallationError, StoreError, TenancyError. Killed, it goes on where it was."""
    if not any((data / name).exists() for name in ("store", "cell-1.db")):
        raise NothingToMove(data)
    with _alone(data) as (held, cell_ids):
        kept = kept_store(held)
        if kept != SQLITE:
            if not _set_aside(held, cell_ids):
                raise AlreadyMoved(data, str(kept))
            say(f"the data of {data} is in the store {kept!r}; what was left of SQLite is put away")
            return
        if not (held.cell_path.exists() and held.database_path.exists()):
            raise NothingToMove(data)
        with _target(held, choice) as url:
            run(_move(held, url, cell_ids, Progress(say)))
        write_whole(held.store_path, kind_of(choice).encode())
        _set_aside(held, cell_ids)
    store = kind_of(choice) if choice == POSTGRES else f"{kind_of(choice)}…"
    say(
        f"moved: start with ./dev up --store {store}{' --processes' * (len(cell_ids) > 1)};"
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

    def of(self, cell_id: str) -> Report:
        """The same for what is done with one of the cells."""
        return lambda what, done, total: self(f"{cell_id}: {what}", done, total)


@contextmanager
def _alone(data: Path) -> Iterator[tuple[Installation, Sequence[str]]]:
    """The installation and the cells that it has, held against every server of it."""
    with installation(data) as held, ExitStack() as others:
        cell_ids = [place.id for place in cells_named(cell_count(held, None))]
        for cell_id in cell_ids[1:]:
            others.enter_context(installation(data, part_of(cell_id)))
        yield held, cell_ids


async def _move(held: Installation, url: str, cell_ids: Sequence[str], progress: Progress) -> None:
    """The first cell's copy notes how far the control plane's is, and is confirmed last."""
    await bring_up_to_date(held.database_url, url)
    # A cell that was never started has nothing yet.
    files = {id: held.store_file(id) for id in cell_ids if held.store_file(id).exists()}
    async with AsyncExitStack() as stack:
        copies: dict[str, CopyIn] = {}
        for id, file in files.items():
            copy = copies[id] = CopyIn(url, held.cell_id, cell_schema(id))
            await stack.enter_async_context(copy)
            with store_file(file) as cell:
                await begin_copy(cell, copy, _token(held), NEW_TABLES if id == CELL_DEFAULT else {})
        whole = copies[CELL_DEFAULT]
        if whole.place.is_verified:
            return
        if whole.place.part:
            progress.say(f"going on with {whole.place.part}")
        control = stack.enter_context(opened(held.database_url, url))
        for id, copy in copies.items():
            with store_file(files[id]) as cell:
                await copy_cell(cell, copy, progress.of(id))
        control.copy(whole.place, progress)
        for id, copy in copies.items():
            digest = await verify_cell(files[id], copy, progress.of(id))
            progress.say(f"{id} is equal on both sides; SHA-256 of its histories: {digest}")
        control.verify(progress)
        for copy in reversed(copies.values()):
            await copy.confirm()


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


def _set_aside(held: Installation, cell_ids: Sequence[str]) -> bool:
    """Rename the files of SQLite, with their logs, so that not even another release opens them."""
    found = False
    for path in (held.database_path, *map(held.store_file, cell_ids), held.system_path):
        for suffix in ("-wal", "-shm", ""):
            file = path.with_name(path.name + suffix)
            if file.exists():
                found = True
                file.rename(path.with_name(path.name + MOVED + suffix))
    held.moving_path.unlink(missing_ok=True)
    sync_folder(held.data)
    return found
