"""The way in and out: the first page, sign-up, log-in, log-out."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.responses import Response

from web.errors import LoggedOut, Refused
from web.visit import Visit, session_of

HOME = "/namespaces"


async def welcome(visit: Visit) -> Response:
    if await session_of(visit.cloud) is not None:
        return visit.go(HOME)
    return visit.page("welcome.html")


async def sign_up_form(visit: Visit) -> Response:
    return visit.page("sign_up.html", problem="", email="")


async def sign_up(visit: Visit) -> Response:
    email = visit.form.get("email", "")
    credentials = {"email": email, "password": visit.form.get("password", "")}
    try:
        await visit.cloud.post("/api/v1/sign-up", credentials)
    except (Refused, LoggedOut) as error:
        return visit.page("sign_up.html", status=error.status, problem=error, email=email)
    return visit.go(HOME)


async def log_in_form(visit: Visit) -> Response:
    target = visit.query("next")
    is_sent_here = bool(target)
    return visit.page(
        "login.html", problem="", email="", next=_inside(target), is_sent_here=is_sent_here
    )


async def log_in(visit: Visit) -> Response:
    email, target = visit.form.get("email", ""), _inside(visit.form.get("next", ""))
    credentials = {"email": email, "password": visit.form.get("password", "")}
    try:
        await visit.cloud.post("/api/v1/login", credentials)
    except (Refused, LoggedOut) as error:
        return visit.page(
            "login.html",
            status=error.status,
            problem=error,
            email=email,
            next=target,
            is_sent_here=False,
        )
    return visit.go(target)


async def log_out(visit: Visit) -> Response:
    await visit.cloud.post("/api/v1/logout", {})
    return visit.go("/login")


def _inside(path: str) -> str:
    """A page of the console to go on to; an address of another site is not one."""
    parts = urlsplit(path)
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if is_ours and not parts.scheme and not parts.netloc else HOME
