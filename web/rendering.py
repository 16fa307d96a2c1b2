"""Templates, and the files they link to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import jinja2
from starlette.requests import Request

from web import formats

if TYPE_CHECKING:
    from web.visit import Session

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
THEMES = ("light", "dark")
NOTICES = {
    "signaled": "The signal was sent.",
    "canceled": "Cancellation was requested; the workflow decides how it ends.",
    "terminated": "The workflow was terminated.",
    "deleted": "Nobody can reach the namespace any more, and what it held is being deleted.",
    "trusted": "Saved. Connections that are not trusted any more end within five seconds.",
    "denied": "The certificate is denied. Open connections that use it end within five seconds.",
    "allowed": "The certificate is judged by the CAs and filters again.",
    "list-uploaded": "What the list revokes is refused. Open connections end within five seconds.",
    "list-removed": "The list is removed: what it revoked is accepted again.",
    "card": "The card is on file. What is owed is charged to it now.",
    "saved": "Saved.",
    "sign-on-removed": "Single sign-on was removed. Everybody logs in by password.",
    "proven": "The domain is proven. People with addresses of it can log in through your provider.",
    "budget-deleted": "The budget was deleted. Starts that it stopped are let go.",
    "reset": "Your password is changed, and all sessions were ended. Log in with the new one.",
    "verified": "Thank you: the address is yours.",
    "joined": "Welcome. You are a member of the account now.",
    "invited": "The invitation is on its way by e-mail. Its link works for seven days.",
    "member-changed": "Saved. What was taken away ends within five seconds.",
    "member-removed": "Removed. Sessions and keys end within five seconds.",
    "second-factor-off": "Logging in no longer asks for a code.",
    "password-changed": "The password is changed, and your other sessions were ended.",
    "proof-sent": "A letter is on its way to you.",
    "session-ended": "Ended.",
    "revoked": "The key was revoked. Open connections that use it end within five seconds.",
}
"""What a page says after a form was handled; addresses carry the key and never the text."""


@cache
def asset(name: str) -> str:
    """The address of a static file; it changes with the file, so it can be cached for good."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for read in (
        formats.when,
        formats.exactly,
        formats.day,
        formats.span,
        formats.ago,
        formats.count,
        formats.number_of,
        formats.size,
        formats.money,
        formats.words,
    ):
        made.filters[read.__name__] = read
    made.filters["segment"] = lambda text: quote(str(text), safe="")
    made.filters["compact_json"] = lambda value: json.dumps(value, separators=(",", ":"))
    made.globals["asset"] = asset
    return made


_ENVIRONMENT = environment()


def render(
    template: str, request: Request, session: Session | None, values: Mapping[str, object]
) -> str:
    theme = request.cookies.get("theme", "")
    return _ENVIRONMENT.get_template(template).render(
        session=session,
        theme=theme if theme in THEMES else "",
        notice=NOTICES.get(request.query_params.get("notice", "")),
        here=request.url.path,
        **values,
    )
