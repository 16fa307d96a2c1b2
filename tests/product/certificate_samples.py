"""What the operations of client certificates take to succeed."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from tenancy.certificates import authority_id
from tests.product.sample import Make, Sample
from tests.product.stock import Stock
from tests.tls.pki import Identity, authority, leaf, revocation_list

DENIED_PATH = "/api/v1/denied-certificates"
LIST_PATH = "/api/v1/revocation-lists"


async def trusting_namespace(stock: Stock) -> Sample:
    return Sample(query={"namespace": stock.access.namespace})


async def lost_certificate(stock: Stock) -> Sample:
    return Sample(body={"namespace": stock.access.namespace, "fingerprint": "ab" * 32})


async def denied_certificate(stock: Stock) -> Sample:
    lost = {"namespace": stock.access.namespace, "fingerprint": "cd" * 32}
    await stock.access.owner.post(DENIED_PATH, lost)
    return Sample({"fingerprint": lost["fingerprint"]}, query={"namespace": stock.access.namespace})


async def namespace_of(stock: Stock, name: str, root: Identity) -> str:
    """One that trusts this CA."""
    owner = stock.access.owner
    trust = {"enabled": True, "acceptedClientCa": base64.b64encode(root.pem.encode()).decode()}
    spec = {"name": name, "retentionDays": 7, "mtlsAuth": trust}
    made = await owner.post("/cloud/namespaces", {"spec": spec})
    await owner.finished(made["asyncOperation"])
    full_name: str = made["namespace"]
    return full_name


async def new_list(stock: Stock) -> Sample:
    root = authority()
    namespace = await namespace_of(stock, "revoking", root)
    told = {"namespace": namespace, "revocation_list": revocation_list(root, leaf(root))}
    return Sample(body=told)


async def known_list(stock: Stock) -> Sample:
    root = authority()
    namespace = await namespace_of(stock, "revoked", root)
    told = {"namespace": namespace, "revocation_list": revocation_list(root)}
    await stock.access.owner.post(LIST_PATH, told)
    return Sample({"authority": authority_id(root.certificate)}, query={"namespace": namespace})


CERTIFICATE_SAMPLES: Mapping[str, Make] = {
    "get_client_certificates_api_v1_client_certificates_get": trusting_namespace,
    "deny_certificate_api_v1_denied_certificates_post": lost_certificate,
    "allow_certificate_api_v1_denied_certificates__fingerprint__delete": denied_certificate,
    "upload_revocation_list_api_v1_revocation_lists_post": new_list,
    "remove_revocation_list_api_v1_revocation_lists__authority__delete": known_list,
}
"""Each names its namespace in the body or in the query."""
