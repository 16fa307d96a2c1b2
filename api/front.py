"""What stands behind the door: the console's pages and the control plane's own routes."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import status_of
from web import console, is_page

logger = logging.getLogger(__name__)


def fallback(api: ASGIApp, routes: ASGIApp) -> ASGIApp:
    """Pages for browsers, which act through `api`; `routes` for everybody else."""
    pages = console(api)

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        await (pages if is_page(scope) else routes)(scope, receive, send)

    return guarded(choose)


def guarded(app: ASGIApp) -> ASGIApp:
    """Logs what escapes the application, and answers where it has not answered itself."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await app(scope, receive, send_noting)
        except Exception as error:
            logger.exception("request_failed")
            if has_begun or scope["type"] != "http":
                return
            answer = status_of(error)
            headers = [(b"content-type", b"application/json")]
            start = {"type": "http.response.start", "status": answer.http_status}
            await send({**start, "headers": headers})
            await send({"type": "http.response.body", "body": answer.json()})

    return guard
