"""Where an account shows that a domain is its own: a TXT record, or a file on its web server."""

from __future__ import annotations

import hmac

from tenancy.errors import AddressRefused, NoAnswer, WrongState
from tenancy.outgoing import Outgoing

PROOF_LABEL = "_perdure"
"""Below the domain, whose own texts are others' and many; and no name that a host can have, so
that whoever is given a host below somebody's domain does not get this one."""
PROOF_PATH = "/.well-known/perdure-domain.txt"
PROOF_PREFIX = "perdure-domain="
PROOF_FILE_BYTES_MAX = 1_024
INVENTED = (".test", ".example", ".localhost")
"""Ends of names that nobody can own, for tests and documentation."""

OTHER_TEXT = "says something else"


def proof_record(domain: str) -> str:
    """The name of the TXT record that only who has the domain can add."""
    return f"{PROOF_LABEL}.{domain}"


def proof_address(domain: str) -> str:
    """Where only who has the domain can put a file."""
    return f"https://{domain}{PROOF_PATH}"


class DomainProof:
    """With `accepts_invented`, for development, names that nobody can own need no proof."""

    def __init__(self, outgoing: Outgoing, *, accepts_invented: bool) -> None:
        self._outgoing = outgoing
        self._accepts_invented = accepts_invented

    async def check(self, domain: str, wanted: str) -> None:
        """Either place suffices; raises WrongState, which says what is wrong with each."""
        if self._accepts_invented and domain.endswith(INVENTED):
            return
        in_record = await self._problem_of_record(domain, wanted.encode())
        in_file = in_record and await self._problem_of_file(domain, wanted.encode())
        if in_record and in_file:
            record, file = f"TXT record {proof_record(domain)}", f"file {proof_address(domain)}"
            state = f"not proven ({record}: {in_record}; {file}: {in_file})"
            remedy = f"let either say {wanted}, the file without a redirect, and try again"
            raise WrongState("domain", domain, state, remedy)

    async def _problem_of_record(self, domain: str, wanted: bytes) -> str:
        """Empty if one of the records says what it should."""
        try:
            texts = await self._outgoing.read_texts(proof_record(domain))
        except NoAnswer as error:
            return error.why
        is_there = any(hmac.compare_digest(text.strip(), wanted) for text in texts)
        return "" if is_there else OTHER_TEXT

    async def _problem_of_file(self, domain: str, wanted: bytes) -> str:
        """Empty if it says what it should."""
        try:
            reply = await self._outgoing.get(proof_address(domain))
        except (AddressRefused, NoAnswer) as error:
            return f"could not be asked, {error.why}"
        if reply.status != 200:
            return f"the address answers with status {reply.status}"
        told = reply.body.strip() if len(reply.body) <= PROOF_FILE_BYTES_MAX else b""
        return "" if hmac.compare_digest(told, wanted) else OTHER_TEXT
