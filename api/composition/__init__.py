"""The cloud: every piece is made here, once, and given what it needs."""

from __future__ import annotations

from api.composition.cloud import Cloud, open_cloud, open_control_plane
from api.composition.settings import CloudSettings, cloud_settings

__all__ = ["Cloud", "CloudSettings", "cloud_settings", "open_cloud", "open_control_plane"]
