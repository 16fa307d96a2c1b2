"""What a command's event takes over from the command itself."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.sdk.v1 import UserMetadata


def metadata_of(command: Command) -> UserMetadata | None:
    return command.user_metadata if command.HasField("user_metadata") else None
