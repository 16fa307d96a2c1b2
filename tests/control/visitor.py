"""Clients of the cloud under test: a browser with a session, a program with a key."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import httpx

from api.composition import Cloud
from tests.mailbox import Mailbox

ADDRESS = "http://cloud.test"
PASSWORD = "correct horse battery"
LOOKS_MAX = 2_000

Json = dict[str, Any]


@dataclass
class Visitor:
    """One client; what it may do comes with its headers and cookies."""

    http: httpx.AsyncClient
    account_id: str = ""
    email: str = ""

    @property
    def credentials(self) -> Json:
        return {"email": self.email, "password": PASSWORD}

    async def call(self, verb: str, path: str, body: Any = None, **query: str) -> httpx.Response:
        # Empty parameters would take the place of those in the path.
        return await self.http.request(verb, path, json=body, params=query or None)

    async def get(self, path: str, **query: str) -> Any:
        return _told(await self.call("GET", path, **query))

    async def post(self, path: str, body: Any = None) -> Any:
        return _told(await self.call("POST", path, body))

    async def finished(self, operation: Json) -> Json:
        """The operation once it has ended."""
        for _ in range(LOOKS_MAX):
            told = await self.get(f"/cloud/operations/{operation['id']}")
            found: Json = told["asyncOperation"]
            if found["state"] not in ("STATE_PENDING", "STATE_IN_PROGRESS"):
                return found
        raise AssertionError(f"the operation did not end: {found}")

    async def namespace(self, name: str = "orders", **settings: Any) -> str:
        """The full name of a new, active one."""
        spec = {"name": name, "retentionDays": 7, **settings}
        made = await self.post("/cloud/namespaces", {"spec": spec})
        assert (await self.finished(made["asyncOperation"]))["state"] == "STATE_FULFILLED"
        full_name: str = made["namespace"]
        return full_name

    async def key(self, **scope: Any) -> str:
        """A key of this visitor; all that it may do itself unless a scope is given."""
        if scope:
            made = await self.post("/api/v1/api-keys", {"name": "ci", **scope})
        else:
            made = await self.post("/cloud/api-keys", {"spec": {"displayName": "ci"}})
        token: str = made["token"]
        return token


class Site:
    """`mailbox` gets the cloud's letters, where that was made with one."""

    def __init__(self, cloud: Cloud, mailbox: Mailbox | None = None) -> None:
        self.cloud = cloud
        self.mailbox = mailbox or Mailbox()
        self._numbers = itertools.count(1)

    def new_email(self) -> str:
        return f"ada-{next(self._numbers)}@example.com"

    def stranger(self, **headers: str) -> Visitor:
        """At an address of its own, as limits count by address."""
        high, low = divmod(next(self._numbers), 256)
        transport = httpx.ASGITransport(app=self.cloud.app, client=(f"10.0.{high}.{low}", 1))
        return Visitor(httpx.AsyncClient(transport=transport, base_url=ADDRESS, headers=headers))

    def program(self, key: str) -> Visitor:
        return self.stranger(Authorization=f"Bearer {key}")

    async def owner(self) -> Visitor:
        """The owner of a new account, logged in as a browser is."""
        visitor = self.stranger()
        visitor.email = self.new_email()
        told = await visitor.post("/api/v1/sign-up", visitor.credentials)
        visitor.http.headers["X-CSRF-Token"] = told["csrf_token"]
        visitor.account_id = told["account_id"]
        return visitor

    async def verified_owner(self) -> Visitor:
        """One who followed the link of the letter, and so may invite."""
        owner = await self.owner()
        token = await self.mailbox.token(owner.email, "Confirm")
        await owner.post("/api/v1/email-proofs/complete", {"token": token})
        return owner

    async def member(self, owner: Visitor, role: str, **grants: str) -> Visitor:
        """Another user of the owner's account, who was invited and has joined."""
        invited = self.stranger()
        invited.email = self.new_email()
        await owner.post("/cloud/users", {"spec": member_spec(invited.email, role, **grants)})
        token = await self.mailbox.token(invited.email, "You are invited")
        told = await invited.post(
            "/api/v1/invitations/accept", {"token": token, "password": PASSWORD}
        )
        invited.http.headers["X-CSRF-Token"] = told["csrf_token"]
        invited.account_id = told["account_id"]
        return invited


def member_spec(email: str, role: str, **grants: str) -> Json:
    """`grants` are permissions by the full names of namespaces."""
    accesses = {name: {"permission": permission} for name, permission in grants.items()}
    return {
        "email": email,
        "access": {"accountAccess": {"role": role}, "namespaceAccesses": accesses},
    }


def _told(response: httpx.Response) -> Any:
    assert response.is_success, (response.status_code, response.text)
    return response.json() if response.content else None
