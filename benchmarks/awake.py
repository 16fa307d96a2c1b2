"""Keeps a virtual machine's processors at work, so that its host does not give them to others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# Ends with whoever started it, however that ended.
_LOOP = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""


@contextmanager
def kept_awake() -> Iterator[None]:
    """While it lasts, each core runs a loop that gives way to whatever else wants to run there.

    A processor with nothing to do is halted, and a host lends it to others meanwhile: it comes back
    late and with their data in its caches. On a machine that nobody shares it makes no difference.
    """
    with ExitStack() as loops:
        for core in os.sched_getaffinity(0):
            loop = subprocess.Popen([sys.executable, "-c", _LOOP], stdin=subprocess.DEVNULL)
            loops.callback(_end, loop)
            os.sched_setaffinity(loop.pid, {core})
            os.sched_setscheduler(loop.pid, os.SCHED_IDLE, os.sched_param(0))
        yield


def _end(loop: subprocess.Popen[bytes]) -> None:
    loop.kill()
    loop.wait()
