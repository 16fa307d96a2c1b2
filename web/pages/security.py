"""How the logged-in user logs in: password, authenticator app, sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from web.cloud import segment
from web.errors import Refused
from web.formats import read_time
from web.visit import Visit

HERE = "/security"
API = "/api/v1/second-factor"

BROWSERS = ("Edg", "OPR", "Firefox", "Chrome", "Safari", "curl", "python")
SYSTEMS = ("Windows", "Android", "iPhone", "iPad", "Mac OS X", "Linux")
CALLED = {"Edg": "Edge", "OPR": "Opera", "python": "Python", "Mac OS X": "macOS"}


async def show(visit: Visit) -> Response:
    return await _page(visit)


async def change_password(visit: Visit) -> Response:
    body = {
        "current_password": visit.form.get("current_password", ""),
        "new_password": visit.form.get("new_password", ""),
    }
    try:
        await visit.cloud.post("/api/v1/password", body)
    except Refused as error:
        return await _page(visit, problems={"password": error})
    return visit.go(HERE, notice="password-changed")


async def send_proof(visit: Visit) -> Response:
    try:
        await visit.cloud.post("/api/v1/email-proofs", {})
    except Refused as error:
        return await _page(visit, problems={"email": error})
    return visit.go(HERE, notice="proof-sent")


async def begin(visit: Visit) -> Response:
    try:
        await visit.cloud.post(API, {})
    except Refused as error:
        return await _page(visit, problems={"factor": error})
    return visit.go(f"{HERE}/authenticator")


async def enrol(visit: Visit) -> Response:
    return await _enrolment_page(visit)


async def confirm(visit: Visit) -> Response:
    try:
        answer = await visit.cloud.post(f"{API}/confirm", {"code": visit.form.get("code", "")})
    except Refused as error:
        return await _enrolment_page(visit, problem=error)
    return visit.page("recovery_codes.html", codes=answer["recovery_codes"])


async def renew_codes(visit: Visit) -> Response:
    body = {"code": visit.form.get("code", "")}
    try:
        answer = await visit.cloud.post(f"{API}/recovery-codes", body)
    except Refused as error:
        return await _page(visit, problems={"factor": error})
    return visit.page("recovery_codes.html", codes=answer["recovery_codes"])


async def remove(visit: Visit) -> Response:
    try:
        await visit.cloud.post(f"{API}/remove", {"code": visit.form.get("code", "")})
    except Refused as error:
        return await _page(visit, problems={"factor": error})
    return visit.go(HERE, notice="second-factor-off")


async def end_session(visit: Visit) -> Response:
    try:
        await visit.cloud.delete(f"/api/v1/sessions/{segment(visit.path('session'))}")
    except Refused as error:
        return await _page(visit, problems={"sessions": error})
    return visit.go(HERE, notice="session-ended")


async def end_others(visit: Visit) -> Response:
    await visit.cloud.delete("/api/v1/sessions")
    return visit.go(HERE, notice="session-ended")


async def set_policy(visit: Visit) -> Response:
    body = {"is_second_factor_required": "required" in visit.form}
    try:
        await visit.cloud.put("/api/v1/security-policy", body)
    except Refused as error:
        return await _page(visit, problems={"policy": error})
    return visit.go(HERE, notice="saved")


def browser_of(user_agent: str) -> str:
    """What people call the browser and its system, as far as it says so."""
    found = [
        next((CALLED.get(name, name) for name in names if name in user_agent), "")
        for names in (BROWSERS, SYSTEMS)
    ]
    return " on ".join(filter(None, found)) or "Unknown browser"


async def _page(visit: Visit, *, problems: Mapping[str, Refused] | None = None) -> Response:
    assert visit.session is not None
    problems = problems or {}
    told = await visit.cloud.get("/api/v1/security")
    sessions: Sequence[Mapping[str, object]] = [
        {
            "id": each["id"],
            "browser": browser_of(str(each["user_agent"])),
            "method": each["method"],
            "seen_at": read_time(each["last_seen_at"]),
            "created_at": read_time(each["created_at"]),
            "is_this_one": each["is_this_one"],
        }
        for each in told["sessions"]
    ]
    return visit.page(
        "security.html",
        status=next((problem.status for problem in problems.values()), 200),
        told=told,
        sessions=sessions,
        problems={name: problems.get(name, "") for name in _PARTS},
        must_enrol=visit.session.must_enrol,
    )


_PARTS = ("password", "email", "factor", "sessions", "policy")


async def _enrolment_page(visit: Visit, *, problem: Refused | None = None) -> Response:
    try:
        told = await visit.cloud.get(API)
    except Refused:
        # Confirmed in another window, or never begun.
        return visit.go(HERE)
    return visit.page(
        "authenticator.html",
        status=problem.status if problem else 200,
        seed=told["seed"],
        problem=problem or "",
    )
