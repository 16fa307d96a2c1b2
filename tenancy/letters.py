"""What the cloud writes to people. Plain text; a link stands alone in its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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

_AUTHORITIES_EXPIRE = Template("""\
The namespace $namespace accepts client certificates of CAs that expire:

$authorities

When a CA has expired, no certificate that it issued is accepted any more: workers
and clients that have no other are refused. Before that, add its successor to the
bundle and give out certificates that the successor issued. Then remove the old one:

$link
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


@dataclass(frozen=True, slots=True)
class Expiry:
    """Of a CA; its fingerprint is SHA-256."""

    subject: str
    fingerprint: str
    expires_at: datetime

    def told(self, now: datetime) -> str:
        days = -((now - self.expires_at) // timedelta(days=1))
        if days <= 0:
            return "has expired"
        return "expires within a day" if days == 1 else f"expires in {days} days"


def authorities_expire(
    to: str, *, namespace: str, told: Sequence[Expiry], link: str, now: datetime
) -> Letter:
    """The first of them expires first."""
    authorities = "\n\n".join(
        f"  {each.subject}\n  {each.told(now)}: {_when(each.expires_at)}\n"
        f"  SHA-256 fingerprint {each.fingerprint}"
        for each in told
    )
    text = _AUTHORITIES_EXPIRE.substitute(namespace=namespace, authorities=authorities, link=link)
    return Letter(to, f"A CA of {namespace} {told[0].told(now)}", text)


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
