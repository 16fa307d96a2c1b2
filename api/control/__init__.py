"""What the published control-plane API lacks: sign-up, sessions, scoped keys, cost."""

from api.control.app import control_app
from api.control.desk import Desk

__all__ = ["Desk", "control_app"]
