"""The console: server-rendered pages that read and act through the public API alone."""

from web.app import console, is_page

__all__ = ["console", "is_page"]
