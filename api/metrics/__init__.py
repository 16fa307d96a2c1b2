"""What customers see of their namespaces' work, by the field's OpenMetrics endpoint."""

from api.metrics.account import AccountMetrics
from api.metrics.routes import MetricsRoutes
from api.metrics.traffic import Traffic

__all__ = ["AccountMetrics", "MetricsRoutes", "Traffic"]
