"""Client certificates of a namespace: what the published API has no words for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from api.control.desk import caller_of, desk_of
from tenancy import Principal
from tenancy.certificates import fingerprint
from tenancy.revocation_lists import RevocationList
from tenancy.revocation_upload import LIST_CHARACTERS_MAX

router = APIRouter(tags=["Client certificates"])


class DeniedCertificate(BaseModel):
    """One that is refused whoever issued it; the fingerprint of a CA denies all that it issued."""

    model_config = ConfigDict(extra="forbid")
    namespace: str = Field(description="As `<name>.<account id>`.")
    fingerprint: str = Field(
        max_length=200, description="SHA-256, 64 hexadecimal digits, with or without colons."
    )


class ShownDenial(BaseModel):
    fingerprint: str
    denied_at: datetime


class ShownAuthority(BaseModel):
    """A CA certificate of the bundle."""

    subject: str
    issuer: str
    fingerprint: str
    starts_at: datetime
    expires_at: datetime


class UploadedList(BaseModel):
    """What a CA of the namespace has revoked; it takes the place of the CA's list before."""

    model_config = ConfigDict(extra="forbid")
    namespace: str = Field(description="As `<name>.<account id>`.")
    revocation_list: str = Field(
        max_length=LIST_CHARACTERS_MAX,
        description="One full list (CRL) in PEM, signed by a CA of the bundle and still current.",
    )


class ShownList(BaseModel):
    """`authority` names the CA: SHA-256 of its name and key. After `next_at` a newer list should be
    there; until it is uploaded this one holds.
    """

    authority: str
    issuer: str
    issued_at: datetime
    next_at: datetime | None
    revoked_count: int


class ClientCertificates(BaseModel):
    """`host` is the name by which clients with a certificate connect, where `is_served`."""

    namespace: str
    host: str
    is_served: bool
    is_enabled: bool
    authorities: list[ShownAuthority]
    denied: list[ShownDenial]
    revocation_lists: list[ShownList]


@router.get("/api/v1/client-certificates")
async def get_client_certificates(
    request: Request, namespace: str, caller: Annotated[Principal, Depends(caller_of)]
) -> ClientCertificates:
    """What a namespace trusts; it is changed by UpdateNamespace, in `spec.mtls_auth`."""
    desk = desk_of(request)
    control = desk.control
    async with desk.database.reading() as session:
        found = await control.namespaces.find(session, caller, namespace)
        denied = await control.denied_certificates.of(session, found)
        lists = await control.revocation_lists.of(session, found)
    trust = found.settings.certificates
    return ClientCertificates(
        namespace=found.ref.full_name,
        host=desk.tls.hosts.host_of(found.ref.full_name),
        is_served=desk.tls.is_spoken,
        is_enabled=trust.is_enabled,
        authorities=[
            ShownAuthority(
                subject=each.subject.rfc4514_string(),
                issuer=each.issuer.rfc4514_string(),
                fingerprint=fingerprint(each),
                starts_at=each.not_valid_before_utc,
                expires_at=each.not_valid_after_utc,
            )
            for each in trust.certificates
        ],
        denied=[
            ShownDenial(fingerprint=each.fingerprint, denied_at=each.denied_at) for each in denied
        ],
        revocation_lists=list(map(_shown, lists)),
    )


@router.post("/api/v1/denied-certificates", status_code=201)
async def deny_certificate(
    request: Request, body: DeniedCertificate, caller: Annotated[Principal, Depends(caller_of)]
) -> ShownDenial:
    """Refuse one certificate; its open calls and connections end within five seconds."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        found = await control.namespaces.find(session, caller, body.namespace)
        made = await control.denied_certificates.deny(session, caller, found, body.fingerprint)
    await control.settle()
    return ShownDenial(fingerprint=made.fingerprint, denied_at=made.denied_at)


@router.delete("/api/v1/denied-certificates/{fingerprint}", status_code=204)
async def allow_certificate(
    request: Request,
    fingerprint: str,
    namespace: str,
    caller: Annotated[Principal, Depends(caller_of)],
) -> None:
    """Take a denial back."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        found = await control.namespaces.find(session, caller, namespace)
        await control.denied_certificates.allow(session, caller, found, fingerprint)
    await control.settle()


@router.post("/api/v1/revocation-lists", status_code=201)
async def upload_revocation_list(
    request: Request, body: UploadedList, caller: Annotated[Principal, Depends(caller_of)]
) -> ShownList:
    """Refuse what a CA has revoked; open calls and connections end within five seconds."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        found = await control.namespaces.find(session, caller, body.namespace)
        made = await control.revocation_lists.upload(session, caller, found, body.revocation_list)
    await control.settle()
    return _shown(made)


@router.delete("/api/v1/revocation-lists/{authority}", status_code=204)
async def remove_revocation_list(
    request: Request,
    authority: str,
    namespace: str,
    caller: Annotated[Principal, Depends(caller_of)],
) -> None:
    """Go by the list of that CA no longer."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        found = await control.namespaces.find(session, caller, namespace)
        await control.revocation_lists.remove(session, caller, found, authority)
    await control.settle()


def _shown(it: RevocationList) -> ShownList:
    return ShownList(
        authority=it.authority,
        issuer=it.issuer,
        issued_at=it.issued_at,
        next_at=it.next_at,
        revoked_count=len(it.serials),
    )
