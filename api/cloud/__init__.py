"""The published CloudService, answered by tenancy and billing: one RPC per file."""

from api.cloud.service import CloudService
from api.cloud.services import Services

__all__ = ["CloudService", "Services"]
