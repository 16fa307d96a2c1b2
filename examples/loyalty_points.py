"""A customer's loyalty points: an entity that lives as long as the customer, fed by signals.

One workflow is one customer. Nothing is locked and nothing is lost: signals are handled one by one,
in order, and the history continues as a new run before it becomes long.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from examples.connection import connect
from perdure import Worker, activity, workflow

TASK_QUEUE = "loyalty-points"
LEVELS = ((0, "basic"), (500, "gold"), (1_000, "platinum"))
SIGNALS_PER_RUN = 200


@dataclass(frozen=True)
class Membership:
    """What one run hands to the next."""

    points: int = 0
    level: str = "basic"


def level_of(points: int) -> str:
    """The highest level that the points reach."""
    return [level for threshold, level in LEVELS if points >= threshold][-1]


@dataclass
class MailServer:
    """Stands for a mail server."""

    mails: list[str] = field(default_factory=list)

    @activity.defn
    async def congratulate(self, customer: str, level: str) -> None:
        """Tell a customer about a new level."""
        self.mails.append(f"{customer} is {level}")


@workflow.defn
class LoyaltyPoints:
    """A customer's account of points."""

    def __init__(self) -> None:
        self._points = 0
        self._level = "basic"
        self._signals = 0
        self._has_left = False

    @workflow.run
    async def run(self, membership: Membership) -> int:
        """The points at the end of the membership."""
        # Signals that came with the start were handled before this line; theirs are kept.
        self._points += membership.points
        self._level = membership.level
        while True:
            await workflow.wait_condition(self._something_to_do)
            if (level := level_of(self._points)) != self._level:
                await self._change_level(level)
            elif self._has_left:
                return self._points
            else:
                workflow.continue_as_new(Membership(self._points, self._level))

    def _something_to_do(self) -> bool:
        is_full = self._signals >= SIGNALS_PER_RUN
        return self._has_left or is_full or level_of(self._points) != self._level

    async def _change_level(self, level: str) -> None:
        """A rise is told; who spends points falls back in silence."""
        levels = [name for _, name in LEVELS]
        is_rise = levels.index(level) > levels.index(self._level)
        self._level = level
        if is_rise:
            await workflow.execute_activity(
                MailServer.congratulate,
                workflow.info().workflow_id,
                level,
                start_to_close_timeout=timedelta(seconds=10),
            )

    @workflow.signal
    def add_points(self, points: int) -> None:
        self._points += points
        self._signals += 1

    @workflow.signal
    def leave(self) -> None:
        self._has_left = True

    @workflow.query
    def membership(self) -> Membership:
        """As of now: a mail about the level may still be on its way."""
        return Membership(self._points, level_of(self._points))


async def main() -> None:
    server = MailServer()
    async with (
        await connect() as client,
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[LoyaltyPoints],
            activities=[server.congratulate],
        ),
    ):
        handle = await client.start_workflow(
            LoyaltyPoints.run, Membership(), id=f"customer-{uuid4()}", task_queue=TASK_QUEUE
        )
        for points in (300, 250, 600):
            await handle.signal(LoyaltyPoints.add_points, points)
        print(await handle.query(LoyaltyPoints.membership))
        await handle.signal(LoyaltyPoints.leave)
        print(f"{await handle.result()} points;", *server.mails)


if __name__ == "__main__":
    asyncio.run(main())
