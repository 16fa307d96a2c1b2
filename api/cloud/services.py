"""What the handlers of CloudService work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tenancy import ControlPlane, Database
from tenancy.randomness import Now


@dataclass(frozen=True, slots=True)
class Services:
    """`provision` is called after a commit that leaves work for a cell; it returns at once.

    `console_address` is where browsers find the console, without a slash at its end.
    """

    control: ControlPlane
    database: Database
    now: Now
    provision: Callable[[], None]
    console_address: str
