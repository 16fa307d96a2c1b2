"""Durable execution in Python: workflows and activities as ordinary async functions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure import activity, workflow
    from perdure.client import Client
    from perdure.tls import TLSConfig
    from perdure.worker import Worker

__all__ = ["Client", "TLSConfig", "Worker", "__version__", "activity", "workflow"]

__version__ = "0.1.0"

_MODULES = {
    "activity": "",
    "workflow": "",
    "Client": "client",
    "TLSConfig": "tls",
    "Worker": "worker",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for and no more, so that a program starts fast."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _MODULES[name]:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
