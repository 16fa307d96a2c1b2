"""A control plane and a machine for its system cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.mortal import Machine
from tests.tenancy.conftest import cloud, passwords

__all__ = ["cloud", "passwords"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)
