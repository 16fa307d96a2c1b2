"""One request to the console: who asks, what was filled in, and how a page is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from web.cloud import Answer, Cloud
from web.errors import FORM_BYTES_MAX, ForeignForm, FormTooLarge, LoggedOut
from web.rendering import render

HOME = "/namespaces"
"""Where a visitor goes on to who is not on the way to another page."""

ENROLLING = ("/security", "/logout")
"""The pages for who must set up a second factor before anything else."""

SAME_SITE = ("same-origin", "none")


@dataclass(frozen=True, slots=True)
class Session:
    """The logged-in user. `access` holds what the user may do in the account and, on the pages of a
    namespace, in that, by the API's names.
    """

    email: str
    account_id: str
    csrf_token: str
    user_id: str = ""
    role: str = ""
    access: frozenset[str] = frozenset()
    is_email_verified: bool = True
    must_enrol: bool = False

    def may(self, access: str) -> bool:
        return access in self.access


@dataclass(frozen=True, slots=True)
class Visit:
    """`form` is empty unless one was posted."""

    request: Request
    cloud: Cloud
    session: Session | None
    form: Mapping[str, str]

    @property
    def account_id(self) -> str:
        assert self.session is not None
        return self.session.account_id

    @property
    def origin(self) -> str:
        """The address under which the visitor reaches the cloud."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        return self.request.query_params.get(name, default)

    def page(self, template: str, *, status: int = 200, **values: object) -> Response:
        text = render(template, self.request, self.session, values)
        return HTMLResponse(text, status)

    def go(self, path: str, **query: str) -> Response:
        """To another page after a form was handled; a reload there sends nothing again."""
        return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303)


Handler = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def for_users(handler: Handler) -> Endpoint:
    """A page that needs a session."""

    async def serve(request: Request) -> Response:
        form = await _form(request)
        async with _cloud(request, form) as cloud:
            namespace = str(request.path_params.get("namespace", ""))
            session = _session(await cloud.get("/api/v1/session", namespace=namespace))
            # For the page of an error, which is made where this visit is over.
            request.state.session = session
            if session.must_enrol and not request.url.path.startswith(ENROLLING):
                return RedirectResponse(ENROLLING[0], 303)
            return _keep(cloud, await handler(Visit(request, cloud, session, form)))

    return serve


def for_anyone(handler: Handler) -> Endpoint:
    """A page that is the same with and without a session, or only for those who have none."""

    async def serve(request: Request) -> Response:
        form = await _form(request)
        async with _cloud(request, form) as cloud:
            return _keep(cloud, await handler(Visit(request, cloud, None, form)))

    return serve


def inside(path: str) -> str:
    """A page of the console to go on to; an address of another site is not one."""
    parts = urlsplit(path)
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if is_ours and not parts.scheme and not parts.netloc else HOME


async def session_of(cloud: Cloud) -> Session | None:
    try:
        return _session(await cloud.get("/api/v1/session"))
    except LoggedOut:
        return None


def _cloud(request: Request, form: Mapping[str, str]) -> Cloud:
    return Cloud(request.app.state.api, request, form.get("csrf", ""))


def _session(answer: Answer) -> Session:
    return Session(
        email=str(answer.get("email", "")),
        account_id=str(answer["account_id"]),
        csrf_token=str(answer["csrf_token"]),
        user_id=str(answer.get("user_id", "")),
        role=str(answer.get("role", "")),
        access=frozenset(map(str, answer.get("access") or ())),
        is_email_verified=bool(answer.get("is_email_verified", True)),
        must_enrol=bool(answer.get("must_enrol", False)),
    )


def _keep(cloud: Cloud, response: Response) -> Response:
    for cookie in cloud.set_cookies:
        response.headers.append("set-cookie", cookie)
    return response


async def _form(request: Request) -> Mapping[str, str]:
    if request.method != "POST":
        return {}
    _refuse_foreign(request)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise FormTooLarge
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _refuse_foreign(request: Request) -> None:
    """The log-in and sign-up forms have no token to check; a browser says where they come from."""
    if request.headers.get("sec-fetch-site", SAME_SITE[0]) not in SAME_SITE:
        raise ForeignForm
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ForeignForm
