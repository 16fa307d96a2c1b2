"""The one hot read: runs that are not in memory are looked up together, one query at a time."""

from __future__ import annotations

import asyncio

from engine.env import Env
from engine.errors import EngineError, StoreError, Unavailable
from engine.persistence.protocols import RunKey, Store, StoredRun

Wanted = tuple[RunKey, "asyncio.Future[StoredRun | None]"]


class Loader:
    """Collects what is asked for while a look-up is under way and asks for it in the next."""

    def __init__(self, env: Env, store: Store) -> None:
        self._env = env
        self._store = store
        self._wanted: list[Wanted] = []
        self._running = False

    def load(self, key: RunKey) -> asyncio.Future[StoredRun | None]:
        future: asyncio.Future[StoredRun | None] = asyncio.get_running_loop().create_future()
        self._wanted.append((key, future))
        if not self._running:
            self._running = True
            self._env.spawn("load_runs", self._run())
        return future

    async def _run(self) -> None:
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, []
                await self._look_up(wanted)
        finally:
            self._running = False

    async def _look_up(self, wanted: list[Wanted]) -> None:
        try:
            found = await self._store.load([key for key, _ in wanted])
        except StoreError:
            _fail(wanted, Unavailable("the store cannot be read now"))
        except EngineError as error:
            # One run's damaged rows must not keep the others from being read.
            if len(wanted) == 1:
                _fail(wanted, error)
                return
            for one in wanted:
                await self._look_up([one])
        else:
            for (_, future), stored in zip(wanted, found, strict=True):
                if not future.done():
                    future.set_result(stored)


def _fail(wanted: list[Wanted], error: Exception) -> None:
    for _, future in wanted:
        if not future.done():
            future.set_exception(error)
            future.exception()
