"""Members, log-ins and single sign-on of the cloud in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

ME, MEMBER, INVITED = "u-1", "u-2", "u-3"
EXPIRED = {"code": 9, "message": "the log-in took too long; begin again", "details": []}
AT = "2026-11-20T14:00:00Z"


class Guard(Protocol):
    """The cloud, as far as people need it."""

    @property
    def guarded(self) -> Callable[[Any], Any]: ...


def member(id: str, email: str, role: str, **more: Any) -> dict[str, Any]:
    access = {
        "accountAccess": {"role": role},
        "namespaceAccesses": {"orders.k7m2qx": {"permission": "PERMISSION_WRITE"}},
    }
    spec = {"email": email, "access": access}
    return {"id": id, "spec": spec, "resourceVersion": "3", "createdTime": AT, **more}


USERS = {
    ME: member(ME, "ada@example.com", "ROLE_OWNER"),
    MEMBER: member(MEMBER, "bob@example.com", "ROLE_DEVELOPER"),
    INVITED: member(INVITED, "eve@example.com", "ROLE_READ", invitation={"expiredTime": AT}),
}
SECURITY = {
    "email": "ada@example.com",
    "is_email_verified": False,
    "has_password": True,
    "has_second_factor": False,
    "recovery_codes_left": 0,
    "is_second_factor_required": False,
    "sessions": [
        {
            "id": f"s-{number}",
            "method": "password",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            "created_at": AT,
            "last_seen_at": AT,
            "is_this_one": number == 1,
        }
        for number in (1, 2)
    ],
}
PROOF = "perdure-domain=V1lZ2ZQ0x8m4dXG3cJxg3mB2qkq0N7yYb5v1Zr9Hh3A"
SIGN_ON = {
    "redirect_uri": "https://cloud.test/login/sso/k7m2qx",
    "provider": {
        "issuer": "https://login.example.com",
        "client_id": "perdure",
        "default_role": "read",
        "is_enforced": False,
        "break_glass_user_id": "u-1",
        "break_glass_email": "ada@example.com",
        "resource_version": 2,
        "worked_at": AT,
    },
    "domains": [
        {
            "name": f"{name}.example.com",
            "proof": PROOF,
            "proof_record": {
                "name": f"_perdure.{name}.example.com",
                "type": "TXT",
                "value": PROOF,
            },
            "proof_address": f"https://{name}.example.com/.well-known/perdure-domain.txt",
            "proven_at": proven_at,
        }
        for name, proven_at in (("proven", AT), ("claimed", None))
    ],
}
INVITATION = {"account": "k7m2qx", "email": "eve@example.com", "role": "read"}


def people_routes(cloud: Guard) -> list[Route]:
    def shown(answer: Any) -> Any:
        async def get(_request: Request) -> Any:
            return answer

        return cloud.guarded(get)

    async def get_user(request: Request) -> Any:
        return {"user": USERS[request.path_params["id"]]}

    async def look_up(_request: Request) -> JSONResponse:
        return JSONResponse(INVITATION)

    async def finish(_request: Request) -> JSONResponse:
        return JSONResponse(EXPIRED, 403)

    sign_on = "/api/v1/single-sign-on"
    return [
        Route("/cloud/users", shown({"users": list(USERS.values())})),
        Route("/cloud/users/{id}", cloud.guarded(get_user)),
        Route("/api/v1/security", shown(SECURITY)),
        Route("/api/v1/second-factor", shown({"seed": "JBSWY3DPEHPK3PXP"})),
        Route(sign_on, shown(SIGN_ON)),
        Route(f"{sign_on}/finish", finish, methods=["POST"]),
        Route("/api/v1/invitations/look-up", look_up, methods=["POST"]),
    ]
