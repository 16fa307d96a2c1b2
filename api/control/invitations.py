"""Invitations as who is invited sees them, and letters that are sent again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.control.desk import caller_of, check_origin, desk_of, user_agent
from api.control.sessions import TOKEN_CHARACTERS_MAX, OpenedSession, keep_session
from tenancy import Principal

router = APIRouter(tags=["Invitations"])


class InvitationLink(BaseModel):
    """`token` is that of the link in the letter."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=TOKEN_CHARACTERS_MAX)


class Acceptance(InvitationLink):
    password: str


class ShownInvitation(BaseModel):
    email: str
    account: str
    role: str
    expires_at: datetime


class SentInvitation(BaseModel):
    """`user_id` is the id of the user to be."""

    user_id: str
    expires_at: datetime


@router.post("/api/v1/invitations/look-up")
async def look_up_invitation(request: Request, body: InvitationLink) -> ShownInvitation:
    """What the link of a letter invites to."""
    desk = desk_of(request)
    async with desk.database.reading() as session:
        found = await desk.control.invitations.look_up(session, body.token)
    return ShownInvitation(
        email=found.email, account=found.account, role=found.role, expires_at=found.expires_at
    )


@router.post("/api/v1/invitations/accept", status_code=201)
async def accept_invitation(
    request: Request, response: Response, body: Acceptance
) -> OpenedSession:
    """Join the account with a password of your own, and log in."""
    check_origin(request)
    opened = await desk_of(request).control.invitations.accept(
        token=body.token, password=body.password, user_agent=user_agent(request)
    )
    return await keep_session(request, response, opened)


@router.post("/api/v1/invitations/{user_id}/send", status_code=202)
async def send_invitation_again(
    request: Request, user_id: str, caller: Annotated[Principal, Depends(caller_of)]
) -> SentInvitation:
    """Send another letter; the links of earlier ones open nothing any more."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        sent = await control.members.invite_again(session, caller, user_id)
    return SentInvitation(user_id=sent.id, expires_at=sent.expires_at)
