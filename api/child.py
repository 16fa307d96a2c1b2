"""Child processes that do not outlive the thread that started them."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable

EXIT_UNUSABLE = 2
"""The status of a process that will not run as it was told to: starting it again is no use."""

PR_SET_PDEATHSIG = 1

# Loaded before any fork, so that a child makes one system call and nothing more.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def ending_with_parent(how: signal.Signals) -> Callable[[], None]:
    """For `preexec_fn`: on Linux the child gets the signal when the starting thread ends."""

    def arrange() -> None:
        if _prctl is not None:
            _prctl(PR_SET_PDEATHSIG, how)

    return arrange
