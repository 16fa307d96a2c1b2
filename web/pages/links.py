"""What the links of letters lead to. Opening one changes nothing: mail programs look ahead."""

from __future__ import annotations

from starlette.responses import Response

from web.errors import LoggedOut, Refused
from web.visit import HOME, Visit, session_of


async def forgotten_form(visit: Visit) -> Response:
    return visit.page("forgotten.html", email=visit.query("email"), problem="", is_sent=False)


async def forgotten(visit: Visit) -> Response:
    email = visit.form.get("email", "")
    try:
        await visit.cloud.post("/api/v1/password-resets", {"email": email})
    except Refused as error:
        return visit.page(
            "forgotten.html", status=error.status, email=email, problem=error, is_sent=False
        )
    return visit.page("forgotten.html", email=email, problem="", is_sent=True)


async def reset_form(visit: Visit) -> Response:
    return visit.page("reset.html", token=visit.query("token"), problem="")


async def reset(visit: Visit) -> Response:
    token = visit.form.get("token", "")
    body = {"token": token, "new_password": visit.form.get("new_password", "")}
    try:
        await visit.cloud.post("/api/v1/password-resets/complete", body)
    except Refused as error:
        return visit.page("reset.html", status=error.status, token=token, problem=_problem(error))
    return visit.go("/login", notice="reset")


async def verify_form(visit: Visit) -> Response:
    return visit.page("verify.html", token=visit.query("token"), problem="")


async def verify(visit: Visit) -> Response:
    token = visit.form.get("token", "")
    try:
        await visit.cloud.post("/api/v1/email-proofs/complete", {"token": token})
    except Refused as error:
        return visit.page("verify.html", status=error.status, token=token, problem=_problem(error))
    is_inside = await session_of(visit.cloud) is not None
    return visit.go(HOME if is_inside else "/login", notice="verified")


def _problem(error: Refused) -> str:
    """The token is a field of the API's; who followed a link knows of a link."""
    is_of_link = str(error).startswith("Token: ")
    return "This link was used or has expired; ask for a new one." if is_of_link else str(error)


async def join_form(visit: Visit) -> Response:
    return await _join_page(visit, visit.query("token"))


async def join(visit: Visit) -> Response:
    token = visit.form.get("token", "")
    body = {"token": token, "password": visit.form.get("password", "")}
    try:
        await visit.cloud.post("/api/v1/invitations/accept", body)
    except (Refused, LoggedOut) as error:
        return await _join_page(visit, token, problem=error)
    return visit.go(HOME, notice="joined")


async def _join_page(
    visit: Visit, token: str, *, problem: Refused | LoggedOut | None = None
) -> Response:
    try:
        invitation = await visit.cloud.post("/api/v1/invitations/look-up", {"token": token})
    except Refused as error:
        nothing = {"invitation": None, "token": ""}
        return visit.page("join.html", status=error.status, problem=error, **nothing)
    return visit.page(
        "join.html",
        status=problem.status if problem else 200,
        problem=problem or "",
        invitation=invitation,
        token=token,
    )
