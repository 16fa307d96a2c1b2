"""What the operations of single sign-on take to succeed.

The server must be one that may ask the stock's identity provider on this machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from tests.product.sample import Make, Sample, of
from tests.product.stock import Stock
from tests.single_sign_on.identity_provider import IdentityProvider
from tests.single_sign_on.site import API, answered, settings

_numbers = itertools.count(1)


def provider_of(stock: Stock) -> IdentityProvider:
    assert stock.identity_provider is not None
    return stock.identity_provider


async def chosen(stock: Stock) -> Sample:
    """The provider as the account's, in place of what it has by now."""
    current: Any = (await stock.access.owner.get(API))["provider"]
    version = current["resource_version"] if current else 0
    return Sample(body=settings(provider_of(stock), resource_version=version), as_owner=True)


async def connected(stock: Stock) -> Sample:
    owner = stock.access.owner
    told = await owner.call("PUT", API, (await chosen(stock)).body)
    assert told.is_success, told.text
    provider_of(stock).redirect_uri = (await owner.get(API))["redirect_uri"]
    return Sample(as_owner=True)


def new_name() -> str:
    # Such a name needs no proof where this machine may be asked.
    return f"company-{next(_numbers)}.test"


async def new_domain(_stock: Stock) -> Sample:
    return Sample(body={"name": new_name()}, as_owner=True)


async def added_domain(stock: Stock) -> Sample:
    name = new_name()
    await stock.access.owner.post(f"{API}/domains", {"name": name})
    return Sample({"name": name}, as_owner=True)


async def employee(stock: Stock) -> Sample:
    """Somebody whom the provider knows, with an address of a domain that is proven."""
    await connected(stock)
    name = (await added_domain(stock)).path["name"]
    await stock.access.owner.post(f"{API}/domains/{name}/proof")
    email = f"ada@{name}"
    provider_of(stock).user = {"sub": email, "email": email, "email_verified": True}
    return Sample(body={"email": email})


async def returned(stock: Stock) -> Sample:
    """What a browser has when it comes back; the cookie is with the client that calls on."""
    wanted = (await employee(stock)).body
    begun = await stock.program.http.post(f"{API}/begin", json=wanted)
    assert begun.is_success, begun.text
    return Sample(body=await answered(begun.json(), stock.access.owner))


SIGN_ON_SAMPLES: Mapping[str, Make] = {
    "get_single_sign_on_api_v1_single_sign_on_get": of(Sample()),
    "put_single_sign_on_api_v1_single_sign_on_put": chosen,
    "delete_single_sign_on_api_v1_single_sign_on_delete": connected,
    "add_sign_on_domain_api_v1_single_sign_on_domains_post": new_domain,
    "prove_sign_on_domain_api_v1_single_sign_on_domains__name__proof_post": added_domain,
    "remove_sign_on_domain_api_v1_single_sign_on_domains__name__delete": added_domain,
    "test_single_sign_on_api_v1_single_sign_on_test_post": connected,
    "begin_single_sign_on_api_v1_single_sign_on_begin_post": employee,
    "finish_single_sign_on_api_v1_single_sign_on_finish_post": returned,
}
