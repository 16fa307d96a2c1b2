"""The cloud's own long work: workflows in an engine cell of the control plane's own."""

from __future__ import annotations

from api.system.control_system import ControlSystem

__all__ = ["ControlSystem"]
