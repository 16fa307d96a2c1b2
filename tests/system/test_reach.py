"""No tenant reaches the system namespace, by whatever name, key, session, host or certificate."""

from __future__ import annotations

import itertools
import stat
from collections.abc import AsyncIterator

import httpx
import pytest

from api.system.cell import NAMESPACE, SYSTEM_ACCOUNT
from tests.tls.pki import authority, leaf
from tests.tls.site import TlsSite, serving

MISSING = "nobody-is-called-so.abcdef"
NAMES = [NAMESPACE, f"{NAMESPACE}.{SYSTEM_ACCOUNT}", f"{NAMESPACE}.", f"{NAMESPACE}.{NAMESPACE}"]
CALLS = [
    ("GET", "/api/v1/namespaces/{}/workflows", None),
    ("GET", "/api/v1/namespaces/{}", None),
    ("GET", "/api/v1/namespaces/{}/workflows/close-months/history", None),
    ("POST", "/api/v1/namespaces/{}/workflows/close-2026-01", {"workflowType": {"name": "X"}}),
    ("POST", "/api/v1/namespaces/{}/task-queues/control-plane/poll-activity-task", {}),
    ("GET", "/cloud/namespaces/{}", None),
]


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsSite]:
    async with serving(tmp_path_factory.mktemp("reach") / "data") as site:
        yield site


def told(answer: httpx.Response, name: str) -> tuple[int, str]:
    """What is said of a name, whatever the name."""
    return answer.status_code, answer.text.replace(name, "NAME")


@pytest.mark.parametrize("as_key", [False, True], ids=["session", "key"])
async def test_the_system_namespace_is_answered_as_one_that_does_not_exist(
    site: TlsSite, as_key: bool
) -> None:
    tenant = await site.tenant()
    caller = tenant.visitor
    if as_key:
        caller = site.plain.program(await caller.key())
    for (verb, path, body), name in itertools.product(CALLS, NAMES):
        answer = await caller.call(verb, path.format(name), body)
        missing = await caller.call(verb, path.format(MISSING), body)
        assert told(answer, name) == told(missing, MISSING), (verb, path, name)
        assert answer.status_code == 404


async def test_a_tenants_namespace_of_that_name_is_another(site: TlsSite) -> None:
    tenant = await site.tenant(NAMESPACE)
    assert tenant.namespace == f"{NAMESPACE}.{tenant.visitor.account_id}"
    listed = await tenant.visitor.get(f"/api/v1/namespaces/{tenant.namespace}/workflows")
    assert listed.get("executions", []) == []


async def test_no_host_and_no_certificate_leads_to_it(site: TlsSite) -> None:
    tenant = await site.tenant()
    root = authority("Acme")
    assert (await tenant.trust(root)).is_success
    worker = leaf(root)
    for name in NAMES:
        own = await site.outcome(site.host(tenant.namespace), name, worker)
        assert own == await site.outcome(site.host(tenant.namespace), MISSING, worker)
        context = site.context(worker)
        context.check_hostname = False
        there = await site.outcome(site.host(name.rstrip(".")), name, context=context)
        missing = await site.outcome(site.host(MISSING), MISSING, context=context)
        assert there == missing


async def test_only_who_owns_the_directory_reaches_the_operators_socket(site: TlsSite) -> None:
    folder = site.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
