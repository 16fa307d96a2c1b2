"""Accounts of a whole cloud that are connected to the provider, through the public API."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx

from tenancy.clock import now
from tests.control.visitor import Json, Site, Visitor
from tests.single_sign_on.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider

API = "/api/v1/single-sign-on"


def settings(provider: IdentityProvider, **more: object) -> Json:
    return {
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        **more,
    }


async def connected(site: Site, provider: IdentityProvider, domain: str) -> Visitor:
    """The owner of an account whose provider lets people of the domain in."""
    owner = await site.owner()
    provider.now = now
    provider.redirect_uri = (await owner.get(API))["redirect_uri"]
    told = await owner.call("PUT", API, settings(provider))
    assert told.status_code == 200, told.text
    await owner.post(f"{API}/domains", {"name": domain})
    await owner.post(f"{API}/domains/{domain}/proof")
    provider.user = {"sub": f"ada of {domain}", "email": f"ada@{domain}", "email_verified": True}
    return owner


async def answered(begun: Json, owner: Visitor) -> Json:
    """What the browser brings back to the redirect URI."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as browser:
        response = await browser.get(begun["authorization_url"])
    query = parse_qs(urlsplit(response.headers["location"]).query)
    return {
        "account_id": owner.account_id,
        **{name: query[name][0] for name in ("state", "code", "iss")},
    }
