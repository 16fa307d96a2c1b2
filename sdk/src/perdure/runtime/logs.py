"""The logger of workflow code."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from perdure.runtime.context import current_or_none


class ReplayAwareLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs once, not again at each replay, with the run's ids as fields."""

    def isEnabledFor(self, level: int) -> bool:
        instance = current_or_none()
        if instance is not None and (instance.replaying or instance.evicting):
            return False
        return super().isEnabledFor(level)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        instance = current_or_none()
        if instance is not None:
            fields: dict[str, Any] = {
                "workflow_id": instance.run.workflow_id,
                "run_id": instance.run.run_id,
                "workflow_type": instance.run.workflow_type,
            }
            kwargs["extra"] = {**fields, **(kwargs.get("extra") or {})}
        return msg, kwargs


logger = ReplayAwareLogger(logging.getLogger("perdure.workflow"), {})
