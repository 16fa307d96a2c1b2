"""Running workflows and activities in this process."""

from __future__ import annotations

from perdure.worker.replayer import Replayer
from perdure.worker.worker import Worker

__all__ = ["Replayer", "Worker"]
