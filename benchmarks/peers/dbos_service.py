"""DBOS as one process, which is its way: workflows, steps and their client live in it.

`dbos_service.py DATABASE_URL` prints a line once it is ready. Then each line `NUMBER STEPS` starts
a workflow of that many steps, and the line `NUMBER RESULT` tells its end. It runs with an
interpreter that has DBOS and nothing of ours.
"""

from __future__ import annotations

import asyncio
import os
import sys

from dbos import DBOS

POOL_CONNECTIONS = 40


@DBOS.step()
async def greet(number: int) -> str:
    return f"hello-{number}"


@DBOS.workflow()
async def sequence(number: int, steps: int) -> str:
    greeting = ""
    for _ in range(steps):
        greeting = await greet(number)
    return greeting


async def answer(number: int, steps: int) -> None:
    handle = await DBOS.start_workflow_async(sequence, number, steps)
    result = await handle.get_result()
    print(number, result, flush=True)


async def main() -> None:
    DBOS.launch()
    print("ready", flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with asyncio.TaskGroup() as running:
        while line := await lines.readline():
            number, steps = map(int, line.split())
            running.create_task(answer(number, steps))
    DBOS.destroy()


if __name__ == "__main__":
    # On two cores its event loop and its threads fight for the interpreter: 195 workflows a second
    # instead of 450. So it gets the core that suits it, and the client the other.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    DBOS(
        config={
            "name": "bench",
            "system_database_url": sys.argv[1],
            "log_level": "ERROR",
            "sys_db_pool_size": POOL_CONNECTIONS,
            "application_version": "1",
            "executor_id": "benchmark",
        }
    )
    asyncio.run(main())
