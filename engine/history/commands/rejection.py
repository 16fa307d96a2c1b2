"""Why a command fails the workflow task that carried it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from temporalio.api.enums.v1 import WorkflowTaskFailedCause


class CommandRejected(Exception):
    """The completion is undone and its workflow task fails with `cause`."""

    def __init__(self, cause: WorkflowTaskFailedCause.ValueType, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail
