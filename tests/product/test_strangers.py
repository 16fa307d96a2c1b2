"""Another account's things, asked for by every operation and every page: as if there were none."""

from __future__ import annotations

import json
import random
import re
import string
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from tests.product.operation_samples import OPENAPI, operations, sample_of, send
from tests.product.people_samples import PUBLIC_LINKS
from tests.product.sample import Sample
from tests.product.stock import Stock, forms
from web.app import NAMESPACE, ROUTES

FOR_ANYONE = (
    "sign_up",
    "log_in",
    "begin_single_sign_on",
    "finish_single_sign_on",
    *PUBLIC_LINKS,
)
"""What these begin with is open to whoever knows what they are sent."""

LAST = "log_out"
"""Ends the session that others need."""

ASKED_BY_ADDRESS = "ask_password_reset_api_v1_password_resets_post"
"""Answers the same whether there is such an address or not, and that is no refusal."""

OURS_TO_CHOOSE = frozenset(
    ("activity_id", "query_type", "region", "signal_name", "task_queue", "workflow_id")
)
"""What a path names besides things that belong to somebody."""

FIELDS = {
    "amount": "5",
    "code": "000000",
    "fingerprint": "ab" * 32,
    "life_days": "30",
    "name": "x",
    "permission": "read",
    "plan": "developer",
    "resource_version": "1",
    "retention_days": "7",
    "revocation_list": "x",
    "role": "ROLE_READ",
    "thresholds": "80",
}
"""Of the forms; each takes those that it has."""

NAMED_BY_PAGES = {
    "authority": ("remove_revocation_list_api_v1_revocation_lists__authority__delete", "authority"),
    "budget": ("show_api_v1_budgets__budget_id__get", "budget_id"),
    "domain": ("remove_sign_on_domain_api_v1_single_sign_on_domains__name__delete", "name"),
    "fingerprint": (
        "allow_certificate_api_v1_denied_certificates__fingerprint__delete",
        "fingerprint",
    ),
    "invoice": ("get_invoice_api_v1_invoices__invoice_id__get", "invoice_id"),
    "member": ("send_invitation_again_api_v1_invitations__user_id__send_post", "user_id"),
    "session": ("end_session_api_v1_sessions__session_id__delete", "session_id"),
}
"""Which operation's sample has a value for it, and how it is called there."""

ENTRANCE = "/login/sso/{account}"
"""Takes what an identity provider has signed, from whoever brings it."""

IDEMPOTENT = frozenset(
    (
        NAMESPACE + "/certificates/denied/{fingerprint}/allow",
        NAMESPACE + "/certificates/revocation-lists/{authority}/remove",
    )
)
"""In a namespace of one's own these succeed also where there was nothing."""


def alike(value: str) -> str:
    """Another value of the same form, which nothing has."""
    try:
        uuid.UUID(value)
    except ValueError:
        pass
    else:
        return str(uuid.uuid4())
    if name := re.fullmatch(r"(.+)(@example\.com|\.test)", value):
        return alike(name[1]) + name[2]
    letters = string.hexdigits[:16] if re.fullmatch("[0-9a-f]+", value) else string.ascii_lowercase
    chosen = random.SystemRandom()
    return "".join(chosen.choice(letters) if each.isalnum() else each for each in value)


class Missing:
    """The same question about what nobody has."""

    def __init__(self, victim: Stock) -> None:
        owner = victim.access.owner
        self._pairs = {known: alike(known) for known in (owner.account_id, owner.email)}

    def instead(self, asked: Any) -> Any:
        text = json.dumps(asked)
        for known, unknown in self._pairs.items():
            text = text.replace(known, unknown)
        return json.loads(text)

    def named(self, path: Mapping[str, str]) -> None:
        for name, value in path.items():
            if name not in OURS_TO_CHOOSE and value not in self._pairs:
                self._pairs[value] = alike(value)

    def normal(self, text: str) -> str:
        """What an answer says, whatever it was asked about."""
        for number, pair in enumerate(self._pairs.items()):
            for each in pair:
                text = text.replace(each, f"<{number}>")
        return text


def is_told(answer: httpx.Response, victim: Stock) -> bool:
    told = answer.content + repr(answer.headers).encode()
    return any(secret in told for secret in forms(victim.secret))


async def test_every_operation_hides_and_spares_what_another_account_has(
    stock: Stock, rival_stock: Stock
) -> None:
    """Each call would succeed for the rival; a thing of theirs is like one that nobody has."""
    document = (await stock.program.http.get(OPENAPI)).json()
    calls = [
        (operation_id, verb, path, await make(rival_stock))
        for operation_id, verb, path in operations(document)
        if not operation_id.startswith(FOR_ANYONE) and (make := sample_of(operation_id))
    ]
    missing = Missing(rival_stock)
    for *_, sample in calls:
        missing.named(sample.path)
    before = await rival_stock.state()
    compared = 0
    for operation_id, verb, path, sample in sorted(calls, key=lambda it: it[0].startswith(LAST)):
        answer = await send(rival_stock.access, stock, verb, path, sample)
        told = (operation_id, answer.status_code, answer.text)
        assert not is_told(answer, rival_stock), told
        other = Sample(*missing.instead([sample.path, sample.body, sample.query]))
        other = replace(other, headers=sample.headers, as_owner=sample.as_owner)
        nobody = replace(
            rival_stock.access, namespace=missing.instead(rival_stock.access.namespace)
        )
        if other == sample and "{namespace}" not in path:
            continue
        compared += 1
        assert answer.status_code == (202 if operation_id == ASKED_BY_ADDRESS else 404), told
        absent = await send(nobody, stock, verb, path, other)
        assert (answer.status_code, missing.normal(answer.text)) == (
            absent.status_code,
            missing.normal(absent.text),
        ), told
    assert await rival_stock.state() == before
    assert compared > len(calls) / 2


async def ids_of(stock: Stock) -> dict[str, str]:
    """A value of this account for each name in the addresses of pages."""
    found = {
        "namespace": stock.access.namespace,
        "key": stock.known["key_id"],
        "workflow": stock.known["workflow_id"],
        "run": stock.known["run_id"],
        "action": "terminate",
        "account": stock.access.owner.account_id,
    }
    for name, (operation_id, there) in NAMED_BY_PAGES.items():
        make = sample_of(operation_id)
        assert make is not None
        found[name] = (await make(stock)).path[there]
    return found


async def visit(stock: Stock, verb: str, route: Route, ids: Mapping[str, str]) -> httpx.Response:
    """The page or the form, by the stock's owner."""
    path = re.sub(r"{(\w+)(:path)?}", lambda name: ids[name[1]], route.path)
    owner = stock.access.owner.http
    name = ids["namespace"]
    names = {"namespace": name, "confirmation": name, "email": stock.access.owner.email}
    form = {**FIELDS, **names, "csrf": owner.headers["X-CSRF-Token"]}
    return await owner.request(
        verb,
        path,
        headers={"accept": "text/html"},
        data=form if verb == "POST" else None,
        params={"namespace": ids["namespace"]} if verb == "GET" else None,
    )


@pytest.mark.ci
async def test_every_page_hides_and_spares_what_another_account_has(
    stock: Stock, rival_stock: Stock
) -> None:
    ids = await ids_of(rival_stock)
    missing = Missing(rival_stock)
    missing.named({name: value for name, value in ids.items() if name != "action"})
    within = {**ids, "namespace": stock.access.namespace}
    before = await rival_stock.state()
    for route in sorted(ROUTES, key=lambda it: it.path == "/logout"):
        named = set(route.param_convertors)
        for verb in sorted((route.methods or set()) - {"HEAD"}):
            for asked in (ids, within) if named > {"namespace"} else (ids,):
                answer = await visit(stock, verb, route, asked)
                told = (verb, route.path, answer.status_code, answer.text)
                assert not is_told(answer, rival_stock), told
                if not named or route.path == ENTRANCE:
                    continue
                if asked is ids or route.path not in IDEMPOTENT:
                    assert answer.status_code == 404, told
                absent = await visit(stock, verb, route, missing.instead(asked))
                assert (answer.status_code, missing.normal(answer.text)) == (
                    absent.status_code,
                    missing.normal(absent.text),
                ), told
    assert await rival_stock.state() == before
