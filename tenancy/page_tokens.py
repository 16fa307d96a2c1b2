"""Where a list goes on, sealed: a client can neither read nor alter it, nor use it elsewhere."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from tenancy.errors import InvalidField, SealBroken
from tenancy.randomness import TokenBytes
from tenancy.sealing import Sealer


class PageTokens:
    def __init__(self, *, secret: bytes, token_bytes: TokenBytes) -> None:
        self._sealer = Sealer(secret, purpose="page tokens", token_bytes=token_bytes)

    def of(self, account_id: str, name: str) -> ListTokens:
        """The tokens of one list of the account."""
        return ListTokens(self._sealer, f"{account_id} {name}")


@dataclass(frozen=True, slots=True)
class ListTokens:
    """What is sealed for one list opens for no other."""

    sealer: Sealer
    context: str

    def seal(self, place: str) -> str:
        sealed = self.sealer.seal(place.encode(), context=self.context)
        return base64.urlsafe_b64encode(sealed).decode()

    def open(self, token: str, field: str) -> str | None:
        """The place behind which the list goes on; None for an empty token, at its beginning.

        Raises InvalidField for a token that was altered, or given out for another list.
        """
        if not token:
            return None
        try:
            sealed = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
            return self.sealer.unseal(sealed, context=self.context).decode()
        except (binascii.Error, SealBroken):
            raise InvalidField(
                field, "is none that this list gave out", "send next_page_token as it was"
            ) from None
