"""The console as one ASGI application: addresses, headers, and what an error looks like."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.errors import LoggedOut, NoSuchPage, WebError
from web.pages import (
    billing,
    budgets,
    certificates,
    entry,
    keys,
    links,
    members,
    namespaces,
    overview,
    security,
    single_sign_on,
    usage,
    workflow,
    workflows,
)
from web.rendering import STATIC, render
from web.visit import for_anyone, for_users

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'"
    # A form of ours leads on to where cards are entered.
    " https://checkout.stripe.com https://billing.stripe.com; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
ASSET_LIFE_SECONDS = 365 * 24 * 60 * 60
API_SEGMENTS = frozenset(
    ("api", "cloud", "cluster", "docs", "healthz", "livez", "metrics", "readyz")
)
"""The first segment of addresses that are never a page, whatever a client says it accepts."""

HEADINGS = {403: "Not open to you", 404: "Nothing here", 503: "Not to be had just now"}
"""Of the pages that tell of an error, by its status."""

NAMESPACE = "/namespaces/{namespace}"
RUN = NAMESPACE + "/workflows/{workflow:path}/{run}"
ROUTES = (
    Route("/", for_anyone(entry.welcome)),
    Route("/sign-up", for_anyone(entry.sign_up_form)),
    Route("/sign-up", for_anyone(entry.sign_up), methods=["POST"]),
    Route("/login", for_anyone(entry.log_in_form)),
    Route("/login", for_anyone(entry.log_in), methods=["POST"]),
    Route("/logout", for_users(entry.log_out), methods=["POST"]),
    Route("/namespaces", for_users(namespaces.show)),
    Route("/namespaces", for_users(namespaces.create), methods=["POST"]),
    Route(NAMESPACE, for_users(overview.show)),
    Route(NAMESPACE, for_users(overview.create_key), methods=["POST"]),
    Route(NAMESPACE + "/delete", for_users(namespaces.delete), methods=["POST"]),
    Route(NAMESPACE + "/keys", for_users(keys.show)),
    Route(NAMESPACE + "/keys", for_users(keys.create), methods=["POST"]),
    Route(NAMESPACE + "/keys/{key}/revoke", for_users(keys.revoke), methods=["POST"]),
    Route(NAMESPACE + "/certificates", for_users(certificates.show)),
    Route(NAMESPACE + "/certificates", for_users(certificates.change), methods=["POST"]),
    Route(NAMESPACE + "/certificates/denied", for_users(certificates.deny), methods=["POST"]),
    Route(
        NAMESPACE + "/certificates/denied/{fingerprint}/allow",
        for_users(certificates.allow),
        methods=["POST"],
    ),
    Route(
        NAMESPACE + "/certificates/revocation-lists",
        for_users(certificates.upload_list),
        methods=["POST"],
    ),
    Route(
        NAMESPACE + "/certificates/revocation-lists/{authority}/remove",
        for_users(certificates.remove_list),
        methods=["POST"],
    ),
    Route(NAMESPACE + "/workflows", for_users(workflows.show)),
    Route(RUN, for_users(workflow.show)),
    Route(RUN + "/{action}", for_users(workflow.act), methods=["POST"]),
    Route("/usage", for_users(usage.show)),
    Route("/budgets", for_users(budgets.show_all)),
    Route("/budgets", for_users(budgets.create), methods=["POST"]),
    Route("/budgets/{budget}", for_users(budgets.show)),
    Route("/budgets/{budget}", for_users(budgets.save), methods=["POST"]),
    Route("/budgets/{budget}/delete", for_users(budgets.delete), methods=["POST"]),
    Route("/budgets/{budget}/webhook-secret", for_users(budgets.renew_secret), methods=["POST"]),
    Route("/budgets/{budget}/webhook-test", for_users(budgets.test_webhook), methods=["POST"]),
    Route("/login/code", for_anyone(entry.give_code), methods=["POST"]),
    Route("/forgotten", for_anyone(links.forgotten_form)),
    Route("/forgotten", for_anyone(links.forgotten), methods=["POST"]),
    Route("/reset", for_anyone(links.reset_form)),
    Route("/reset", for_anyone(links.reset), methods=["POST"]),
    Route("/verify", for_anyone(links.verify_form)),
    Route("/verify", for_anyone(links.verify), methods=["POST"]),
    Route("/join", for_anyone(links.join_form)),
    Route("/join", for_anyone(links.join), methods=["POST"]),
    Route("/members", for_users(members.show)),
    Route("/members", for_users(members.invite), methods=["POST"]),
    Route("/members/{member}", for_users(members.show_one)),
    Route("/members/{member}", for_users(members.change), methods=["POST"]),
    Route("/members/{member}/send", for_users(members.send_again), methods=["POST"]),
    Route("/members/{member}/remove", for_users(members.remove), methods=["POST"]),
    Route(
        "/members/{member}/second-factor",
        for_users(members.remove_second_factor),
        methods=["POST"],
    ),
    Route("/security", for_users(security.show)),
    Route("/security/password", for_users(security.change_password), methods=["POST"]),
    Route("/security/proof", for_users(security.send_proof), methods=["POST"]),
    Route("/security/authenticator", for_users(security.enrol)),
    Route("/security/authenticator", for_users(security.begin), methods=["POST"]),
    Route("/security/authenticator/confirm", for_users(security.confirm), methods=["POST"]),
    Route("/security/authenticator/codes", for_users(security.renew_codes), methods=["POST"]),
    Route("/security/authenticator/remove", for_users(security.remove), methods=["POST"]),
    Route("/security/sessions/end", for_users(security.end_others), methods=["POST"]),
    Route("/security/sessions/{session}/end", for_users(security.end_session), methods=["POST"]),
    Route("/security/policy", for_users(security.set_policy), methods=["POST"]),
    Route("/login/sso", for_anyone(single_sign_on.begin), methods=["POST"]),
    Route("/login/sso/{account}", for_anyone(single_sign_on.finish)),
    Route("/single-sign-on", for_users(single_sign_on.show)),
    Route("/single-sign-on", for_users(single_sign_on.change), methods=["POST"]),
    Route("/single-sign-on/test", for_users(single_sign_on.test), methods=["POST"]),
    Route("/single-sign-on/remove", for_users(single_sign_on.remove), methods=["POST"]),
    Route("/single-sign-on/domains", for_users(single_sign_on.add_domain), methods=["POST"]),
    Route(
        "/single-sign-on/domains/{domain}/prove",
        for_users(single_sign_on.prove_domain),
        methods=["POST"],
    ),
    Route(
        "/single-sign-on/domains/{domain}/remove",
        for_users(single_sign_on.remove_domain),
        methods=["POST"],
    ),
    Route("/billing", for_users(billing.show)),
    Route("/billing/plan", for_users(billing.choose_plan), methods=["POST"]),
    Route("/billing/checkout", for_users(billing.open_checkout), methods=["POST"]),
    Route("/billing/portal", for_users(billing.open_portal), methods=["POST"]),
    Route("/billing/invoices/{invoice}", for_users(billing.show_invoice)),
)


class VersionedFiles(StaticFiles):
    """Static files; one that is asked for with its digest is kept by the browser for good."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code == 200 and scope["query_string"].startswith(b"v="):
            keep = f"public, max-age={ASSET_LIFE_SECONDS}, immutable"
            response.headers["cache-control"] = keep
        return response


class SecurityHeaders:
    """Puts the headers on every answer; pages, which show secrets, are kept by no cache."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


def is_page(scope: Scope) -> bool:
    """Whether a request is for the console and not for the API.

    Some published addresses of the API are also pages: who accepts HTML gets the page.
    """
    if scope["type"] != "http":
        return False
    first = str(scope["path"]).partition("/")[2].partition("/")[0]
    if first == "static":
        return True
    if first in API_SEGMENTS:
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def console(api: ASGIApp) -> ASGIApp:
    """The pages, which read and act through `api` alone."""
    app = Starlette(
        routes=[*ROUTES, Mount("/static", VersionedFiles(directory=STATIC))],
        exception_handlers={
            LoggedOut: _to_login,
            WebError: _error_page,
            HTTPException: _error_page,
            Exception: _failure_page,
        },
    )
    app.state.api = api
    return SecurityHeaders(app)


async def _to_login(request: Request, error: Exception) -> Response:
    """Back to where the visitor was once logged in; a form that was posted is not sent again."""
    is_reading = request.method == "GET"
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = "/login?" + urlencode({"next": asked if is_reading else "/namespaces"})
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"hx-redirect": target})
    return RedirectResponse(target, 303)


async def _error_page(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == NoSuchPage.status:
        error = NoSuchPage()
    status = getattr(error, "status", getattr(error, "status_code", 500))
    return _problem_page(request, status, str(error))


async def _failure_page(request: Request, error: Exception) -> Response:
    """Starlette raises the error again after this, so the server's own log has it."""
    problem = "Something broke on our side. Your workflows are not affected; try again."
    return _problem_page(request, 500, problem)


def _problem_page(request: Request, status: int, problem: str) -> Response:
    session = getattr(request.state, "session", None)
    heading = HEADINGS.get(status, "That did not work")
    values = {"status": status, "heading": heading, "problem": problem}
    return HTMLResponse(render("error.html", request, session, values), status)
