"""What operators see of the cloud's work: traces, metrics and health, off unless they ask."""

from api.telemetry.settings import TelemetrySettings
from api.telemetry.telemetry import Telemetry, observed

__all__ = ["Telemetry", "TelemetrySettings", "observed"]
