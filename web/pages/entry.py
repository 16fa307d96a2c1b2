"""The way in and out: the first page, sign-up, log-in, log-out."""

from __future__ import annotations

from starlette.responses import Response

from web.errors import LoggedOut, Refused
from web.visit import HOME, Visit, inside, session_of


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
        "login.html", problem="", email="", next=inside(target), is_sent_here=is_sent_here
    )


async def log_in(visit: Visit) -> Response:
    email, target = visit.form.get("email", ""), inside(visit.form.get("next", ""))
    credentials = {"email": email, "password": visit.form.get("password", "")}
    try:
        answer = await visit.cloud.post("/api/v1/login", credentials)
    except (Refused, LoggedOut) as error:
        return visit.page(
            "login.html",
            status=error.status,
            problem=error,
            email=email,
            next=target,
            is_sent_here=False,
        )
    if second_step := answer.get("second_step"):
        return visit.page("code.html", second_step=second_step, next=target, problem="")
    return visit.go(target)


async def give_code(visit: Visit) -> Response:
    """The second step of a log-in."""
    second_step, target = visit.form.get("second_step", ""), inside(visit.form.get("next", ""))
    body = {"second_step": second_step, "code": visit.form.get("code", "")}
    try:
        await visit.cloud.post("/api/v1/login/second-step", body)
    except (Refused, LoggedOut) as error:
        return visit.page(
            "code.html",
            status=error.status,
            second_step=second_step,
            next=target,
            problem=error,
        )
    return visit.go(target)


async def log_out(visit: Visit) -> Response:
    await visit.cloud.post("/api/v1/logout", {})
    return visit.go("/login")
