"""The reference of the HTTP API as a page, drawn in the browser from the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

_FOLDER = Path(__file__).parent
_FILES = {
    b"/docs": ("index.html", b"text/html; charset=utf-8"),
    b"/docs/docs.css": ("docs.css", b"text/css; charset=utf-8"),
    b"/docs/docs.js": ("docs.js", b"text/javascript; charset=utf-8"),
}
OPENAPI_PATH = b"/api/v1/openapi.json"

PAGE_HEADERS = [
    (b"cache-control", b"no-cache"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]


class Page(NamedTuple):
    headers: list[tuple[bytes, bytes]]
    content: bytes


class Pages:
    """The files of the page and the document it is drawn from, each read or made once."""

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        self._document = document
        self._pages: dict[bytes, Page] = {}

    def get(self, raw_path: bytes) -> Page | None:
        page = self._pages.get(raw_path)
        if page is None:
            page = self._make(raw_path)
            if page is not None:
                self._pages[raw_path] = page
        return page

    def _make(self, raw_path: bytes) -> Page | None:
        if raw_path == OPENAPI_PATH:
            document = orjson.dumps(self._document())
            return Page([(b"content-type", b"application/json")], document)
        file = _FILES.get(raw_path)
        if file is None:
            return None
        name, content_type = file
        return Page([(b"content-type", content_type)], (_FOLDER / name).read_bytes())
