"""The proxy in front: who its clients are, believed where it proves itself beside it."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

from api.transports.errors import InvalidHeader

HOP_HEADER = b"x-perdure-hop"
CLIENTS_HEADER = b"x-forwarded-for"
"""Proxies put the address that they see at its end; what is before that came with the request."""

SECRET_CHARACTERS_MIN = 32


class Hop:
    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def is_proven(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the call came by the proxy, which alone knows the secret."""
        return hmac.compare_digest(headers.get(HOP_HEADER, b""), self._secret)

    def client(self, headers: Mapping[bytes, bytes]) -> str | None:
        """The address that the proxy was called from; None where it does not tell.

        Raises InvalidHeader.
        """
        told = headers.get(CLIENTS_HEADER)
        if told is None or not self.is_proven(headers):
            return None
        address = told.rpartition(b",")[2].strip().decode("latin-1")
        try:
            return str(ipaddress.ip_address(address))
        except ValueError:
            raise InvalidHeader(
                CLIENTS_HEADER.decode(),
                "must end with the address that the proxy was called from, without a port",
            ) from None
