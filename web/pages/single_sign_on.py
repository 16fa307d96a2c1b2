"""Single sign-on: the way in through an account's own identity provider, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from starlette.responses import Response

from web.cloud import Answer, segment
from web.errors import LoggedOut, Refused
from web.formats import read_time
from web.visit import Visit, inside, session_of

PATH = "/single-sign-on"
API = "/api/v1/single-sign-on"
ROLES = {
    "read": "Read: the account, and namespaces that it is given",
    "developer": "Developer: creates namespaces too",
    "admin": "Admin: members and all namespaces",
    "finance_admin": "Finance admin: usage, invoices and payment",
    "metrics_read": "Metrics read: the metrics of the account",
}
"""What a user may become at its first log-in, by the API's name."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the form shows: as it is, or as it was sent and refused."""

    issuer: str = ""
    client_id: str = ""
    default_role: str = "read"
    is_enforced: bool = False
    resource_version: str = "0"


@dataclass(frozen=True, slots=True)
class DomainRow:
    name: str
    proof: str
    proof_record: Answer
    proof_address: str
    proven_at: datetime | None


async def begin(visit: Visit) -> Response:
    """The button of the log-in page."""
    email, target = visit.form.get("email", ""), inside(visit.form.get("next", ""))
    try:
        begun = await visit.cloud.post(f"{API}/begin", {"email": email, "next_page": target})
    except (Refused, LoggedOut) as error:
        return _log_in_page(visit, error, email=email, target=target)
    return _onward(visit, begun)


async def finish(visit: Visit) -> Response:
    """Where the provider sends the browser back to."""
    query = visit.request.query_params
    answer: Answer = {name: query.get(name, "") for name in ("state", "code", "error")}
    answer |= {"account_id": visit.path("account"), "iss": query.get("iss")}
    try:
        finished = await visit.cloud.post(f"{API}/finish", answer)
    except (Refused, LoggedOut) as error:
        return _log_in_page(visit, error)
    report = finished["test"]
    if report is None:
        return visit.go(inside(str(finished["next_page"])))
    session = await session_of(visit.cloud)
    tested = Visit(visit.request, visit.cloud, session, {})
    return tested.page("single_sign_on_test.html", report=report)


async def show(visit: Visit) -> Response:
    return await _page(visit)


async def change(visit: Visit) -> Response:
    form = visit.form
    draft = Draft(
        form.get("issuer", "").strip(),
        form.get("client_id", "").strip(),
        form.get("default_role", ""),
        "enforced" in form,
        form.get("resource_version", "0"),
    )
    body: Answer = {
        "issuer": draft.issuer,
        "client_id": draft.client_id,
        "client_secret": form.get("client_secret", "").strip() or None,
        "default_role": draft.default_role,
        "is_enforced": draft.is_enforced,
        "break_glass_user_id": None
        if "break_glass_me" in form
        else form.get("break_glass") or None,
        "resource_version": draft.resource_version,
    }
    try:
        await visit.cloud.put(API, body)
    except Refused as error:
        return await _page(visit, draft=draft, problem=error)
    return visit.go(PATH, notice="saved")


async def remove(visit: Visit) -> Response:
    try:
        await visit.cloud.delete(API)
    except Refused as error:
        return await _page(visit, problem=error)
    return visit.go(PATH, notice="sign-on-removed")


async def test(visit: Visit) -> Response:
    try:
        begun = await visit.cloud.post(f"{API}/test", {})
    except Refused as error:
        return await _page(visit, test_problem=error)
    return _onward(visit, begun)


async def add_domain(visit: Visit) -> Response:
    name = visit.form.get("name", "").strip()
    try:
        await visit.cloud.post(f"{API}/domains", {"name": name})
    except Refused as error:
        return await _page(visit, domain=name, domain_problem=error)
    return visit.go(PATH)


async def prove_domain(visit: Visit) -> Response:
    try:
        await visit.cloud.post(f"{API}/domains/{segment(visit.path('domain'))}/proof", {})
    except Refused as error:
        return await _page(visit, domain_problem=error)
    return visit.go(PATH, notice="proven")


async def remove_domain(visit: Visit) -> Response:
    try:
        await visit.cloud.delete(f"{API}/domains/{segment(visit.path('domain'))}")
    except Refused as error:
        return await _page(visit, domain_problem=error)
    return visit.go(PATH)


def _onward(visit: Visit, begun: Answer) -> Response:
    """To the provider, by a header: the policy lets no form lead to another site, not even on."""
    url = str(begun["authorization_url"])
    page = visit.page("login_onward.html", url=url, host=urlsplit(url).netloc)
    page.headers["refresh"] = f"0;url={url}"
    return page


def _log_in_page(
    visit: Visit, problem: Refused | LoggedOut, *, email: str = "", target: str = ""
) -> Response:
    return visit.page(
        "login.html",
        status=problem.status,
        problem=problem,
        email=email,
        next=inside(target),
        is_sent_here=False,
    )


async def _page(
    visit: Visit,
    *,
    draft: Draft | None = None,
    problem: Refused | None = None,
    test_problem: Refused | None = None,
    domain: str = "",
    domain_problem: Refused | None = None,
) -> Response:
    shown = await visit.cloud.get(API)
    provider: Answer = shown["provider"] or {}
    if draft is None and provider:
        draft = Draft(
            provider["issuer"],
            provider["client_id"],
            provider["default_role"],
            provider["is_enforced"],
            str(provider["resource_version"]),
        )
    refusal = problem or test_problem or domain_problem
    return visit.page(
        "single_sign_on.html",
        status=refusal.status if refusal else 200,
        redirect_uri=shown["redirect_uri"],
        provider=provider,
        worked_at=read_time(provider.get("worked_at")),
        domains=[
            DomainRow(**(each | {"proven_at": read_time(each["proven_at"])}))
            for each in shown["domains"]
        ],
        roles=ROLES,
        draft=draft or Draft(),
        problem=problem or "",
        test_problem=test_problem or "",
        domain=domain,
        domain_problem=domain_problem or "",
    )
