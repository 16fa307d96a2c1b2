"""What a person sees while the control plane, which has the console, is away."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
from starlette.types import Receive, Scope, Send

from api.frontend import telling_browsers
from api.transports.errors import ControlPlaneAway


async def away(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ControlPlaneAway


async def test_a_page_that_needs_no_other_file_tells_that_the_console_is_away() -> None:
    transport = httpx.ASGITransport(app=telling_browsers(away))
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud.test") as browser:
        page = await browser.get("/namespaces", headers={"accept": "text/html"})
    assert page.status_code == 503
    assert "workflows, workers, keys and certificates go on" in page.text
    style = re.search("<style>(.*)</style>", page.text)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]
