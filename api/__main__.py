"""Run the cloud, a part of it, or its move: `python -m api [VERB] [OPTION …]`; see --help.

`close-month` and `system` ask a cloud that runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from api.child import EXIT_UNUSABLE
from api.config import COMMANDS, Config, Verb, read_config
from api.installation import InstallationError
from api.logs import set_up_logs
from api.server import AddressInUse
from engine.errors import StoreError
from tenancy import TenancyError

THREAD_SWITCH_SECONDS = 0.0002


def main() -> int:
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        return _told(_ask)
    config = read_config()
    # Stores make files of their own; nobody else on the machine is to read them.
    os.umask(0o077)
    # At the default of 5 ms a busy event loop keeps the thread that commits waiting for the
    # interpreter; at this interval a commit under load takes some milliseconds, not hundreds. Much
    # shorter ones cost the event loop more in switches than they save.
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    set_up_logs(is_quiet=config.is_quiet)
    return _told(lambda: _run(config))


def _told(work: Callable[[], int]) -> int:
    """The exit status; what cannot be used is told in one line."""
    try:
        return work()
    except (InstallationError, AddressInUse, StoreError, TenancyError) as error:
        print(f"perdure: {error}", file=sys.stderr)
        return EXIT_UNUSABLE


def _ask() -> int:
    """What follows is for a cloud that runs already."""
    from api.system import command

    return command.main(sys.argv[1:], _say)


def _run(config: Config) -> int:
    """Imports what the verb needs and no more: each of several processes is to start soon."""
    if config.has_processes:
        from api.processes import watch

        return watch.main(config)
    if config.move_to is not None:
        from api.move import command

        command.main(config.data, config.move_to, _say)
    elif config.verb is Verb.CELL:
        from api.processes import cell

        cell.main(config)
    elif config.verb is Verb.CONTROL_PLANE:
        from api.processes import control_plane

        control_plane.main(config)
    elif config.verb is Verb.FRONTEND:
        from api.processes import frontend

        frontend.main(config, _greet)
    else:
        from api.processes import cloud

        cloud.main(config, _greet)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _greet(where: str) -> None:
    print(f"Perdure is ready at {where}, process {os.getpid()}; Ctrl-C stops it", flush=True)


if __name__ == "__main__":
    sys.exit(main())
