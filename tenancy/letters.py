"""What the cloud writes to people. Plain text; a link stands alone in its line."""

from __future__ import annotations

from datetime import datetime
from string import Template

from tenancy.mail import Letter

_VERIFY = Template("""\
Welcome to Perdure.

Confirm that this address is yours:

$link

The link works once, until $expires. If you did not sign up, ignore this letter.
""")

_RESET = Template("""\
Somebody, probably you, asked for a new password for your login.

Choose one here:

$link

The link works once, until $expires. If it was not you, ignore this letter: nothing
has changed.
""")

_RESET_UNKNOWN = Template("""\
Somebody, probably you, asked for a new password for a login with this address.
There is none. If you have one with another address, ask for it there:

$link

If it was not you, ignore this letter.
""")

_PASSWORD_CHANGED = Template("""\
The password of your login was changed, and all other sessions were ended.

If it was not you, choose a new one at once:

$link
""")

_SECOND_FACTOR_CHANGED = Template("""\
$what

If it was not you, choose a new password at once and tell an owner of your account:

$link
""")

_INVITED = Template("""\
$inviter invites you to $account on Perdure, as $role.

Join here:

$link

The link works once, until $expires. If you expected no invitation, ignore this letter.
""")

_INVITED_ELSEWHERE = Template("""\
$inviter invites you to $account on Perdure. You have a login with this address
already, in another account, and an address belongs to one account.

To join, ask to be invited with another address, or leave the account that you are
in, here:

$link

and ask for the invitation again. If you expected none, ignore this letter.
""")

SECOND_FACTOR_ON = "Logging in to Perdure now asks for a code of your authenticator app."
SECOND_FACTOR_OFF = "Logging in to Perdure no longer asks for a code of your authenticator app."
CODES_GUESSED = (
    "Somebody who knows your password gave too many wrong codes, so nobody can log in as\n"
    "you with a code for some minutes."
)


def verify_email(to: str, *, link: str, expires_at: datetime) -> Letter:
    text = _VERIFY.substitute(link=link, expires=_when(expires_at))
    return Letter(to, "Confirm your e-mail address", text)


def reset_password(to: str, *, link: str, expires_at: datetime) -> Letter:
    text = _RESET.substitute(link=link, expires=_when(expires_at))
    return Letter(to, "Choose a new password", text)


def reset_unknown(to: str, *, link: str) -> Letter:
    return Letter(to, "Choose a new password", _RESET_UNKNOWN.substitute(link=link))


def password_changed(to: str, *, link: str) -> Letter:
    return Letter(to, "Your password was changed", _PASSWORD_CHANGED.substitute(link=link))


def second_factor_changed(to: str, *, what: str, link: str) -> Letter:
    text = _SECOND_FACTOR_CHANGED.substitute(what=what, link=link)
    return Letter(to, "The second step of your login", text)


def invited(
    to: str, *, inviter: str, account: str, role: str, link: str, expires_at: datetime
) -> Letter:
    text = _INVITED.substitute(
        inviter=inviter, account=account, role=role, link=link, expires=_when(expires_at)
    )
    return Letter(to, "You are invited to Perdure", text)


def invited_elsewhere(to: str, *, inviter: str, account: str, link: str) -> Letter:
    text = _INVITED_ELSEWHERE.substitute(inviter=inviter, account=account, link=link)
    return Letter(to, "You are invited to Perdure", text)


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
